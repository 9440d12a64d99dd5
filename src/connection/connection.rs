use std::{fmt, sync::Arc, task::Waker, time::Instant};

use http::Extensions;
use hyper::upgrade::Upgraded;
use tokio::sync::Notify;

use super::{
    Endpoint,
    exchange::{Candidate, Exchange, Get, LastWord, Stage},
    queue::{Batch, Queue},
    shared::Shared,
    watch::{Fate, Watcher},
};
use crate::{
    config::QueuePolicy,
    engine::{CloseReason, Payload, Transport},
    message::{Codec, Encoded, Frame, Outlet, PushError, SendError, Socket, User},
    metrics::Metrics,
    notice::Notice,
};

/// One connection as everybody but its own task sees it.
///
/// Sockets, handles and requests hold it by `Arc`; the connection itself lives as long as its
/// task, the [`Driver`](super::Driver).
pub(crate) struct Connection {
    user: User,
    kept: Extensions,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) exchange: Shared,
}

/// What others left for the task of a connection.
#[derive(Default)]
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

impl Connection {
    pub(crate) fn new(
        endpoint: &Arc<Endpoint>,
        user: User,
        kept: Extensions,
        transport: Transport,
    ) -> Self {
        Self {
            user,
            kept,
            endpoint: Arc::clone(endpoint),
            exchange: Shared::new(Exchange::new(transport)),
        }
    }

    pub(crate) const fn user(&self) -> &User {
        &self.user
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn notify(&self, notice: Notice) {
        self.endpoint.settings.notices.post(notice);
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.endpoint.settings.metrics
    }

    #[inline]
    pub(crate) fn socket(self: &Arc<Self>) -> Socket {
        Socket::new(Arc::clone(self) as Arc<dyn Outlet>)
    }

    pub(crate) fn transport(&self) -> Transport {
        self.exchange.lock().transport
    }

    /// Queues a packet of the protocol beyond every limit: there are few of them.
    pub(crate) fn push_control(&self, frame: Frame) {
        self.push_beyond(&mut self.exchange.lock(), frame);
    }

    /// Queues an answer beyond the limit of the queue: while it is full, no handler is called.
    ///
    /// # Errors
    ///
    /// [`SendError::Separator`]; that the connection is closed is none.
    pub(super) fn push_answer(&self, answer: &Encoded<'_>) -> Result<(), SendError> {
        let mut exchange = self.exchange.lock();
        if exchange.transport == Transport::Polling {
            let frame = answer.to_frame();
            if !frame.suits_polling() {
                return Err(SendError::Separator);
            }
            self.push_beyond(&mut exchange, frame);
        } else if exchange.stage == Stage::Open {
            exchange.queue.append(answer);
        }
        self.metrics().sent();
        Ok(())
    }

    fn push_beyond(&self, exchange: &mut Exchange, frame: Frame) {
        if exchange.stage == Stage::Open {
            exchange.queue.push(frame);
            exchange.wake_get();
        }
    }

    /// Whether the outgoing queue takes another message.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.exchange.queue_cost() < self.limit()
    }

    /// Whether something waits to be sent.
    #[inline]
    pub(crate) fn has_queued(&self) -> bool {
        self.exchange.queue_cost() > 0
    }

    /// Takes what one write should carry, and says whether somebody wants to hear when it is
    /// [`written`](Self::written).
    pub(crate) fn pop_batch(&self, out: &mut Vec<u8>) -> (Batch, bool) {
        let mut exchange = self.exchange.lock();
        let batch = exchange.queue.pop_batch(out);
        exchange.settle(self.metrics());
        if exchange.queue.cost() < self.limit() {
            exchange.wake_senders();
        }
        (batch, exchange.queue.is_watched())
    }

    /// Everything that was popped is with the transport.
    pub(crate) fn written(&self) {
        let told = self.exchange.lock().queue.written();
        told.into_iter().for_each(|one| one.tell(Fate::Written));
    }

    /// Queues a frame as [`try_push`](Outlet::try_push) does; if it is queued, the watcher hears
    /// what becomes of it.
    pub(crate) fn try_push_watched(
        &self,
        frame: Frame,
        watcher: impl FnOnce() -> Watcher,
    ) -> Result<(), SendError> {
        self.queue_now(frame, |queue, frame| queue.push_watched(frame, watcher()))
    }

    fn queue_now(
        &self,
        frame: Frame,
        push: impl FnOnce(&mut Queue, Frame),
    ) -> Result<(), SendError> {
        let mut exchange = self.exchange.lock();
        self.check(&exchange, &frame)?;
        if self.make_room(&mut exchange, &frame) {
            push(&mut exchange.queue, frame);
            self.note_queued(&mut exchange);
            return Ok(());
        }
        if !frame.is_volatile() && self.endpoint.settings.queue_policy() == QueuePolicy::Close {
            exchange.request_close(CloseReason::QueueFull);
        }
        drop(exchange);
        self.notify(Notice::QueueFull {
            user: self.user.clone(),
        });
        Err(SendError::Full)
    }

