//! Others write into the same Redis, or its settings lose keys.

use std::time::Duration;

use tokio::time::Instant;

use crate::cast::{Cast, SLOWEST, after, watch};
use crate::support_redis::{Find, NodeProcess, Redis, until};

#[tokio::test]
async fn keys_that_somebody_overwrote_are_never_a_false_answer() {
    let redis = Redis::start().await;
    let mut cast = Cast::start(&redis.url(), "overwritten").await;

    let keys = redis.keys().await;
    assert!(!keys.is_empty());
    for key in &keys {
        spoil(&redis, key).await;
    }
    after(Instant::now(), Duration::from_secs(3)).await;
    cast.client.assert_alive().await;
    cast.watch.assert_never_lost(SLOWEST);

    redis.flush().await;
    cast.assert_heals(Instant::now()).await;
}

#[tokio::test]
async fn nodes_start_beside_keys_of_a_wrong_type() {
    let redis = Redis::start().await;
    let cast = Cast::start(&redis.url(), "taken").await;
    let keys = redis.keys().await;
    drop(cast);
    redis.flush().await;
    for key in &keys {
        spoil(&redis, key).await;
    }

    let home = NodeProcess::start(&redis.url(), "taken").await;
    let other = NodeProcess::start(&redis.url(), "taken").await;
    let mut client = home.client("ann").await;
    let start = Instant::now();
    let watch = watch(&other, &client).await;
    after(start, Duration::from_secs(3)).await;
    watch.assert_never_lost(SLOWEST);
    client.assert_alive().await;

    redis.flush().await;
    let flushed = Instant::now();
    watch.until(flushed, Find::is_found).await;
    watch.assert_never_lost(SLOWEST);
}

#[tokio::test]
async fn values_that_nobody_can_read_are_never_a_false_answer() {
    let redis = Redis::start().await;
    let mut cast = Cast::start(&redis.url(), "garbage").await;

    for key in redis.keys().await {
        let fields = redis.command(&["HKEYS", &key]).await;
        let crate::support_redis::Reply::Array(fields) = fields else {
            continue;
        };
        for field in fields {
            redis
                .command(&["HSET", &key, &field.text(), "\u{1F4A5}"])
                .await;
        }
    }
    after(Instant::now(), Duration::from_secs(2)).await;
    cast.client.assert_alive().await;
    cast.watch.assert_never_lost(SLOWEST);

    redis.flush().await;
    cast.assert_heals(Instant::now()).await;
}

#[tokio::test]
async fn settings_that_lose_keys_are_told_of() {
    let redis = Redis::start().await;
    let set = redis.run("CONFIG SET maxmemory-policy allkeys-lru").await;
    set.assert_ok();

    let node = NodeProcess::start(&redis.url(), "eviction").await;

    until("a notice of the policy", async || {
        (node.noticed("presence::eviction").await > 0).then_some(())
    })
    .await;
}

/// Puts a value of another type in the place of a key.
async fn spoil(redis: &Redis, key: &str) {
    let kind = redis.command(&["TYPE", key]).await.text();
    redis.command(&["DEL", key]).await;
    let spoiled = match kind.as_str() {
        "string" => redis.command(&["RPUSH", key, "not", "yours"]).await,
        _ => redis.command(&["SET", key, "not yours"]).await,
    };
    drop(spoiled);
}
