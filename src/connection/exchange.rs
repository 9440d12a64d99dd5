use std::{sync::Arc, task::Waker, time::Instant};

use hyper::upgrade::Upgraded;
use tokio::sync::Notify;

use super::queue::Queue;
use crate::{
    engine::{CloseReason, NOOP, Payload, Transport},
    metrics::{Backlog, Metrics},
};

/// What the task of a connection and everybody else hand to one another, under one lock.
pub(super) struct Exchange {
    pub(super) queue: Queue,
    /// What the metrics know of the queue.
    pub(super) backlog: Backlog,
    pub(super) stage: Stage,
    pub(super) transport: Transport,
    /// Others hear what the client sends.
    pub(super) followed: bool,
    /// The task of the connection.
    pub(super) driver: Option<Waker>,
    /// Somebody wants the connection closed, and the task does not know yet.
    pub(super) close: Option<CloseReason>,
    /// Made by the first sender that has to wait for room in the queue.
    pub(super) room: Option<Arc<Notify>>,
    /// Only connections that began with polling pay for it.
    pub(super) polling: Option<Box<Polling>>,
}

/// How far the life of a connection has got, as seen from outside its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    /// Nothing can be sent any more; what is queued and the farewell still go out.
    Closing,
    Closed,
}

/// The requests of a client on long polling.
#[derive(Default)]
pub(super) struct Polling {
    pub(super) get: Get,
    pub(super) post: Post,
    /// The client went away from a POST that is being handled: nobody waits for its end.
    pub(super) abandoned: bool,
    /// A payload had a fault: the POST that brought it is a bad request.
    pub(super) malformed: bool,
    /// A websocket that wants to take over.
    pub(super) candidate: Candidate,
    /// From when on a new request finds the connection dead.
    pub(super) expires_at: Option<Instant>,
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
    /// All of it was handled.
    Done,
}

#[derive(Default)]
pub(super) enum Candidate {
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
pub(super) enum LastWord {
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
            Self::Close => crate::engine::CLOSE,
        }
    }
}

impl Exchange {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            queue: Queue::default(),
            backlog: Backlog::default(),
            stage: Stage::Open,
            transport,
            followed: false,
            driver: None,
            close: None,
            room: None,
            polling: (transport == Transport::Polling).then(Box::default),
        }
    }

    /// Counts what waits in the queue, once something was taken out of it, or when nothing will be
    /// for now.
    pub(super) fn settle(&mut self, metrics: &Metrics) {
        metrics.settle(&mut self.backlog, self.queue.bytes());
    }

    pub(super) fn wake_driver(&self) {
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }

    /// The held GET has something to look at.
    pub(super) fn wake_get(&mut self) {
        if let Some(polling) = &mut self.polling
            && let Get::Held(waker) = &mut polling.get
            && let Some(waker) = waker.take()
        {
            waker.wake();
        }
    }

    /// Something was queued: whoever moves it is woken.
    pub(super) fn wake_mover(&mut self) {
        match self.transport {
            Transport::Polling => self.wake_get(),
            Transport::WebSocket => self.wake_driver(),
        }
    }

    /// There is room in the queue: senders that wait for it look again, and so does the task.
    pub(super) fn made_room(&self) {
        self.wake_senders();
        self.wake_driver();
    }

    /// Senders that wait for room look again.
    pub(super) fn wake_senders(&self) {
        if let Some(room) = &self.room {
            room.notify_waiters();
        }
    }

    /// All packets of the POST were handled, or never will be.
    pub(super) fn finish_post(&mut self) {
        let Some(polling) = &mut self.polling else {
            return;
        };
        let waker = match &mut polling.post {
            Post::Reading(waker) | Post::Submitted(_, waker) | Post::Handling(waker) => {
                waker.take()
            }
            Post::None | Post::Done => return,
        };
        polling.post = if std::mem::take(&mut polling.abandoned) {
            Post::None
        } else {
            Post::Done
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn request_close(&mut self, reason: CloseReason) {
        if self.stage == Stage::Open && self.close.is_none() {
            self.close = Some(reason);
            self.wake_driver();
        }
    }
}
