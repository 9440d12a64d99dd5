//! Real processes for tests: Redis alone, as a Cluster and under Sentinel, and nodes beside it.
//!
//! Every process listens on the loopback address only, works in a directory of its own, and ends
//! with the value that started it, a panic of the test included.
#![allow(
    dead_code,
    unused_imports,
    reason = "every test binary uses its own part of the harness"
)]

mod client;
mod cluster;
mod find;
mod link;
mod node;
mod ports;
mod process;
mod redis;
mod resp;
mod sentinel;
mod watch;
mod websocket;

use std::time::Duration;

pub(crate) use client::Client;
pub(crate) use cluster::RedisCluster;
pub(crate) use find::Find;
pub(crate) use link::Link;
pub(crate) use node::NodeProcess;
pub(crate) use ports::free as free_port;
pub(crate) use process::Directory;
pub(crate) use redis::Redis;
pub(crate) use resp::{Reply, Resp};
pub(crate) use sentinel::RedisSentinel;
pub(crate) use watch::{Look, Watch};

/// How long a test waits for anything before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at that nobody announces.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// Waits until a question has the answer.
#[track_caller]
pub(crate) fn until<T>(
    what: &str,
    mut holds: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        let search = async {
            let mut look = tokio::time::interval(LOOK);
            loop {
                look.tick().await;
                if let Some(answer) = holds().await {
                    return answer;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(answer) => answer,
            Err(_) => panic!("{place}: not within {PATIENCE:?}: {what}"),
        }
    }
}
