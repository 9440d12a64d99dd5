use std::{any::Any, fmt, pin::Pin};

use super::{Args, ArgsError, User};

/// What a client hears of arguments that are not what was asked for.
const NOT_THE_SHAPE: &str = "arguments do not fit the event";

/// A validator's no, with a text for the client: at most 256 bytes of it are sent.
///
/// What only the application may know, such as the argument that did not fit, is its
/// [`source`](std::error::Error::source).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    text: String,
    #[source]
    cause: Option<Box<ArgsError>>,
}

impl Refusal {
    /// Refuses with a text that the client may read.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            cause: None,
        }
    }

    /// Refuses with a text for the client, and what only the application may know.
    #[cfg(feature = "json-schema")]
    pub(crate) fn with_cause(text: String, cause: ArgsError) -> Self {
        Self {
            text,
            cause: Some(Box::new(cause)),
        }
    }

    /// The text for the client.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Default for Refusal {
    fn default() -> Self {
        Self::new("failed to validate the data")
    }
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Refusal {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// The client does not read the error, which may show our types and its own message.
impl From<ArgsError> for Refusal {
    fn from(error: ArgsError) -> Self {
        Self {
            text: NOT_THE_SHAPE.into(),
            cause: Some(Box::new(error)),
        }
    }
}

/// What a validator found.
pub struct Verdict(pub(crate) Found);

pub(crate) enum Found {
    Pass,
    /// These arguments instead, and the value that they were parsed into.
    Replace(Args, Option<Box<dyn Any + Send>>),
    /// The value that the arguments were parsed into.
    Parsed(Box<dyn Any + Send>),
    Refuse(Refusal),
    Later(Pin<Box<dyn Future<Output = Verdict> + Send>>),
}

impl Verdict {
    /// The message may pass as it is.
    #[must_use]
    pub const fn pass() -> Self {
        Self(Found::Pass)
    }

    /// The message passes with these arguments in place of its own.
    #[must_use]
    pub const fn replace(args: Args) -> Self {
        Self(Found::Replace(args, None))
    }

    /// The message passes and carries a value that was made from it.
    pub fn parsed<T: Send + 'static>(value: T) -> Self {
        Self(Found::Parsed(Box::new(value)))
    }

    /// The message is refused.
    #[must_use]
    pub const fn refuse(refusal: Refusal) -> Self {
        Self(Found::Refuse(refusal))
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Found::Pass => "Verdict::Pass",
            Found::Replace(..) => "Verdict::Replace",
            Found::Parsed(_) => "Verdict::Parsed",
            Found::Refuse(_) => "Verdict::Refuse",
            Found::Later(_) => "Verdict::Later",
        })
    }
}

/// What a validator may return: a `bool`; `Ok(())` or `Ok(args)` to pass, with other arguments if
/// it transforms; an `Err` with a text for the client; or a [`Verdict`].
#[diagnostic::on_unimplemented(
    message = "a validator cannot return `{Self}`",
    note = "return `bool`, `Result<(), E>`, `Result<Args, E>` or `Verdict`, where `E` is a text or a `Refusal`"
)]
pub trait IntoVerdict {
    /// Makes the verdict.
    fn into_verdict(self) -> Verdict;
}

impl IntoVerdict for Verdict {
    fn into_verdict(self) -> Verdict {
        self
    }
}

impl IntoVerdict for bool {
    fn into_verdict(self) -> Verdict {
        if self {
            Verdict::pass()
        } else {
            Verdict::refuse(Refusal::default())
        }
    }
}

impl<E: Into<Refusal>> IntoVerdict for Result<(), E> {
    fn into_verdict(self) -> Verdict {
        self.map_or_else(|error| Verdict::refuse(error.into()), |()| Verdict::pass())
    }
}

impl<E: Into<Refusal>> IntoVerdict for Result<Args, E> {
    fn into_verdict(self) -> Verdict {
        self.map_or_else(|error| Verdict::refuse(error.into()), Verdict::replace)
    }
}

/// Decides about the messages of one event.
pub(crate) trait Validator: Send + Sync {
    fn validate(&self, args: &Args, user: &User) -> Verdict;
}

impl<F, V> Validator for F
where
    F: Fn(&Args, &User) -> V + Send + Sync,
    V: IntoVerdict,
{
    fn validate(&self, args: &Args, user: &User) -> Verdict {
        self(args, user).into_verdict()
    }
}
