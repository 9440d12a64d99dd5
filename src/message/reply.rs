use std::borrow::Cow;

use super::{Args, IntoArgs, OwnedArgs};

/// What a handler answers: nothing, arguments, or an event.
///
/// A message that carries an `id` gets the reply as its acknowledgement, whatever it is: nothing
/// and an event without arguments acknowledge with no arguments. To a message without `id`,
/// arguments are sent as an event of the message's own name, and nothing is not sent.
///
/// ```
/// use primacron::Reply;
///
/// let nothing = Reply::none();
/// let arguments = Reply::args(("moved", 3));
/// let event = Reply::event("board", ("e4",));
/// ```
#[derive(Debug, Default)]
pub struct Reply {
    pub(crate) body: ReplyBody,
}

#[derive(Debug, Default)]
pub(crate) enum ReplyBody {
    #[default]
    None,
    Args(OwnedArgs),
    Event(Cow<'static, str>, OwnedArgs),
}

impl Reply {
    /// Nothing, or a bare acknowledgement.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            body: ReplyBody::None,
        }
    }

    /// Arguments for the sender.
    #[must_use]
    pub fn args(args: impl IntoArgs + Send + 'static) -> Self {
        Self {
            body: ReplyBody::Args(args.into_owned()),
        }
    }

    /// An event for the sender.
    #[must_use]
    pub fn event(name: impl Into<Cow<'static, str>>, args: impl IntoArgs + Send + 'static) -> Self {
        Self {
            body: ReplyBody::Event(name.into(), args.into_owned()),
        }
    }
}

impl From<()> for Reply {
    fn from((): ()) -> Self {
        Self::none()
    }
}

impl From<Args> for Reply {
    fn from(args: Args) -> Self {
        Self::args(args)
    }
}

impl From<serde_json::Value> for Reply {
    fn from(value: serde_json::Value) -> Self {
        Self::args(value)
    }
}

impl<R: Into<Self>> From<Option<R>> for Reply {
    fn from(reply: Option<R>) -> Self {
        reply.map_or_else(Self::none, Into::into)
    }
}
