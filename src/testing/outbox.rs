use std::{fmt, sync::Arc};

use http::Extensions;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use super::Received;
use crate::{
    engine::CloseReason,
    message::{Codec, Frame, Json, Outlet, PushError, SendError, Socket, User, WireKind},
};

/// What was sent through the socket of a message that was made by hand, or through a
/// [`socket`](Self::socket) that was.
///
/// Cheap to clone; all clones show the same. It may be told to be full or closed, so that a test
/// sees what a handler makes of that.
///
/// ```
/// use primacron::{SendError, User, testing::Outbox};
/// use serde_json::json;
///
/// let outbox = Outbox::new();
/// let socket = outbox.socket(User::new("ann", "session", "sid"));
///
/// socket.try_send("news", ("hello",)).unwrap();
/// outbox.fill();
/// assert!(matches!(socket.try_send("more", ()), Err(SendError::Full)));
/// socket.close("bye");
///
/// assert_eq!(outbox.take_events(), [("news".to_owned(), json!(["hello"]))]);
/// assert_eq!(outbox.closed().as_deref(), Some("bye"));
/// ```
#[derive(Clone, Default)]
pub struct Outbox {
    inside: Arc<Inside>,
}

#[derive(Default)]
struct Inside {
    state: Mutex<State>,
    room: Arc<Notify>,
}

#[derive(Default)]
struct State {
    frames: Vec<Frame>,
    full: bool,
    closed: Option<CloseReason>,
}

impl Outbox {
    /// An empty one, with room for everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A socket whose messages land here.
    #[must_use]
    pub fn socket(&self, user: User) -> Socket {
        self.connect(user, Extensions::new())
    }

    /// The events that were sent and not taken, oldest first, each with its arguments as an array.
    #[must_use]
    pub fn events(&self) -> Vec<(String, Value)> {
        let state = self.inside.state.lock();
        state.frames.iter().filter_map(event).collect()
    }

    /// Takes the events out.
    #[must_use]
    pub fn take_events(&self) -> Vec<(String, Value)> {
        let frames = std::mem::take(&mut self.inside.state.lock().frames);
        frames.iter().filter_map(event).collect()
    }

    /// The reason for which the connection was closed, if it was.
    #[must_use]
    pub fn closed(&self) -> Option<String> {
        let state = self.inside.state.lock();
        state.closed.as_ref().map(ToString::to_string)
    }

    /// From now on there is no room: who cannot wait is refused, who can waits.
    pub fn fill(&self) {
        self.inside.state.lock().full = true;
    }

    /// From now on there is room again, for those who wait too.
    pub fn make_room(&self) {
        self.inside.state.lock().full = false;
        self.inside.room.notify_waiters();
    }

    /// The client goes away: nothing more can be sent.
    pub fn disconnect(&self) {
        self.inside.close(CloseReason::TransportClose);
    }

    pub(super) fn connect(&self, user: User, extensions: Extensions) -> Socket {
        Socket::new(Arc::new(Detached {
            user,
            extensions,
            outbox: Arc::clone(&self.inside),
        }))
    }
}

fn event(frame: &Frame) -> Option<(String, Value)> {
    let text = match frame.kind() {
        WireKind::Text => std::str::from_utf8(frame.payload()).ok()?,
        WireKind::Binary => return None,
    };
    match Received::of_text(text.strip_prefix('4')?) {
        Received::Event { name, args } => Some((name, args)),
        _ => None,
    }
}

impl Inside {
    fn close(&self, reason: CloseReason) {
        self.state.lock().closed.get_or_insert(reason);
        self.room.notify_waiters();
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("events", &self.events())
            .field("closed", &self.closed())
            .finish()
    }
}

/// A connection that leads nowhere but to its outbox.
struct Detached {
    user: User,
    extensions: Extensions,
    outbox: Arc<Inside>,
}

impl Outlet for Detached {
    fn user(&self) -> &User {
        &self.user
    }

    fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    fn codec(&self) -> &dyn Codec {
        &Json
    }

    fn try_push(&self, frame: Frame) -> Result<(), SendError> {
        match self.push_or_wait(frame) {
            Ok(()) => Ok(()),
            Err(PushError::Full(..)) => Err(SendError::Full),
            Err(PushError::Refused(error)) => Err(error),
        }
    }

    fn push_or_wait(&self, frame: Frame) -> Result<(), PushError> {
        let mut state = self.outbox.state.lock();
        if state.closed.is_some() {
            return Err(PushError::Refused(SendError::Closed));
        }
        if state.full {
            let room = Arc::clone(&self.outbox.room).notified_owned();
            return Err(PushError::Full(frame, room));
        }
        state.frames.push(frame);
        Ok(())
    }

    fn close(&self, reason: CloseReason) {
        self.outbox.close(reason);
    }

    fn is_open(&self) -> bool {
        self.outbox.state.lock().closed.is_none()
    }

    fn queued_bytes(&self) -> usize {
        let state = self.outbox.state.lock();
        state.frames.iter().map(Frame::len).sum()
    }
}
