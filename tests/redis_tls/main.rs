//! Presence and messages over TLS to a real Redis with certificates of the test's own.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]
#![cfg(feature = "redis-tls")]

#[path = "../support_redis/mod.rs"]
mod support_redis;

mod authority;
#[cfg(feature = "redis-cluster")]
mod cluster;
mod nodes;
mod server;
mod trust;
