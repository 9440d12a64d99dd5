use std::{fmt, sync::Arc, task::Waker, time::Instant};

use http::Extensions;

use super::{
    Endpoint,
    exchange::{Errands, Exchange, LastWord},
    queue::Batch,
    shared::Shared,
    watch::{Fate, Watcher},
};
use crate::{
    config::{QueuePolicy, Settings},
    engine::{CloseReason, Fact, Transport},
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

    /// The connection has ended for everybody but its task.
    pub(super) fn tell_end(&self, transport: Transport, reason: &CloseReason) {
        self.metrics().disconnected(transport, reason);
        self.notify(Notice::Disconnect {
            user: self.user.clone(),
            reason: reason.clone(),
        });
    }

    pub(crate) fn transport(&self) -> Transport {
        self.exchange.lock().transport()
    }

    /// Queues a packet of the protocol beyond every limit: there are few of them.
    pub(crate) fn push_control(&self, frame: Frame) {
        self.exchange.lock().push_control(frame);
    }

    /// Queues an answer beyond the limit of the queue: while it is full, no handler is called.
    ///
    /// # Errors
    ///
    /// [`SendError::Separator`]; that the connection is closed is none.
    pub(super) fn push_answer(&self, answer: &Encoded<'_>) -> Result<(), SendError> {
        self.exchange.lock().push_answer(answer)?;
        self.metrics().sent();
        Ok(())
    }

    /// Whether the outgoing queue takes another message.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.exchange.queue_cost() < self.settings().queue_limit()
    }

    /// Whether something waits to be sent.
    #[inline]
    pub(crate) fn has_queued(&self) -> bool {
        self.exchange.queue_cost() > 0
    }

    /// Takes what one write should carry, and says whether somebody wants to hear when it is
    /// [`written`](Self::written).
    pub(crate) fn pop_batch(&self, out: &mut Vec<u8>) -> (Batch, bool) {
        self.exchange.lock().pop_batch(out, self.settings())
    }

    /// Everything that was popped is with the transport.
    pub(crate) fn written(&self) {
        let told = self.exchange.lock().written();
        tell(told, Fate::Written);
    }

    /// Queues a frame as [`try_push`](Outlet::try_push) does; if it is queued, the watcher hears
    /// what becomes of it.
    pub(crate) fn try_push_watched(
        &self,
        frame: Frame,
        watcher: impl FnOnce() -> Watcher,
    ) -> Result<(), SendError> {
        self.queue_now(frame, || Some(watcher()))
    }

    fn queue_now(
        &self,
        frame: Frame,
        watcher: impl FnOnce() -> Option<Watcher>,
    ) -> Result<(), SendError> {
        let settings = self.settings();
        let mut exchange = self.exchange.lock();
        let refused = match exchange.admit(&frame, settings) {
            Ok(()) => {
                exchange.push(frame, watcher(), settings);
                self.metrics().sent();
                return Ok(());
            }
            Err(refused) => refused,
        };
        if matches!(refused, SendError::Full) {
            if !frame.is_volatile() && settings.queue_policy() == QueuePolicy::Close {
                exchange.request_close(Fact::Overfull.reason());
            }
            drop(exchange);
            self.notify(Notice::QueueFull {
                user: self.user.clone(),
            });
        }
        Err(refused)
    }

    /// Registers the task and takes what was left for it.
    pub(super) fn attend(&self, waker: &Waker) -> Errands {
        self.exchange.lock().attend(waker, self.settings())
    }

    /// Whether others hear what the client sends, from its next message on.
    pub(crate) fn set_followed(&self, followed: bool) {
        self.exchange.lock().set_followed(followed);
    }

    /// All packets of the POST were handled, or never will be.
    pub(super) fn finish_post(&self) {
        self.exchange.lock().finish_post();
    }

    /// The POST under way holds bytes that are no packet; the connection is about to close.
    pub(super) fn blame_post(&self) {
        self.exchange.lock().blame_post();
    }

    /// Ends a held poll without a message.
    pub(crate) fn release_poll(&self) {
        self.exchange.lock().release_get();
    }

    /// Polling is over, the websocket carries on.
    pub(super) fn switch(&self) {
        self.exchange.lock().switch();
    }

    /// The candidate is gone; another one may come.
    pub(super) fn free_candidate(&self) {
        self.exchange.lock().free_candidate();
    }

    /// Lets requests compare clocks with the deadline of the heartbeat.
    pub(super) fn set_expiry(&self, expires_at: Option<Instant>) {
        self.exchange.lock().set_expiry(expires_at);
    }

    /// Nothing can be sent any more; `keep_queue` says whether what is queued still goes out.
    pub(super) fn begin_close(&self, keep_queue: bool, last_word: Option<LastWord>) {
        let lost = self.exchange.lock().begin_close(keep_queue, last_word);
        tell(lost, Fate::Lost);
    }

    /// Whether a client on polling has nothing more to hear.
    pub(super) fn said_goodbye(&self) -> bool {
        self.exchange.lock().said_last()
    }

    /// Nobody looks after the connection any more.
    pub(super) fn end(&self) {
        let (lost, broken_off) = self.exchange.lock().end(self.settings());
        tell(lost, Fate::Lost);
        // They hear that nobody knows.
        drop(broken_off);
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.endpoint.settings
    }
}

/// Without a lock: they are functions of others.
pub(super) fn tell(watchers: Vec<Watcher>, fate: Fate) {
    watchers.into_iter().for_each(|one| one.tell(fate));
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
        self.queue_now(frame, || None)
    }

    fn push_or_wait(&self, frame: Frame) -> Result<(), PushError> {
        let mut exchange = self.exchange.lock();
        match exchange.admit(&frame, self.settings()) {
            Ok(()) => {
                exchange.push(frame, None, self.settings());
                self.metrics().sent();
                Ok(())
            }
            Err(SendError::Full) => Err(PushError::Full(frame, exchange.wait_for_room())),
            Err(refused) => Err(PushError::Refused(refused)),
        }
    }

    fn close(&self, reason: CloseReason) {
        self.exchange.lock().request_close(reason);
    }

    fn is_open(&self) -> bool {
        self.exchange.lock().is_open()
    }

    fn queued_bytes(&self) -> usize {
        self.exchange.lock().queued_bytes()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
