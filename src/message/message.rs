use std::{any::Any, fmt};

use bytestring::ByteString;
use http::Extensions;

use super::{Args, EventId, RawInput, Socket, User};

/// A message of a client that has passed its validator.
///
/// Only the pipeline makes one, and only from what a validator let through; tests build theirs
/// with `Message::builder` (feature `testing`).
pub struct Message {
    pub(crate) event: ByteString,
    pub(crate) args: Args,
    pub(crate) id: Option<u64>,
    pub(crate) known: EventId,
    pub(crate) raw: RawInput,
    pub(crate) data: Option<Box<dyn Any + Send>>,
    pub(crate) socket: Socket,
}

impl Message {
    /// The name of the event.
    #[must_use]
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The arguments, as the client sent them or as the validator returned them.
    #[must_use]
    pub fn args(&self) -> &Args {
        &self.args
    }

    /// The value that `validate_as::<T>` made of the arguments, if that was the validator and `T`
    /// its type.
    #[must_use]
    pub fn data<T: 'static>(&self) -> Option<&T> {
        self.data.as_ref()?.downcast_ref()
    }

    /// Takes that value out of the message.
    pub fn take_data<T: 'static>(&mut self) -> Option<T> {
        match self.data.take()?.downcast() {
            Ok(data) => Some(*data),
            Err(other) => {
                self.data = Some(other);
                None
            }
        }
    }

    /// The message as the client sent it, envelope included.
    #[must_use]
    pub fn raw_input(&self) -> &RawInput {
        &self.raw
    }

    /// The number by which the client wants an answer.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        self.id
    }

    /// Who sent it.
    #[must_use]
    pub fn user(&self) -> &User {
        self.socket.user()
    }

    /// What was kept of the handshake request.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        self.socket.extensions()
    }

    /// The connection that it came from, to send to.
    #[must_use]
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

/// Shows no argument: what clients send does not belong into logs.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("event", &self.event)
            .field("id", &self.id)
            .field("user", self.user())
            .finish_non_exhaustive()
    }
}
