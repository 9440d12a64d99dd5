//! A sans-IO WebSocket codec for the server's side of [RFC 6455].
//!
//! [`Decoder`] turns the bytes that a client sent into messages and control frames, unmasking and
//! checking them where they lie. The usual frame, whole in one read, costs no allocation and no
//! copy; what is partial is kept until the rest comes. [`header()`], [`pong`] and [`close_frame`]
//! write the server's frames, which are never masked. There are no extensions here and no
//! handshake, and nothing reads, writes or waits.
//!
//! [RFC 6455]: https://www.rfc-editor.org/rfc/rfc6455

mod assembly;
mod close;
mod decode;
mod encode;
mod error;
mod header;
mod incoming;
mod mask;
mod opcode;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use close::{CloseCode, CloseFrame};
pub(crate) use decode::Decoder;
pub(crate) use encode::{MAX_HEADER, close_frame, header, pong};
pub(crate) use error::ProtocolError;
pub(crate) use incoming::{Decoded, Incoming, Limits, Payload};
pub(crate) use opcode::Opcode;
