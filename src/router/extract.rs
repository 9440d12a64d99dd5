use std::{any::type_name, convert::Infallible, error::Error, fmt, ops::Deref};

use bytestring::ByteString;
use serde::de::DeserializeOwned;

use crate::{
    error::PublicError,
    message::{Args, Message, RawInput, Socket, User},
    validate::{BoxValidator, optional, shape},
};

/// What a handler of a [`EventRouter`](super::EventRouter) may take as an argument; `S` is the router's state.
///
/// Beside the extractors of this module these are [`User`], [`Socket`], [`Args`] and [`RawInput`];
/// `Option<T>` is `None` where `T` would fail. An extractor does not wait: who must ask somebody does
/// so in the handler or in a middleware.
///
/// ```
/// use primacron::{Message, PublicError, router::FromMessage};
///
/// /// The account, if it is one of the staff.
/// struct Staff(String);
///
/// impl<S> FromMessage<S> for Staff {
///     type Rejection = PublicError;
///
///     fn from_message(message: &mut Message, _: &S) -> Result<Self, PublicError> {
///         match message.user().account().strip_prefix("staff:") {
///             Some(name) => Ok(Self(name.to_owned())),
///             None => Err(PublicError::new("only for the staff")),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that a handler can take out of a message",
    label = "not an extractor",
    note = "extractors are `Data<T>`, `Parsed<T>`, `State<T>`, `Extension<T>`, `Event`, `AckId`, `User`, `Socket`, `Args`, `RawInput` and what implements `FromMessage`; the whole `Message` must be the last argument"
)]
pub trait FromMessage<S>: Sized {
    /// Why it could not be had: the message then ends as if its handler had failed so, with the
    /// notice `error::handler`. The client reads the text only of a [`PublicError`].
    type Rejection: Into<Box<dyn Error + Send + Sync>>;

    /// Takes it out of the message.
    ///
    /// # Errors
    ///
    /// When the message does not have it.
    fn from_message(message: &mut Message, state: &S) -> Result<Self, Self::Rejection>;

    /// The validator that makes sure of it. A handler brings the validator of its arguments along, of
    /// which one at most may have one. None by default.
    #[must_use]
    fn validator() -> Option<BoxValidator> {
        None
    }
}

/// The state of a router, or a part of it that [`FromRef`] finds there.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a pattern to take apart")]
pub struct State<T>(pub T);

impl<S, T: FromRef<S>> FromMessage<S> for State<T> {
    type Rejection = Infallible;

    fn from_message(_: &mut Message, state: &S) -> Result<Self, Infallible> {
        Ok(Self(T::from_ref(state)))
    }
}

/// A part of a router's state; the whole of it, where that is `Clone`.
pub trait FromRef<S> {
    /// Clones the part.
    fn from_ref(state: &S) -> Self;
}

impl<T: Clone> FromRef<T> for T {
    fn from_ref(state: &T) -> Self {
        state.clone()
    }
}

/// The arguments of the message as a `T`, as
/// [`validate_as`](crate::PrimacronLayer::validate_as) reads them: of one argument `T` is made from
/// it, of several `T` is a tuple, of none `T` is `()`.
///
/// It brings its validator along. Nothing is parsed twice: this is the value that the validator
/// made. An `Option<Data<T>>` lets messages without arguments pass too.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a pattern to take apart")]
pub struct Data<T>(pub T);

impl<S, T: DeserializeOwned + Send + 'static> FromMessage<S> for Data<T> {
    type Rejection = Missing;

    fn from_message(message: &mut Message, _: &S) -> Result<Self, Missing> {
        message.take_data().map(Self).ok_or_else(Missing::data::<T>)
    }

    fn validator() -> Option<BoxValidator> {
        Some(Box::new(shape::<T>()))
    }
}

/// As [`Data`], of a type whose rules `garde` checks.
#[cfg(feature = "garde")]
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a pattern to take apart")]
pub struct Valid<T>(pub T);

