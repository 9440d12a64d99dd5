use std::{fmt, sync::Arc};

use http::Extensions;
use tokio::sync::futures::OwnedNotified;

use super::{Codec, EncodeError, Frame, IntoArgs, Outgoing, User};
use crate::engine::CloseReason;

/// Names of events that begin so are the library's own.
const RESERVED: &str = "error::";

/// Tells a follower that it missed something.
pub(crate) const FOLLOW_GAP: &str = "follow::gap";

/// The connection that a message came from: the way to send to it.
///
/// Cheap to clone; keeping one keeps the connection's memory, not the connection.
#[derive(Clone)]
pub struct Socket {
    outlet: Arc<dyn Outlet>,
}

/// Where frames for one connection go.
pub(crate) trait Outlet: Send + Sync {
    fn user(&self) -> &User;
    fn extensions(&self) -> &Extensions;
    fn codec(&self) -> &dyn Codec;
    /// Queues a frame; what happens when the queue is full is the connection's policy.
    fn try_push(&self, frame: Frame) -> Result<(), SendError>;
    /// Queues a frame, or gives it back with the notice of room.
    fn push_or_wait(&self, frame: Frame) -> Result<(), PushError>;
    fn close(&self, reason: CloseReason);
    fn is_open(&self) -> bool;
    fn queued_bytes(&self) -> usize;
}

/// Why a frame was not queued by somebody who can wait.
#[derive(Debug)]
pub(crate) enum PushError {
    Full(Frame, OwnedNotified),
    Refused(SendError),
}

/// Why a message was not queued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closed or closing.
    #[error("connection is closed")]
    Closed,
    /// The outgoing queue is full; see [`QueuePolicy`](crate::QueuePolicy) for what became of the
    /// connection.
    #[error("outgoing queue is full")]
    Full,
    /// The message alone is larger than the queue may be.
    #[error("message is larger than the outgoing queue")]
    TooLarge,
    /// The text holds U+001E, which long polling cannot carry, and the client is on long polling.
    /// Only codecs that do not escape it, such as [`Raw`](crate::Raw), can meet this.
    #[error("text holds the separator of long polling")]
    Separator,
    /// Names of events that begin with `error::` are the library's own, and `follow::gap` is.
    #[error("event name is reserved")]
    ReservedEvent,
    /// The codec cannot express the message.
    #[error(transparent)]
    Encode(EncodeError),
}

impl Socket {
    pub(crate) fn new(outlet: Arc<dyn Outlet>) -> Self {
        Self { outlet }
    }

    /// Who is at the other end.
    #[must_use]
    pub fn user(&self) -> &User {
        self.outlet.user()
    }

    /// What was kept of the handshake request.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        self.outlet.extensions()
    }

    /// Sends an event, waiting while the outgoing queue is full.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`], [`SendError::TooLarge`], [`SendError::ReservedEvent`] and
    /// [`SendError::Encode`]; never [`SendError::Full`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, nothing was sent.
    pub async fn send(&self, event: &str, args: impl IntoArgs) -> Result<(), SendError> {
        let frame = self.frame(event, &args)?;
        drop(args);
        push(&*self.outlet, frame).await
    }

    /// Sends an event now or not at all.
    ///
    /// # Errors
    ///
    /// All of [`SendError`]. When the queue is full, the
    /// [`QueuePolicy`](crate::QueuePolicy) decides what becomes of the connection.
    pub fn try_send(&self, event: &str, args: impl IntoArgs) -> Result<(), SendError> {
        self.outlet.try_push(self.frame(event, &args)?)
    }

    /// Sends an event that is the first to be dropped when the queue is full.
    ///
    /// # Errors
    ///
    /// All of [`SendError`]; the connection survives a full queue.
    pub fn try_send_volatile(&self, event: &str, args: impl IntoArgs) -> Result<(), SendError> {
        self.outlet.try_push(self.frame(event, &args)?.volatile())
    }

    /// Closes the connection after what is queued was sent. The reason shows up in the
    /// `disconnect` notice; the client hears only that the server closed.
    pub fn close(&self, reason: impl Into<std::borrow::Cow<'static, str>>) {
        self.outlet.close(CloseReason::Application(reason.into()));
    }

    /// Whether messages can still be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outlet.is_open()
    }

    /// How many bytes wait to be sent.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.outlet.queued_bytes()
    }

    fn frame(&self, event: &str, args: &impl IntoArgs) -> Result<Frame, SendError> {
        encode_event(self.outlet.codec(), event, args)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("user", self.user())
            .finish_non_exhaustive()
    }
}

/// Whether only the library sends events of this name.
pub(crate) fn is_reserved(event: &str) -> bool {
    event.starts_with(RESERVED) || event == FOLLOW_GAP
}

/// An event of the application as a frame.
pub(crate) fn encode_event(
    codec: &dyn Codec,
    event: &str,
    args: &impl IntoArgs,
) -> Result<Frame, SendError> {
    if is_reserved(event) {
        return Err(SendError::ReservedEvent);
    }
    Frame::encode(codec, &Outgoing::new(event, args.as_args())).map_err(SendError::Encode)
}

/// Queues a frame, waiting for room.
pub(crate) async fn push(outlet: &(impl Outlet + ?Sized), frame: Frame) -> Result<(), SendError> {
    let mut frame = frame;
    loop {
        match outlet.push_or_wait(frame) {
            Ok(()) => return Ok(()),
            Err(PushError::Refused(error)) => return Err(error),
            Err(PushError::Full(back, room)) => {
                frame = back;
                room.await;
            }
        }
    }
}
