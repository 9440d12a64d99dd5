//! What the decoder is told and what it gives.

use std::ops::Range;

use bytes::Bytes;

use super::CloseFrame;

/// What a client may send at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The bytes of a whole message, and so of a frame.
    pub(crate) max_message: usize,
    /// The frames that a fragmented message may have, empty ones counted.
    pub(crate) max_fragments: usize,
}

/// What a call of [`Decoder::decode`](super::Decoder::decode) found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// How many bytes of the input are done with.
    pub(crate) consumed: usize,
    /// The first whole message or control frame, if there is one.
    pub(crate) message: Option<Incoming>,
}

impl Decoded {
    /// So much consumed and nothing found.
    pub(super) const fn nothing(consumed: usize) -> Self {
        Self {
            consumed,
            message: None,
        }
    }

    /// Whether the client ended its stream.
    pub(super) const fn is_close(&self) -> bool {
        matches!(self.message, Some(Incoming::Close(_)))
    }
}

/// A message or control frame of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A text message, which is UTF-8.
    Text(Payload),
    /// A binary message.
    Binary(Payload),
    /// A ping, to be answered with a pong of the same payload.
    Ping(Payload),
    /// A pong, whatever it answers.
    Pong,
    /// The end of what the client sends; `None` where it gives no code.
    Close(Option<CloseFrame>),
}

/// Where an unmasked payload lies.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// In the input just given.
    InPlace(Range<usize>),
    /// Pieced together from several reads or fragments.
    Owned(Bytes),
}

impl Payload {
    /// The bytes of the payload, given the input that it was decoded from.
    pub(crate) fn bytes<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        match self {
            Self::InPlace(range) => &input[range.clone()],
            Self::Owned(bytes) => bytes,
        }
    }
}
