//! Nodes talk to nodes: what one asks another, and what became of it.
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

#[expect(dead_code, reason = "the bus is to come")]
mod call;
mod outcome;
mod stub;
pub(crate) use stub::*;

#[expect(unused_imports, reason = "the bus is to come")]
pub(crate) use self::call::{Answer, Call, Target};
pub use self::outcome::{Gathered, Level, NodeResult, Outcome, Refused, Sent, Unreached, Wait};
