//! Messages between nodes in processes of their own, beside a real Redis that is restarted, stalled
//! and emptied, and nodes that are killed, stopped and drained.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]
#![cfg(feature = "redis")]

#[path = "../support_redis/mod.rs"]
mod support_redis;

mod drains;
mod ends;
mod exchange;
#[cfg(feature = "redis-cluster")]
mod hangs;
mod many;
mod trouble;
