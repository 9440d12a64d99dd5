use std::any::Any;

use http::Extensions;

use super::Outbox;
use crate::message::{Args, EventId, IntoArgs, Message, RawInput, Reply, ReplyBody, User};

/// Builds a [`Message`] as if a validator had let it pass; made by [`Message::builder`].
#[must_use = "a builder does nothing until it builds"]
pub struct MessageBuilder {
    event: String,
    json: Box<serde_json::value::RawValue>,
    args: Args,
    id: Option<u64>,
    data: Option<Box<dyn Any + Send>>,
    user: User,
    extensions: Extensions,
    outbox: Outbox,
}

impl Message {
    /// Begins a message for a test of a handler.
    ///
    /// # Panics
    ///
    /// When the arguments cannot be expressed in JSON.
    #[track_caller]
    pub fn builder(event: &str, args: impl IntoArgs) -> MessageBuilder {
        let json = serde_json::value::to_raw_value(&args.as_args());
        let json = json.expect("the arguments are JSON");
        MessageBuilder {
            event: event.to_owned(),
            args: Args::from_json(json.get()).expect("arguments are a sequence"),
            json,
            id: None,
            data: None,
            user: User::new("account", "session", "sid"),
            extensions: Extensions::new(),
            outbox: Outbox::new(),
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

    /// Where what is sent through its socket can be seen; nowhere by default.
    pub fn outbox(mut self, outbox: &Outbox) -> Self {
        self.outbox = outbox.clone();
        self
    }

    /// The message. Its [`raw_input`](Message::raw_input) is what a client would have sent.
    #[must_use]
    pub fn build(self) -> Message {
        Message {
            raw: self.raw(),
            event: self.event.into(),
            args: self.args,
            id: self.id,
            known: EventId::default(),
            data: self.data,
            socket: self.outbox.connect(self.user, self.extensions),
        }
    }

    fn raw(&self) -> RawInput {
        let event = serde_json::Value::from(&*self.event);
        let id = self.id.map(|id| format!(r#","id":{id}"#));
        let (args, id) = (self.json.get(), id.unwrap_or_default());
        RawInput::from(format!(r#"{{"event":{event},"args":{args}{id}}}"#))
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
