//! Engine.IO protocol 4 without input and output.
//!
//! Bytes and `now` go in; packets, wire bytes and the next deadline come out.
//! Nothing here reads a clock, a socket or a random number, so whatever a
//! client can do is tried in tests by passing the time.
//!
//! - *Wire*: [`Packet`], [`Payload`] for POST bodies, `put_*` for the bodies
//!   of polls, [`Query`], [`Handshake`].
//! - *State*: [`Machine`], one a connection: heartbeat, back-pressure,
//!   upgrade, and how it ends.
//! - *Faults*: [`DecodeError`] (bytes that are no Engine.IO), [`Rejection`]
//!   (requests that are answered with an error), [`Fact`] (what a connection
//!   does not survive) and the [`CloseReason`] that it makes.
//!
//! # The rhythm
//!
//! Every `handle_*`, [`hold`](Machine::hold), [`release`](Machine::release) and
//! [`close`](Machine::close) is one mutation. After each, call
//! [`Machine::poll_output`] until it gives `None`, then re-arm one timer with
//! [`Machine::poll_timeout`] and call [`Machine::handle_timeout`] when it
//! fires. [`Machine::handle_message`] alone is free of that: it produces no
//! output and moves no deadline.

mod error;
mod fact;
mod handshake;
mod heartbeat;
mod machine;
mod outbox;
mod packet;
mod payload;
mod query;
mod rejection;
mod timing;
mod transport;
mod upgrade;

#[cfg(test)]
mod tests;

pub use error::{CloseReason, DecodeError};
pub(crate) use fact::Fact;
pub(crate) use handshake::Handshake;
pub(crate) use machine::{Channel, Machine, Output};
pub(crate) use packet::{CLOSE, Control, Data, NOOP, Packet, TEXT_TYPE, decode_base64};
pub(crate) use payload::{Part, Payload, put_binary, put_packet};
pub(crate) use query::{Query, QueryError};
pub(crate) use rejection::Rejection;
pub(crate) use timing::Timing;
pub use transport::Transport;
pub(crate) use upgrade::Refused;
