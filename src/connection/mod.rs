//! The life of a connection, its queue, and the registry of all connections of a node.
//!
//! A [`Connection`] is what sockets, handles and requests see; its [`Driver`] is the task that
//! owns the protocol's state and the way into the handler. The two meet in the `exchange`, under
//! one lock: it alone changes what is in it, and wakes whom a change concerns. Who sees that a
//! connection cannot go on tells the [`Fact`](crate::engine::Fact), which makes the reason.

mod calls;
#[expect(
    clippy::module_inception,
    reason = "the connection of the connection room"
)]
mod connection;
mod driver;
mod endpoint;
mod exchange;
mod handler;
mod pipeline;
mod polling;
mod queue;
mod registry;
mod report;
mod shared;
mod tails;
mod watch;
mod wire;

pub use self::handler::{Cloned, Handler, MakeHandler, PerUser};
pub(crate) use self::{
    connection::Connection,
    driver::Driver,
    endpoint::Endpoint,
    polling::{HeldGet, OpenPost},
    queue::Batch,
    registry::Registry,
    tails::{Tail, Tails},
    watch::{Fate, Watcher},
    wire::{Broken, Received, Scratch, Wire},
};
