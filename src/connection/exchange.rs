mod get;
mod post;
mod requests;
#[cfg(test)]
mod tests;

use std::{sync::Arc, task::Waker};

use hyper::upgrade::Upgraded;
use tokio::sync::{Notify, futures::OwnedNotified};

pub(super) use self::requests::LastWord;
use self::requests::Requests;
use super::{
    queue::{Batch, Queue},
    watch::Watcher,
};
use crate::{
    config::Settings,
    engine::{CloseReason, Payload, Transport},
    message::{Encoded, Frame, SendError},
    metrics::Backlog,
};

/// What the task of a connection and everybody else hand to one another, under one lock.
///
/// Senders are below, the task of the connection after them; requests of a client on long polling
/// have a file of their own. Whoever changes something also wakes whom it concerns.
pub(super) struct Exchange {
    queue: Queue,
    /// What the metrics know of the queue.
    backlog: Backlog,
    stage: Stage,
    transport: Transport,
    /// Others hear what the client sends.
    followed: bool,
    /// The task of the connection.
    driver: Option<Waker>,
    /// Somebody wants the connection closed, and the task does not know yet.
    close: Option<CloseReason>,
    /// Made by the first sender that has to wait for room in the queue.
    room: Option<Arc<Notify>>,
    /// Only connections that began with polling pay for it.
    requests: Option<Box<Requests>>,
}

/// How far the life of a connection has got, as seen from outside its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// Nothing can be sent any more; what is queued and the farewell still go out.
    Closing,
    Closed,
}

/// What others left for the task of a connection.
pub(super) struct Errands {
    pub(super) close: Option<CloseReason>,
    pub(super) candidate: Option<Upgraded>,
    pub(super) post: Option<Payload>,
    /// Whether others hear what the client sends; nothing to be done.
    pub(super) followed: bool,
}

impl Errands {
    pub(super) const fn is_empty(&self) -> bool {
        self.close.is_none() && self.candidate.is_none() && self.post.is_none()
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
            requests: (transport == Transport::Polling).then(Box::default),
        }
    }

    pub(super) const fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether anything can be sent.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open) && self.close.is_none()
    }

    pub(super) const fn queued_bytes(&self) -> usize {
        self.queue.bytes()
    }

    pub(super) fn set_followed(&mut self, followed: bool) {
        self.followed = followed;
    }

    /// Asks the task to close; the first reason counts.
    pub(super) fn request_close(&mut self, reason: CloseReason) {
        if self.is_open() {
            self.close = Some(reason);
            self.wake_driver();
        }
    }

    fn wake_driver(&self) {
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }

    /// Counts what waits in the queue, once something was taken out of it, or when nothing will be
    /// for now.
    fn settle(&mut self, settings: &Settings) {
        let bytes = self.queue.bytes();
        settings.metrics.settle(&mut self.backlog, bytes);
    }
}

/// Senders.
impl Exchange {
    /// What the queue costs.
    pub(super) const fn queue_cost(&self) -> usize {
        self.queue.cost()
    }

    /// Whether the queue takes another message.
    const fn has_room(&self, settings: &Settings) -> bool {
        self.queue.cost() < settings.queue_limit()
    }

    /// Whether a message can be queued now; what is volatile is dropped for it.
    ///
    /// # Errors
    ///
    /// Why it can never be sent, or [`SendError::Full`].
    pub(super) fn admit(&mut self, frame: &Frame, settings: &Settings) -> Result<(), SendError> {
        let limit = settings.queue_limit();
        if !self.is_open() {
            return Err(SendError::Closed);
        }
        self.check_transport(frame)?;
        if frame.len() > limit {
            return Err(SendError::TooLarge);
        }
        if self.make_room(frame, limit) {
            Ok(())
        } else {
            Err(SendError::Full)
        }
    }

    /// Makes room by dropping what is volatile; whether the frame fits then.
    fn make_room(&mut self, frame: &Frame, limit: usize) -> bool {
        let fits = |queue: &Queue| queue.cost() + frame.len() <= limit;
        if fits(&self.queue) {
            return true;
        }
        if !frame.is_volatile() && self.queue.drop_volatile() {
            self.made_room();
        }
        fits(&self.queue)
    }