    /// Registers the task and takes what was left for it.
    pub(super) fn attend(&self, waker: &Waker) -> Errands {
        let mut exchange = self.exchange.lock();
        match &mut exchange.driver {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        exchange.settle(self.metrics());
        let mut errands = Errands {
            close: exchange.close.take(),
            followed: exchange.followed,
            ..Errands::default()
        };
        if let Some(polling) = &mut exchange.polling {
            errands.post = polling.take_post();
            errands.candidate = polling.take_candidate();
        }
        errands
    }

    /// Whether others hear what the client sends, from its next message on.
    pub(crate) fn set_followed(&self, followed: bool) {
        self.exchange.lock().followed = followed;
    }

    /// All packets of the POST were handled, or never will be.
    pub(super) fn finish_post(&self) {
        self.exchange.lock().finish_post();
    }

    /// The POST under way holds bytes that are no packet; the connection is about to close.
    pub(super) fn blame_post(&self) {
        if let Some(polling) = &mut self.exchange.lock().polling {
            polling.malformed = true;
        }
    }

    /// Ends a held poll without a message.
    pub(crate) fn release_poll(&self) {
        let mut exchange = self.exchange.lock();
        if let Some(polling) = &mut exchange.polling
            && matches!(polling.get, Get::Held(_))
        {
            polling.last_word = Some(LastWord::Noop);
            exchange.wake_get();
        }
    }

    /// Polling is over, the websocket carries on.
    pub(super) fn switch(&self) {
        self.release_poll();
        self.exchange.lock().transport = Transport::WebSocket;
    }

    /// The candidate is gone; another one may come.
    pub(super) fn free_candidate(&self) {
        if let Some(polling) = &mut self.exchange.lock().polling {
            polling.candidate = Candidate::None;
        }
    }

    /// Lets requests compare clocks with the deadline of the heartbeat.
    pub(super) fn set_expiry(&self, expires_at: Option<Instant>) {
        if let Some(polling) = &mut self.exchange.lock().polling {
            polling.expires_at = expires_at;
        }
    }

    /// Nothing can be sent any more; `keep_queue` says whether what is queued still goes out.
    pub(super) fn begin_close(&self, keep_queue: bool, last_word: Option<LastWord>) {
        let mut exchange = self.exchange.lock();
        exchange.stage = Stage::Closing;
        let lost = if keep_queue {
            Vec::new()
        } else {
            exchange.queue.clear()
        };
        if let Some(polling) = &mut exchange.polling {
            let held = matches!(polling.get, Get::Held(_));
            polling.last_word = last_word.or_else(|| held.then_some(LastWord::Close));
        }
        exchange.finish_post();
        exchange.wake_get();
        exchange.wake_senders();
        drop(exchange);
        lost.into_iter().for_each(|one| one.tell(Fate::Lost));
    }

    /// Whether a client on polling has nothing more to hear.
    pub(super) fn said_goodbye(&self) -> bool {
        let exchange = self.exchange.lock();
        let polling = exchange.polling.as_ref();
        polling.is_none_or(|polling| polling.last_word.is_none())
    }

    /// Nobody looks after the connection any more.
    pub(super) fn end(&self) {
        let mut exchange = self.exchange.lock();
        exchange.stage = Stage::Closed;
        let lost = exchange.queue.clear();
        let broken_off = exchange.queue.written();
        exchange.settle(self.metrics());
        exchange.driver = None;
        exchange.finish_post();
        exchange.wake_get();
        exchange.wake_senders();
        drop(exchange);
        lost.into_iter().for_each(|one| one.tell(Fate::Lost));
        // They hear that nobody knows.
        drop(broken_off);
    }

    /// A message was put into the queue.
    fn note_queued(&self, exchange: &mut Exchange) {
        exchange.wake_mover();
        if exchange.transport == Transport::Polling {
            // The task does not look at it, only the next GET does.
            exchange.settle(self.metrics());
        }
        self.metrics().sent();
    }

    fn limit(&self) -> usize {
        self.endpoint.settings.queue_limit()
    }

    /// Whether a frame can be sent at all.
    fn check(&self, exchange: &Exchange, frame: &Frame) -> Result<(), SendError> {
        if exchange.stage != Stage::Open || exchange.close.is_some() {
            return Err(SendError::Closed);
        }
        if exchange.transport == Transport::Polling && !frame.suits_polling() {
            return Err(SendError::Separator);
        }
        if frame.len() > self.limit() {
            return Err(SendError::TooLarge);
        }
        Ok(())
    }

    /// Makes room by dropping what is volatile; whether the frame fits then.
    fn make_room(&self, exchange: &mut Exchange, frame: &Frame) -> bool {
        let fits = |queue: &Queue| queue.cost() + frame.len() <= self.limit();
        if fits(&exchange.queue) {
            return true;
        }
        if !frame.is_volatile() && exchange.queue.drop_volatile() {
            exchange.made_room();
        }
        fits(&exchange.queue)
    }
}

impl Outlet for Connection {
    fn user(&self) -> &User {
        &self.user
    }

    fn extensions(&self) -> &Extensions {
        &self.kept
    }

    fn codec(&self) -> &dyn Codec {
        &*self.endpoint.settings.codec
    }

    fn try_push(&self, frame: Frame) -> Result<(), SendError> {
        self.queue_now(frame, Queue::push)
    }

    fn push_or_wait(&self, frame: Frame) -> Result<(), PushError> {
        let mut exchange = self.exchange.lock();
        self.check(&exchange, &frame).map_err(PushError::Refused)?;
        if !self.make_room(&mut exchange, &frame) {
            let room = exchange.room.get_or_insert_with(|| Arc::new(Notify::new()));
            return Err(PushError::Full(frame, Arc::clone(room).notified_owned()));
        }
        exchange.queue.push(frame);
        self.note_queued(&mut exchange);
        Ok(())
    }

    fn close(&self, reason: CloseReason) {
        self.exchange.lock().request_close(reason);
    }

    fn is_open(&self) -> bool {
        let exchange = self.exchange.lock();
        exchange.stage == Stage::Open && exchange.close.is_none()
    }

    fn queued_bytes(&self) -> usize {
        self.exchange.lock().queue.bytes()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
