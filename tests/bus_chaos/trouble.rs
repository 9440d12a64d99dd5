//! Redis is restarted, stalled and emptied while messages go from node to node.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::exchange::{Listener, Outcome, forward, judge, settled, write_all};
use crate::support_redis::{NodeProcess, Redis, until};

/// Clients that send at the same time.
const SPEAKERS: usize = 8;

/// What each of them sends.
const NUMBERS: usize = 1_250;

/// How many outcomes may be unknown: what is under way at the time of the trouble, and its retry.
const FEW: usize = 5 * SPEAKERS;

/// Lets eight clients of one node send messages to one of another until 10,000 were written, and makes trouble when a
/// part of them has arrived.
async fn exchange(namespace: &str, trouble: impl AsyncFnOnce(&mut Redis)) {
    let mut redis = Redis::start().await;
    let one = NodeProcess::start(&redis.url(), namespace).await;
    let other = NodeProcess::start(&redis.url(), namespace).await;
    settled(&[&one, &other]).await;
    let listener = Listener::new(other.client("bob").await);
    let mut speakers = Vec::new();
    for name in 0..SPEAKERS {
        let mut client = one.client("ann").await;
        let session = listener.session.clone();
        speakers.push(tokio::spawn(async move {
            let name = format!("s{name}");
            write_all(&mut client, &name, NUMBERS, "bob", &session).await
        }));
    }
    until("a fifth has arrived", async || {
        (listener.heard().len() > SPEAKERS * NUMBERS / 5).then_some(())
    })
    .await;

    trouble(&mut redis).await;

    let mut outcomes: Vec<Outcome> = Vec::new();
    for speaker in speakers {
        outcomes.extend(speaker.await.unwrap());
    }
    let mut last = one.client("ann").await;
    until("all is well again", async || {
        let outcome = forward(&mut last, "bob", &listener.session, "last").await;
        (outcome == "written").then_some(())
    })
    .await;
    listener.until_heard("last").await;
    let counts = judge(&outcomes, &listener.heard());
    println!("{namespace}: {counts:?}");
    let unknown = counts.get("unknown").copied().unwrap_or_default();
    assert!(unknown <= FEW, "{counts:?}");
    assert_eq!(counts["written"], SPEAKERS * NUMBERS);
}

#[tokio::test]
async fn a_restart_of_redis_makes_few_outcomes_unknown_and_none_false() {
    exchange("bus-restart", async |redis| redis.restart().await).await;
}

#[tokio::test]
async fn a_stall_of_redis_makes_no_outcome_false() {
    exchange("bus-stall", async |redis| {
        redis.stop();
        sleep_until(Instant::now() + Duration::from_secs(3)).await;
        redis.cont();
    })
    .await;
}

#[tokio::test]
async fn a_flush_makes_no_outcome_false() {
    exchange("bus-flush", async |redis| redis.flush().await).await;
}