    /// # Errors
    ///
    /// [`SendError::Separator`].
    fn check_transport(&self, frame: &Frame) -> Result<(), SendError> {
        if self.transport == Transport::Polling && !frame.suits_polling() {
            return Err(SendError::Separator);
        }
        Ok(())
    }

    /// Queues a message that was [admitted](Self::admit), for whoever moves it.
    pub(super) fn push(&mut self, frame: Frame, watcher: Option<Watcher>, settings: &Settings) {
        match watcher {
            Some(watcher) => self.queue.push_watched(frame, watcher),
            None => self.queue.push(frame),
        }
        match self.transport {
            Transport::Polling => {
                self.wake_get();
                // The task does not look at it, only the next GET does.
                self.settle(settings);
            }
            Transport::WebSocket => self.wake_driver(),
        }
    }

    /// Queues an answer of the task itself, whatever waits already; nothing once the connection
    /// closes.
    ///
    /// # Errors
    ///
    /// [`SendError::Separator`].
    pub(super) fn push_answer(&mut self, answer: &Encoded<'_>) -> Result<(), SendError> {
        if self.transport == Transport::Polling {
            let frame = answer.to_frame();
            self.check_transport(&frame)?;
            self.push_control(frame);
        } else if self.stage == Stage::Open {
            self.queue.append(answer);
        }
        Ok(())
    }

    /// Queues a packet of the protocol in the same way.
    pub(super) fn push_control(&mut self, frame: Frame) {
        if self.stage == Stage::Open {
            self.queue.push(frame);
            self.wake_get();
        }
    }

    /// Ready when there may be room, from now on.
    pub(super) fn wait_for_room(&mut self) -> OwnedNotified {
        let room = self.room.get_or_insert_with(|| Arc::new(Notify::new()));
        Arc::clone(room).notified_owned()
    }

    /// There is room in the queue: senders that wait for it look again, and so does the task.
    fn made_room(&self) {
        self.wake_senders();
        self.wake_driver();
    }

    fn wake_senders(&self) {
        if let Some(room) = &self.room {
            room.notify_waiters();
        }
    }
}

/// The task of the connection.
impl Exchange {
    /// Registers the task and takes what was left for it.
    pub(super) fn attend(&mut self, waker: &Waker, settings: &Settings) -> Errands {
        match &mut self.driver {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        self.settle(settings);
        let requests = self.requests.as_mut().map(|requests| requests.take());
        let (post, candidate) = requests.unwrap_or_default();
        Errands {
            close: self.close.take(),
            followed: self.followed,
            post,
            candidate,
        }
    }

    /// Takes what one write should carry, and says whether somebody wants to hear when it is
    /// [`written`](Self::written).
    pub(super) fn pop_batch(&mut self, out: &mut Vec<u8>, settings: &Settings) -> (Batch, bool) {
        let batch = self.queue.pop_batch(out);
        self.settle(settings);
        if self.has_room(settings) {
            self.wake_senders();
        }
        (batch, self.queue.is_watched())
    }

    /// Everything that was popped is with the transport.
    #[must_use = "watchers are told without a lock"]
    pub(super) fn written(&mut self) -> Vec<Watcher> {
        self.queue.written()
    }

    /// Polling is over, the websocket carries on.
    pub(super) fn switch(&mut self) {
        self.release_get();
        self.transport = Transport::WebSocket;
    }

    /// Nothing can be sent any more. Gives back who watched what is lost; with `keep_queue` it
    /// still goes out.
    #[must_use = "watchers are told without a lock"]
    pub(super) fn begin_close(
        &mut self,
        keep_queue: bool,
        last_word: Option<LastWord>,
    ) -> Vec<Watcher> {
        self.stage = Stage::Closing;
        let lost = if keep_queue {
            Vec::new()
        } else {
            self.queue.clear()
        };
        self.say_last(last_word);
        self.finish_post();
        self.wake_get();
        self.wake_senders();
        lost
    }

    /// Nobody looks after the connection any more. Gives back who watched what is lost, and who
    /// watched what was being written.
    #[must_use = "watchers are told without a lock"]
    pub(super) fn end(&mut self, settings: &Settings) -> (Vec<Watcher>, Vec<Watcher>) {
        self.stage = Stage::Closed;
        let lost = self.queue.clear();
        let broken_off = self.queue.written();
        self.settle(settings);
        self.driver = None;
        self.finish_post();
        self.wake_get();
        self.wake_senders();
        (lost, broken_off)
    }
}
