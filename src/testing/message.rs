use std::{any::Any, sync::Arc};

use http::Extensions;
use parking_lot::Mutex;

use crate::{
    engine::CloseReason,
    message::{
        Args, Codec, Frame, IntoArgs, Json, Message, Outlet, PushError, RawInput, Reply, ReplyBody,
        SendError, Socket, User,
    },
};

/// Builds a [`Message`] as if a validator had let it pass; made by [`Message::builder`].
#[must_use = "a builder does nothing until it builds"]
pub struct MessageBuilder {
    event: String,
    args: Args,
    id: Option<u64>,
    data: Option<Box<dyn Any + Send>>,
    user: User,
    extensions: Extensions,
}

impl Message {
    /// Begins a message for a test of a handler.
    ///
    /// # Panics
    ///
    /// When the arguments cannot be expressed in JSON.
    #[track_caller]
    pub fn builder(event: &str, args: impl IntoArgs) -> MessageBuilder {
        let json = serde_json::to_string(&args.as_args()).expect("the arguments are JSON");
        MessageBuilder {
            event: event.to_owned(),
            args: Args::from_json(&json).expect("arguments are a sequence"),
            id: None,
            data: None,
            user: User::new("account", "session", "sid"),
            extensions: Extensions::new(),
        }
    }
}

impl MessageBuilder {
    /// Who sends it; account `account`, session `session` by default.
    pub fn user(mut self, user: User) -> Self {
        self.user = user;
        self
    }

    /// The number by which the client wants an answer; none by default.
    pub fn id(mut self, id: u64) -> Self {
        self.id = Some(id);
        self
    }

    /// The value that `validate_as` would have made.
    pub fn data<T: Send + 'static>(mut self, data: T) -> Self {
        self.data = Some(Box::new(data));
        self
    }

    /// Something that was kept of the handshake.
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// The message.
    #[must_use]
    pub fn build(self) -> Message {
        let raw = serde_json::json!({ "event": self.event }).to_string();
        Message {
            event: self.event.into(),
            args: self.args,
            id: self.id,
            raw: RawInput::from(raw),
            data: self.data,
            socket: Socket::new(Arc::new(Detached {
                user: self.user,
                extensions: self.extensions,
                sent: Mutex::default(),
            })),
        }
    }
}

impl std::fmt::Debug for MessageBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageBuilder")
            .field("event", &self.event)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Reply {
    /// Name and arguments, if the reply is an event.
    #[must_use]
    pub fn as_event(&self) -> Option<(&str, serde_json::Value)> {
        match &self.body {
            ReplyBody::Event(name, _) => Some((name, self.to_json()?)),
            ReplyBody::None | ReplyBody::Args(_) => None,
        }
    }

    /// The arguments as JSON; `None` if the reply is nothing.
    #[must_use]
    pub fn to_json(&self) -> Option<serde_json::Value> {
        match &self.body {
            ReplyBody::Event(_, args) | ReplyBody::Args(args) => {
                serde_json::to_value(args.as_args()).ok()
            }
            ReplyBody::None => None,
        }
    }
}

/// A connection that leads nowhere and remembers what it was given.
struct Detached {
    user: User,
    extensions: Extensions,
    sent: Mutex<State>,
}

#[derive(Default)]
struct State {
    bytes: usize,
    closed: bool,
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
        let mut sent = self.sent.lock();
        if sent.closed {
            return Err(SendError::Closed);
        }
        sent.bytes += frame.len();
        Ok(())
    }

    fn push_or_wait(&self, frame: Frame) -> Result<(), PushError> {
        self.try_push(frame).map_err(PushError::Refused)
    }

    fn close(&self, _: CloseReason) {
        self.sent.lock().closed = true;
    }

    fn is_open(&self) -> bool {
        !self.sent.lock().closed
    }

    fn queued_bytes(&self) -> usize {
        self.sent.lock().bytes
    }
}
