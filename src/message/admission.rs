use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytestring::ByteString;
use futures_util::FutureExt;

use super::{
    Codec, DecodeFailure, Message, RawInput, Refusal, Socket, Verdict,
    validator::{Found, Validator},
};

/// The validators of a layer by the event that they decide about.
#[derive(Clone, Default)]
pub(crate) struct Validators {
    known: Vec<(Box<str>, Arc<dyn Validator>)>,
    by_event: HashMap<Box<str>, EventId, foldhash::fast::RandomState>,
}

/// One of the events that a layer knows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventId(usize);

impl Validators {
    /// Registers the validator of an event; gives back `false` when there is one already.
    pub(crate) fn insert(&mut self, event: &str, validator: impl Validator + 'static) -> bool {
        self.insert_shared(event, Arc::new(validator))
    }

    /// As [`insert`](Self::insert), for one that others have too.
    pub(crate) fn insert_shared(&mut self, event: &str, validator: Arc<dyn Validator>) -> bool {
        let id = EventId(self.known.len());
        match self.by_event.entry(event.into()) {
            Entry::Vacant(entry) => {
                self.known.push((entry.key().clone(), validator));
                entry.insert(id);
                true
            }
            Entry::Occupied(entry) => {
                self.known[entry.get().0].1 = validator;
                false
            }
        }
    }

    /// Every event and who decides about it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Arc<dyn Validator>)> {
        self.known.iter().map(|(event, it)| (&**event, it))
    }

    /// The name of an event that a message passed as.
    pub(crate) fn name(&self, event: EventId) -> &str {
        &self.known[event.0].0
    }

    /// Takes a message through codec and validator.
    #[inline]
    pub(crate) fn admit(&self, codec: &dyn Codec, raw: RawInput, socket: Socket) -> Admission {
        let decode = AssertUnwindSafe(|| codec.decode(&raw));
        let decoded = catch_unwind(decode)
            .unwrap_or_else(|_| Err(DecodeFailure::malformed("the codec failed")));
        let envelope = match decoded {
            Ok(envelope) => envelope,
            Err(failure) => return Admission::Refused(Refused::undecodable(raw, failure)),
        };
        let known = self.by_event.get(&*envelope.event);
        let candidate = Candidate(Message {
            event: envelope.event,
            args: envelope.args,
            id: envelope.id,
            known: known.copied().unwrap_or_default(),
            raw,
            data: None,
            socket,
        });
        let Some(EventId(known)) = known else {
            return candidate.refuse(Refusal::new("no validator for this event"));
        };
        let validator = &self.known[*known].1;
        let asked =
            AssertUnwindSafe(|| validator.validate(&candidate.0.args, candidate.0.socket.user()));
        match catch_unwind(asked) {
            Ok(verdict) => candidate.settle(verdict),
            Err(_) => candidate.refuse(panicked()),
        }
    }
}

impl fmt::Debug for Validators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_event.keys()).finish()
    }
}

fn panicked() -> Refusal {
    Refusal::new("validator failed")
}

/// How far a message got.
pub(crate) enum Admission {
    Passed(Message),
    Asking(Asking),
    Refused(Refused),
}

/// A message whose validator asks somebody.
pub(crate) struct Asking {
    candidate: Option<Candidate>,
    answer: Pin<Box<dyn Future<Output = Verdict> + Send>>,
}

impl Asking {
    /// Ready with the admission; not to be polled again then.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Admission>> {
        let answer = AssertUnwindSafe(&mut self.answer)
            .catch_unwind()
            .poll_unpin(cx);
        answer.map(|answer| {
            let candidate = self.candidate.take()?;
            Some(match answer {
                Ok(verdict) => candidate.settle(verdict),
                Err(_) => candidate.refuse(panicked()),
            })
        })
    }
}

/// A message that did not pass.
pub(crate) struct Refused {
    pub(crate) raw: RawInput,
    pub(crate) cause: Cause,
    /// The sender wants an answer under this number.
    pub(crate) id: Option<u64>,
}

pub(crate) enum Cause {
    Undecodable(DecodeFailure),
    Invalid { event: ByteString, refusal: Refusal },
}

impl Refused {
    fn undecodable(raw: RawInput, failure: DecodeFailure) -> Self {
        Self {
            raw,
            cause: Cause::Undecodable(failure),
            id: None,
        }
    }
}

/// A decoded message that its validator has not judged yet.
struct Candidate(Message);

impl Candidate {
    #[inline]
    fn settle(mut self, verdict: Verdict) -> Admission {
        match verdict.0 {
            Found::Pass => {}
            Found::Parsed(value) => self.0.data = Some(value),
            Found::Replace(args, data) => {
                self.0.args = args;
                self.0.data = data;
            }
            Found::Refuse(refusal) => return self.refuse(refusal),
            Found::Later(answer) => {
                return Admission::Asking(Asking {
                    candidate: Some(self),
                    answer,
                });
            }
        }
        Admission::Passed(self.0)
    }

    fn refuse(self, refusal: Refusal) -> Admission {
        Admission::Refused(Refused {
            raw: self.0.raw,
            cause: Cause::Invalid {
                event: self.0.event,
                refusal,
            },
            id: self.0.id,
        })
    }
}
