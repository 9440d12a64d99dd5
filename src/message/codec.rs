use bytestring::ByteString;

use super::{Args, OutgoingArgs, RawInput};

/// How messages look on the wire.
///
/// [`Json`](crate::Json) is the default, [`Raw`](crate::Raw) leaves every message as it is. One of
/// your own turns what a client sent into an [`Envelope`] and an [`Outgoing`] message into bytes:
///
/// ```
/// use primacron::{Args, Codec, DecodeFailure, EncodeError, Envelope, Outgoing, RawInput, WireKind};
///
/// /// One line a message: the event, a space, the only argument.
/// struct Lines;
///
/// impl Codec for Lines {
///     fn decode(&self, raw: &RawInput) -> Result<Envelope, DecodeFailure> {
///         let text = raw.as_str().ok_or(DecodeFailure::malformed("not text"))?;
///         let (event, rest) = text.split_once(' ').ok_or(DecodeFailure::invalid("no event"))?;
///         Ok(Envelope::new(event, Args::text(rest)))
///     }
///
///     fn encode(&self, message: &Outgoing<'_>, out: &mut Vec<u8>) -> Result<WireKind, EncodeError> {
///         let args = serde_json::to_string(&message.args()).map_err(EncodeError::new)?;
///         out.extend_from_slice(message.event().unwrap_or("answer").as_bytes());
///         out.push(b' ');
///         out.extend_from_slice(args.as_bytes());
///         Ok(WireKind::Text)
///     }
/// }
/// ```
pub trait Codec: Send + Sync + 'static {
    /// Reads the envelope of a message; the arguments are left for later.
    ///
    /// # Errors
    ///
    /// [`DecodeFailure::Malformed`] when the bytes are not in this format at all,
    /// [`DecodeFailure::Invalid`] when they are, but not a message.
    fn decode(&self, raw: &RawInput) -> Result<Envelope, DecodeFailure>;

    /// Appends a message to `out` and says whether it travels as text or binary. Text must be
    /// UTF-8.
    ///
    /// # Errors
    ///
    /// When the arguments cannot be expressed in this format.
    fn encode(&self, message: &Outgoing<'_>, out: &mut Vec<u8>) -> Result<WireKind, EncodeError>;
}

/// A decoded message: its event, its arguments and the number by which the sender wants an answer.
#[derive(Clone, Debug)]
pub struct Envelope {
    pub(crate) event: ByteString,
    pub(crate) args: Args,
    pub(crate) id: Option<u64>,
}

impl Envelope {
    /// A message that wants no answer.
    #[must_use]
    pub fn new(event: &str, args: Args) -> Self {
        Self {
            event: event.into(),
            args,
            id: None,
        }
    }

    /// The name of the event.
    #[must_use]
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The arguments.
    #[must_use]
    pub const fn args(&self) -> &Args {
        &self.args
    }

    /// The number by which the sender wants an answer.
    #[must_use]
    pub const fn id(&self) -> Option<u64> {
        self.id
    }

    /// The sender wants an answer that carries this number.
    #[must_use]
    pub fn with_id(mut self, id: u64) -> Self {
        self.id = Some(id);
        self
    }
}

/// Why a codec refused what a client sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeFailure {
    /// Not in the codec's format: the notice `error::json`.
    #[error("{0}")]
    Malformed(String),
    /// In the format, but not a message: the notice `error::invalid`.
    #[error("{0}")]
    Invalid(String),
}

impl DecodeFailure {
    /// The bytes are not in the codec's format.
    pub fn malformed(reason: impl Into<String>) -> Self {
        Self::Malformed(reason.into())
    }

    /// The bytes are in the format, but are not a message.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(reason.into())
    }
}

/// The arguments of a message cannot be expressed in the codec's format.
#[derive(Debug, thiserror::Error)]
#[error("message cannot be encoded")]
pub struct EncodeError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl EncodeError {
    /// Wraps what the format's own library said.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// Whether a message travels as text or as binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "Engine.IO has these two and no more"
)]
pub enum WireKind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// A message on its way to a client: an event, or the answer to a message that carried an `id`.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    body: Body<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Body<'a> {
    Event(&'a str, OutgoingArgs<'a>),
    Answer(u64, OutgoingArgs<'a>),
    Failure(u64, &'a str),
}

impl<'a> Outgoing<'a> {
    /// An event.
    #[must_use]
    pub const fn new(event: &'a str, args: OutgoingArgs<'a>) -> Self {
        Self {
            body: Body::Event(event, args),
        }
    }

    pub(crate) const fn answer(id: u64, args: OutgoingArgs<'a>) -> Self {
        Self {
            body: Body::Answer(id, args),
        }
    }

    pub(crate) const fn failure(id: u64, error: &'a str) -> Self {
        Self {
            body: Body::Failure(id, error),
        }
    }

    /// The name of the event; an answer has none.
    #[must_use]
    pub const fn event(&self) -> Option<&'a str> {
        match self.body {
            Body::Event(event, _) => Some(event),
            Body::Answer(..) | Body::Failure(..) => None,
        }
    }

    /// The number of the message that this answers.
    #[must_use]
    pub const fn id(&self) -> Option<u64> {
        match self.body {
            Body::Event(..) => None,
            Body::Answer(id, _) | Body::Failure(id, _) => Some(id),
        }
    }

    /// The text of an answer that reports a failure.
    #[must_use]
    pub const fn error(&self) -> Option<&'a str> {
        match self.body {
            Body::Failure(_, error) => Some(error),
            Body::Event(..) | Body::Answer(..) => None,
        }
    }

    /// The arguments; a failure has none.
    #[must_use]
    pub fn args(&self) -> OutgoingArgs<'a> {
        match self.body {
            Body::Event(_, args) | Body::Answer(_, args) => args,
            Body::Failure(..) => super::IntoArgs::as_args(&()),
        }
    }
}
