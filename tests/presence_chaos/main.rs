//! Presence beside a real Redis that is killed, stalled, emptied and failed over, and nodes that
//! are killed and stopped.
//!
//! Every scenario has servers and nodes of its own. `PRIMACRON_KILLS=50` kills so many nodes in
//! place of a few; how long each kill took to be seen is printed (`--nocapture`).

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]
#![cfg(feature = "redis")]

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[path = "../support_redis/mod.rs"]
mod support_redis;

mod cast;
#[cfg(feature = "redis-cluster")]
mod cluster;
mod directory;
mod feeds;
mod generations;
#[cfg(feature = "redis-cluster")]
mod hangs;
mod harness;
mod idle;
mod kills;
mod lines;
mod rights;
#[cfg(feature = "redis-sentinel")]
mod sentinel;
mod stops;
mod strangers;
mod trouble;
mod watches;
