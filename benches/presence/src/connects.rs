//! Sessions come, stay and go.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::sleep;

use crate::meter::Reading;
use crate::support_redis::{Client, NodeProcess, Redis, until};

/// Sessions of an account.
const EACH: usize = 2;

/// Handshakes under way at the same time.
const AT_ONCE: usize = 32;

/// How long nothing is done for the row `idle`.
const IDLE: Duration = Duration::from_secs(10);

/// Prints the rows of one node with these flags that so many sessions connect to.
pub(crate) async fn measure(sessions: usize, flags: &[&str]) {
    let redis = Redis::start().await;
    let node = crate::node(&redis.url(), flags).await;
    let before = Reading::take(&redis, &node).await;
    sleep(IDLE).await;
    let idle = before.used(&redis, &node).await;
    idle.print("idle, per second", idle.time.as_secs_f64());
    // What a first session brings along for good does not count.
    drop(connect(&node, sessions / 10).await);
    until_left(&node, &redis).await;

    let (memory, keys) = (used_memory(&redis).await, key_count(&redis).await);
    let before = Reading::take(&redis, &node).await;
    let clients = connect(&node, sessions).await;
    let connects = before.used(&redis, &node).await;
    println!("{sessions} sessions in {:?}", connects.time);
    connects.without(&idle).print("connect", sessions as f64);

    let bytes = used_memory(&redis).await - memory;
    let more_keys = key_count(&redis).await - keys;
    println!(
        "in Redis: {:.0} bytes a session, {more_keys} keys",
        bytes as f64 / sessions as f64
    );
    print_keys(&redis).await;

    let before = Reading::take(&redis, &node).await;
    drop(clients);
    until_left(&node, &redis).await;
    let disconnects = before.used(&redis, &node).await;
    disconnects
        .without(&idle)
        .print("disconnect", sessions as f64);
}

async fn connect(node: &NodeProcess, sessions: usize) -> Vec<Client> {
    let connect = async |number: usize| node.client(&format!("account-{}", number / EACH)).await;
    let clients = stream::iter((0..sessions).map(connect));
    clients.buffer_unordered(AT_ONCE).collect().await
}

/// Waits until no account is in Redis any more.
async fn until_left(node: &NodeProcess, redis: &Redis) {
    until("all clients left", async || {
        (node.stats().await["connections"] == 0).then_some(())
    })
    .await;
    let pattern = ["SCAN", "0", "MATCH", "*account-*", "COUNT", "100000"];
    until("no account is stored", async || {
        sleep(Duration::from_millis(100)).await;
        let scanned = redis.command(&pattern).await;
        scanned.array()[1].array().is_empty().then_some(())
    })
    .await;
}

async fn used_memory(redis: &Redis) -> i64 {
    let info = redis.info("memory").await;
    info["used_memory"].parse().expect("bytes")
}

async fn key_count(redis: &Redis) -> i64 {
    redis.run("DBSIZE").await.integer()
}

/// Bytes of one key of each kind.
async fn print_keys(redis: &Redis) {
    let scanned = redis.run("SCAN 0 COUNT 300").await;
    let mut seen = Vec::new();
    for key in scanned.array()[1].array() {
        let key = key.text();
        let kind = redis.command(&["TYPE", &key]).await.text();
        if seen.contains(&kind) {
            continue;
        }
        let bytes = redis
            .command(&["MEMORY", "USAGE", &key, "SAMPLES", "0"])
            .await;
        println!("  {kind:<6} {:6} bytes, {key}", bytes.integer());
        seen.push(kind);
    }
}