#[cfg(feature = "garde")]
impl<S, T> FromMessage<S> for Valid<T>
where
    T: DeserializeOwned + garde::Validate<Context: Default> + Send + 'static,
{
    type Rejection = Missing;

    fn from_message(message: &mut Message, _: &S) -> Result<Self, Missing> {
        message.take_data().map(Self).ok_or_else(Missing::data::<T>)
    }

    fn validator() -> Option<BoxValidator> {
        Some(Box::new(crate::validate::garde::<T>()))
    }
}

/// The value that the event's validator made with [`Verdict::parsed`](crate::Verdict::parsed), of whatever type. It brings
/// no validator along: the event needs one.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a pattern to take apart")]
pub struct Parsed<T>(pub T);

impl<S, T: Send + 'static> FromMessage<S> for Parsed<T> {
    type Rejection = Missing;

    fn from_message(message: &mut Message, _: &S) -> Result<Self, Missing> {
        message.take_data().map(Self).ok_or_else(Missing::data::<T>)
    }
}

/// Something that was kept of the handshake, see [`keep`](crate::PrimacronLayer::keep).
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a pattern to take apart")]
pub struct Extension<T>(pub T);

impl<S, T: Clone + Send + Sync + 'static> FromMessage<S> for Extension<T> {
    type Rejection = Missing;

    fn from_message(message: &mut Message, _: &S) -> Result<Self, Missing> {
        let kept = message.extensions().get::<T>().cloned();
        kept.map(Self).ok_or_else(Missing::extension::<T>)
    }
}

/// The number by which the client wants an answer. To a message without one the client hears that it
/// needs one; an `Option<AckId>` takes both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a pattern to take apart")]
pub struct AckId(pub u64);

impl<S> FromMessage<S> for AckId {
    type Rejection = PublicError;

    fn from_message(message: &mut Message, _: &S) -> Result<Self, PublicError> {
        let id = message.id().map(Self);
        id.ok_or_else(|| PublicError::new("the message needs an id"))
    }
}

/// The name of the event, prefixes included.
#[derive(Clone, PartialEq, Eq)]
pub struct Event(ByteString);

impl<S> FromMessage<S> for Event {
    type Rejection = Infallible;

    fn from_message(message: &mut Message, _: &S) -> Result<Self, Infallible> {
        Ok(Self(message.event.clone()))
    }
}

impl Deref for Event {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Event").field(&&**self).finish()
    }
}

impl<S, T: FromMessage<S>> FromMessage<S> for Option<T> {
    type Rejection = Infallible;

    fn from_message(message: &mut Message, state: &S) -> Result<Self, Infallible> {
        Ok(T::from_message(message, state).ok())
    }

    fn validator() -> Option<BoxValidator> {
        Some(Box::new(optional(T::validator()?)))
    }
}

macro_rules! parts {
    ($($part:ty: $take:expr;)+) => {$(
        impl<S> FromMessage<S> for $part {
            type Rejection = Infallible;

            fn from_message(message: &mut Message, _: &S) -> Result<Self, Infallible> {
                let take: fn(&Message) -> &Self = $take;
                Ok(take(message).clone())
            }
        }
    )+};
}

parts! {
    User: Message::user;
    Socket: Message::socket;
    Args: Message::args;
    RawInput: Message::raw_input;
}

/// Why an extractor of this module found nothing: the application's fault, and nothing that a client
/// reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// No extension of this type was kept of the handshake.
    #[error("no {0} was kept of the handshake")]
    Extension(&'static str),
    /// The event's validator made no value of this type, or somebody took it before.
    #[error("the message carries no {0}")]
    Data(&'static str),
}

impl Missing {
    fn extension<T>() -> Self {
        Self::Extension(type_name::<T>())
    }

    fn data<T>() -> Self {
        Self::Data(type_name::<T>())
    }
}
