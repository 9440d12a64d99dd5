use std::{mem, task::Waker, time::Instant};

use hyper::upgrade::Upgraded;
use tokio::time::Instant as Clock;

use super::{Exchange, Stage};
use crate::{
    engine::{CLOSE, Fact, NOOP, Payload, Rejection, Transport},
    error::RequestError,
};

/// The requests of a client on long polling.
#[derive(Default)]
pub(super) struct Requests {
    pub(super) get: Get,
    pub(super) post: Post,
    /// The client went away from a POST that is being handled: nobody waits for its end.
    pub(super) abandoned: bool,
    /// A payload had a fault: the POST that brought it is a bad request.
    pub(super) malformed: bool,
    /// A websocket that wants to take over.
    candidate: Candidate,
    /// From when on a new request finds the connection dead.
    expires_at: Option<Instant>,
    /// What a GET gets once the queue is empty.
    pub(super) last_word: Option<LastWord>,
}

/// The GET that is being held.
#[derive(Default)]
pub(super) enum Get {
    #[default]
    None,
    Held(Option<Waker>),
}

/// The POST whose packets are being handled.
#[derive(Default)]
pub(super) enum Post {
    #[default]
    None,
    /// The body is on its way; woken when the connection ends before it.
    Reading(Option<Waker>),
    /// The body waits for the task.
    Submitted(Payload, Option<Waker>),
    /// The task works on it.
    Handling(Option<Waker>),
    /// All of it was handled, or never will be.
    Done,
}

#[derive(Default)]
enum Candidate {
    #[default]
    None,
    /// Its request was answered with 101.
    Announced,
    Arrived(Upgraded),
    /// With the task of the connection.
    Taken,
}

/// A packet that ends a held poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::connection) enum LastWord {
    /// This poll is over, the connection is not.
    Noop,
    /// The client closed: its GET ends without a message.
    Closed,
    /// The server closes.
    Close,
}

impl LastWord {
    pub(super) const fn packet(self) -> &'static [u8] {
        match self {
            Self::Noop | Self::Closed => NOOP,
            Self::Close => CLOSE,
        }
    }
}

impl Post {
    /// What was submitted; the task works on it from now on.
    fn take(&mut self) -> Option<Payload> {
        match mem::take(self) {
            Self::Submitted(payload, waker) => {
                *self = Self::Handling(waker);
                Some(payload)
            }
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Candidate {
    /// What arrived; the task has it from now on.
    fn take(&mut self) -> Option<Upgraded> {
        match mem::take(self) {
            Self::Arrived(candidate) => {
                *self = Self::Taken;
                Some(candidate)
            }
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Requests {
    /// What they left for the task.
    pub(super) fn take(&mut self) -> (Option<Payload>, Option<Upgraded>) {
        (self.post.take(), self.candidate.take())
    }

    pub(super) fn holds_get(&self) -> bool {
        matches!(self.get, Get::Held(_))
    }

    /// Most of the time there is no clock to look at.
    fn is_expired(&self) -> bool {
        self.expires_at
            .is_some_and(|at| at <= Clock::now().into_std())
    }
}

/// Requests that arrive.
impl Exchange {
    fn requests(&mut self) -> Result<&mut Requests, RequestError> {
        self.requests
            .as_deref_mut()
            .ok_or(RequestError::Bad("transport mismatch"))
    }

    /// What a new request finds.
    fn admit_request(&mut self) -> Result<&mut Requests, RequestError> {
        let requests = self.requests.as_deref();
        let farewell = requests.is_some_and(|requests| requests.last_word.is_some());
        match self.stage {
            Stage::Open if requests.is_some_and(Requests::is_expired) => {
                self.wake_driver();
                Err(Rejection::UnknownSid.into())
            }
            Stage::Open if self.transport != Transport::Polling => {
                Err(RequestError::Bad("transport mismatch"))
            }
            Stage::Closing if !farewell => Err(Rejection::UnknownSid.into()),
            Stage::Closed => Err(Rejection::UnknownSid.into()),
            Stage::Open | Stage::Closing => self.requests(),
        }
    }

    /// Holds a GET that arrived.
    ///
    /// # Errors
    ///
    /// When the connection has ended, is on another transport, or holds a GET already; the latter
    /// closes it.
    pub(in crate::connection) fn hold_get(&mut self) -> Result<(), RequestError> {
        let requests = self.admit_request()?;
        if requests.holds_get() {
            self.request_close(Fact::PollOverlap.reason());
            return Err(RequestError::Bad("overlapping poll"));
        }
        requests.get = Get::Held(None);
        if requests.last_word == Some(LastWord::Noop) {
            // That one was for the poll before.
            requests.last_word = None;
        }
        Ok(())
    }

    /// Waits for the body of a POST that arrived.
    ///
    /// # Errors
    ///
    /// As [`hold_get`](Self::hold_get).
    pub(in crate::connection) fn open_post(&mut self) -> Result<(), RequestError> {
        let stage = self.stage;
        let requests = self.admit_request()?;
        if stage != Stage::Open {
            return Err(Rejection::UnknownSid.into());
        }
        if !matches!(requests.post, Post::None) {
            self.request_close(Fact::PostOverlap.reason());
            return Err(RequestError::Bad("overlapping data request"));
        }
        requests.post = Post::Reading(None);
        Ok(())
    }

    /// A websocket wants to take over; whether it may try.
    pub(in crate::connection) fn announce_candidate(&mut self, allowed: bool) -> bool {
        let may = self.stage == Stage::Open && self.transport == Transport::Polling;
        match &mut self.requests {
            Some(requests) if may && allowed && matches!(requests.candidate, Candidate::None) => {
                requests.candidate = Candidate::Announced;
                true
            }
            _ => false,
        }
    }

    /// Gives the announced websocket to the task, or back when that has ended.
    pub(in crate::connection) fn hand_over(&mut self, candidate: Upgraded) -> Result<(), Upgraded> {
        match &mut self.requests {
            Some(requests) if self.stage == Stage::Open => {
                requests.candidate = Candidate::Arrived(candidate);
                self.wake_driver();
                Ok(())
            }
            _ => Err(candidate),
        }
    }

    /// The client left a request. One that goes over to a websocket may abort its last ones.
    pub(super) fn abandoned(&mut self, fact: Fact) {
        let mut requests = self.requests.iter();
        let stays = requests.all(|requests| matches!(requests.candidate, Candidate::None));
        if stays && self.transport == Transport::Polling {
            self.request_close(fact.reason());
        }
    }

    /// The candidate is gone; another one may come.
    pub(in crate::connection) fn free_candidate(&mut self) {
        if let Some(requests) = &mut self.requests {
            requests.candidate = Candidate::None;
        }
    }
}

/// What the task of the connection decides about requests to come.
impl Exchange {
    /// From when on a new request finds the connection dead.
    pub(in crate::connection) fn set_expiry(&mut self, expires_at: Option<Instant>) {
        if let Some(requests) = &mut self.requests {
            requests.expires_at = expires_at;
        }
    }

    /// What the client hears last; a GET that is held already always ends with something.
    pub(super) fn say_last(&mut self, last_word: Option<LastWord>) {
        if let Some(requests) = &mut self.requests {
            let held = requests.holds_get();
            requests.last_word = last_word.or_else(|| held.then_some(LastWord::Close));
        }
    }

    /// Whether the client has nothing more to hear.
    pub(in crate::connection) fn said_last(&self) -> bool {
        let requests = self.requests.as_ref();
        requests.is_none_or(|requests| requests.last_word.is_none())
    }
}
