use std::{
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytestring::ByteString;
use futures_util::FutureExt;

use super::{
    Codec, DecodeFailure, Envelope, Message, RawInput, Refusal, Socket, Verdict,
    validator::{Found, Validator},
};

/// The validators of a layer by the event that they decide about.
#[derive(Clone, Default)]
pub(crate) struct Validators {
    by_event: HashMap<Box<str>, Arc<dyn Validator>, foldhash::fast::RandomState>,
}

impl Validators {
    /// Registers the validator of an event; gives back `false` when there is one already.
    pub(crate) fn insert(&mut self, event: &str, validator: impl Validator + 'static) -> bool {
        self.insert_shared(event, Arc::new(validator))
    }

    /// As [`insert`](Self::insert), for one that others have too.
    pub(crate) fn insert_shared(&mut self, event: &str, validator: Arc<dyn Validator>) -> bool {
        self.by_event.insert(event.into(), validator).is_none()
    }

    /// Every event and who decides about it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Arc<dyn Validator>)> {
        self.by_event.iter().map(|(event, it)| (&**event, it))
    }

    /// Takes a message through codec and validator.
    pub(crate) fn admit(&self, codec: &dyn Codec, raw: RawInput, socket: Socket) -> Admission {
        let decode = AssertUnwindSafe(|| codec.decode(&raw));
        let decoded = catch_unwind(decode)
            .unwrap_or_else(|_| Err(DecodeFailure::malformed("the codec failed")));
        let envelope = match decoded {
            Ok(envelope) => envelope,
            Err(failure) => return Admission::Refused(Refused::undecodable(raw, failure)),
        };
        let candidate = Candidate {
            envelope,
            raw,
            socket,
        };
        let Some(validator) = self.by_event.get(&*candidate.envelope.event) else {
            return candidate.refuse(Refusal::new("no validator for this event"));
        };
        let asked = AssertUnwindSafe(|| {
            validator.validate(&candidate.envelope.args, candidate.socket.user())
        });
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
struct Candidate {
    envelope: Envelope,
    raw: RawInput,
    socket: Socket,
}

impl Candidate {
    fn settle(mut self, verdict: Verdict) -> Admission {
        match verdict.0 {
            Found::Pass => Admission::Passed(self.into_message(None)),
            Found::Parsed(value) => Admission::Passed(self.into_message(Some(value))),
            Found::Replace(args, data) => {
                self.envelope.args = args;
                Admission::Passed(self.into_message(data))
            }
            Found::Refuse(refusal) => self.refuse(refusal),
            Found::Later(answer) => Admission::Asking(Asking {
                candidate: Some(self),
                answer,
            }),
        }
    }

    fn into_message(self, data: Option<Box<dyn std::any::Any + Send>>) -> Message {
        Message {
            event: self.envelope.event,
            args: self.envelope.args,
            id: self.envelope.id,
            raw: self.raw,
            data,
            socket: self.socket,
        }
    }

    fn refuse(self, refusal: Refusal) -> Admission {
        Admission::Refused(Refused {
            raw: self.raw,
            cause: Cause::Invalid {
                event: self.envelope.event,
                refusal,
            },
            id: self.envelope.id,
        })
    }
}
