//! Redis is restarted, stalled and emptied while messages go from node to node.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::exchange::{Listener, Outcome, forward, judge, settled, write_all};
use crate::support_redis::{Link, NodeProcess, Redis, until};

/// Clients that send at the same time.
const SPEAKERS: usize = 8;

/// What each of them sends.
const NUMBERS: usize = 1_250;

/// How many outcomes may be unknown: what is under way at the time of the trouble, and its retry.
const FEW: usize = 5 * SPEAKERS;

/// How often connections are killed, and how long they live.
const KILLS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Lets eight clients of one node send messages to one of another until 10,000 were written, and makes trouble when a
/// part of them has arrived.
async fn exchange(namespace: &str, trouble: impl AsyncFnOnce(&mut Redis)) {
    let counts = exchange_over(namespace, async |redis, _| trouble(redis).await).await;
    let unknown = counts.get("unknown").copied().unwrap_or_default();
    assert!(unknown <= FEW, "{counts:?}");
}

/// The same over lines that can break; gives back how often each outcome was.
async fn exchange_over(
    namespace: &str,
    trouble: impl AsyncFnOnce(&mut Redis, &[Link; 2]),
) -> BTreeMap<String, usize> {
    let mut redis = Redis::start().await;
    let links = [Link::to(redis.port()).await, Link::to(redis.port()).await];
    let one = NodeProcess::start(&links[0].url(), namespace).await;
    let other = NodeProcess::start(&links[1].url(), namespace).await;
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

    trouble(&mut redis, &links).await;

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
    assert_eq!(counts["written"], SPEAKERS * NUMBERS);
    counts
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

#[tokio::test]
async fn connections_that_are_killed_again_and_again_make_no_outcome_false() {
    exchange_over("bus-killed", async |redis, _| {
        for _ in 0..KILLS {
            redis.run("CLIENT KILL TYPE normal SKIPME yes").await;
            sleep_until(Instant::now() + PAUSE).await;
        }
    })
    .await;
}

#[tokio::test]
async fn answers_that_break_off_make_no_outcome_false() {
    exchange_over("bus-frayed", async |_, links| {
        // From handshakes of the client library to long answers: all are cut somewhere.
        for bytes in [3, 47, 151, 499, 1499, 4001, 16_001] {
            links.iter().for_each(|link| link.fray(bytes));
            sleep_until(Instant::now() + PAUSE * 4).await;
        }
        links.iter().for_each(Link::mend);
    })
    .await;
}
