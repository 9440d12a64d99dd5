//! Nodes talk to nodes: what one asks another, and what became of it.
//!
//! Every node has an inbox, which it alone reads. What a node has to say to another one at one
//! moment, calls and answers, is one entry there. A sender numbers its entries for each receiver and
//! has one of them under way; a repeat is the same bytes again, and the receiver drops it. So
//! nothing comes twice, and everything comes in order, or it is known what is missing.
//!
//! - `core` and `marks` decide everything, without a clock and without a transport: what leaves
//!   when, what becomes of calls, what was there before.
//! - `entry` is what travels, with `answers` and `feeds` in it, `inboxes` where it waits: `redis`, or the `memory` of this process.
//! - [`Bus`] is the handle, [`BusTask`] the task behind it, [`Deliver`] who takes what comes.
//!
//! ```
//! use std::time::Duration;
//!
//! use primacron::{Outcome, PrimacronLayer, Wait};
//!
//! # async fn example() {
//! let handle = PrimacronLayer::in_memory().handle();
//!
//! let wait = Wait::written(Duration::from_secs(5));
//! let outcome = handle.forward("ann", "phone", "news", ("hello",), wait).await.unwrap();
//! assert_eq!(outcome, Outcome::NoSession, "she is not connected");
//! # }
//! ```

mod answers;
mod batch;
mod bytes;
mod call;
mod core;
mod entry;
mod feeds;
mod handle;
mod inboxes;
mod line;
mod marks;
mod memory;
mod outcome;
mod peer;
#[cfg(feature = "redis")]
mod redis;
mod task;
#[cfg(test)]
mod tests;

pub use self::outcome::{Gathered, Level, NodeResult, Outcome, Refused, Sent, Unreached, Wait};
pub(crate) use self::{
    call::{Answer, Call, Fed, Held, Piece, Target},
    feeds::size_of_move,
    handle::{Asker, Bus, Deliver, Lives},
    memory::Hub,
    task::BusTask,
};
