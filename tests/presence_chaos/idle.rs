//! What a node asks of Redis while nobody comes or goes.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::cast::after;
use crate::support_redis::{NodeProcess, Redis, until};

const SESSIONS: usize = 200;

/// Heartbeats that are counted.
const BEATS: u64 = 8;

/// Scripts with each: the heartbeat itself and a look at some markers.
const SCRIPTS: u64 = 2;

#[tokio::test]
async fn sessions_that_stay_cost_nothing() {
    let redis = Redis::start().await;
    let node = NodeProcess::start(&redis.url(), "idle").await;
    node.until_presence("synced").await;
    let alone = scripts_of(&redis, &node).await;
    let mut clients = Vec::new();
    for number in 0..SESSIONS {
        clients.push(node.client(&format!("account-{number}")).await);
    }

    let with_sessions = scripts_of(&redis, &node).await;

    println!("{alone} scripts without sessions, {with_sessions} with {SESSIONS}");
    // What was under way at the first reading may be counted too.
    let most = (BEATS + 1) * SCRIPTS + 1;
    assert!(alone <= most, "{alone}");
    assert!(with_sessions <= most, "{with_sessions}");
    clients[0].assert_alive().await;
}

/// The scripts on directory keys that Redis runs during so many heartbeats.
async fn scripts_of(redis: &Redis, node: &NodeProcess) -> u64 {
    // News of before are written.
    after(Instant::now(), Duration::from_secs(1)).await;
    let first = beat(redis, node).await;
    let before = calls(&redis.info("commandstats").await);
    until("so many heartbeats", async || {
        (beat(redis, node).await >= first + BEATS).then_some(())
    })
    .await;
    calls(&redis.info("commandstats").await) - before
}

/// The number of its last heartbeat.
async fn beat(redis: &Redis, node: &NodeProcess) -> u64 {
    let row = redis.command(&["HGET", "{idle:n}:leases", &node.id]).await;
    let row = row.text();
    let number = row.split('|').nth(2).expect("a lease");
    number.parse().expect("a number")
}

fn calls(stats: &BTreeMap<String, String>) -> u64 {
    let stats = &stats["cmdstat_evalsha"];
    let (_, calls) = stats.split_once("calls=").expect("a count");
    let (calls, _) = calls.split_once(',').expect("more");
    calls.parse().expect("a number")
}
