//! What a client can do wrong.

use super::CloseCode;

/// The rule that a client's bytes broke.
///
/// None of them can be mended: the connection is to be closed with [`close_code`](Self::close_code).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ProtocolError {
    /// A reserved bit is set, though no extension was agreed upon.
    #[error("a reserved bit of a frame is set")]
    ReservedBits,
    /// The opcode is one that the protocol keeps for later.
    #[error("opcode {0:#x} is reserved")]
    ReservedOpcode(u8),
    /// A frame came without a mask, which clients must use.
    #[error("a frame is not masked")]
    Unmasked,
    /// A length is written in more bytes than it needs.
    #[error("the length of a frame is not written in its shortest form")]
    LengthNotMinimal,
    /// The highest bit of a 64-bit length is set.
    #[error("the length of a frame has its highest bit set")]
    LengthTopBit,
    /// A control frame announces more than 125 bytes.
    #[error("a control frame is longer than 125 bytes")]
    ControlTooLong,
    /// A control frame is not final.
    #[error("a control frame is fragmented")]
    ControlFragmented,
    /// A continuation came while no fragmented message was under way.
    #[error("a continuation frame has nothing to continue")]
    UnexpectedContinuation,
    /// A new message began before the fragmented one under way was complete.
    #[error("a message began inside a fragmented one")]
    NestedMessage,
    /// A close frame holds one byte, half a code.
    #[error("a close frame holds half a code")]
    CloseTooShort,
    /// A close frame carries a code that may not be sent.
    #[error("close code {0} may not be sent")]
    CloseCodeNotAllowed(u16),
    /// The reason in a close frame is not UTF-8.
    #[error("the reason of a close frame is not UTF-8")]
    ReasonNotUtf8,
    /// A text message is not UTF-8.
    #[error("a text message is not UTF-8")]
    TextNotUtf8,
    /// A message is longer than [`Limits::max_message`](super::Limits::max_message).
    #[error("a message is too large")]
    TooLarge,
    /// A message has more fragments than [`Limits::max_fragments`](super::Limits::max_fragments).
    #[error("a message has too many fragments")]
    TooManyFragments,
}

impl ProtocolError {
    /// The code to close the connection with.
    pub(crate) const fn close_code(&self) -> CloseCode {
        match self {
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::Unmasked
            | Self::LengthNotMinimal
            | Self::LengthTopBit
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::UnexpectedContinuation
            | Self::NestedMessage
            | Self::CloseTooShort
            | Self::CloseCodeNotAllowed(_) => CloseCode::PROTOCOL_ERROR,
            Self::ReasonNotUtf8 | Self::TextNotUtf8 => CloseCode::INVALID_DATA,
            Self::TooLarge | Self::TooManyFragments => CloseCode::TOO_BIG,
        }
    }
}
