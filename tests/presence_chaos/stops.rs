//! A node stands still for a while: SIGSTOP, SIGCONT.

use std::time::Duration;

use tokio::time::Instant;

use crate::cast::{Cast, FORGOTTEN, SETTLED, SLOWEST, after, watch};
use crate::support_redis::{Find, Redis};

#[tokio::test]
async fn a_node_that_stands_still_for_two_seconds_is_never_said_to_be_gone() {
    let looks = stops(Duration::from_secs(2)).await;
    assert!(looks.iter().all(|find| *find != Find::NotFound));
}

#[tokio::test]
async fn a_node_that_stands_still_for_four_seconds_heals() {
    stops(Duration::from_secs(4)).await;
}

#[tokio::test]
async fn a_node_that_stands_still_for_ten_seconds_is_gone_and_heals() {
    let looks = stops(Duration::from_secs(10)).await;
    assert!(looks.contains(&Find::NotFound));
}

/// Gives back what the other node said meanwhile.
async fn stops(time: Duration) -> Vec<Find> {
    let redis = Redis::start().await;
    let mut cast = Cast::start(&redis.url(), "stops").await;
    let neighbour = cast.other.client("bob").await;
    let back = watch(&cast.home, &neighbour).await;
    back.until(Instant::now(), Find::is_found).await;

    let stopped = Instant::now();
    cast.home.stop();
    let continued = after(stopped, time).await;
    cast.home.cont();

    let found = cast.watch.until(continued, Find::is_found).await;
    let took = found.asked - continued;
    println!("after {time:?}: found again after {took:?}");
    assert!(took <= SETTLED, "found again after {took:?}");
    after(found.answered, FORGOTTEN).await;

    let looks = cast.watch.looks();
    let last = looks.last().expect("an answer");
    assert!(last.find.is_found(), "it stays found");
    for look in &looks {
        let asked = look.asked.saturating_duration_since(stopped);
        let wrong = look.find.is_found() && asked > FORGOTTEN && look.answered < continued;
        assert!(!wrong, "found {asked:?} after the stop");
    }
    cast.client.assert_alive().await;
    // What the stopped node says of others when it wakes up is as true as ever.
    back.assert_never_lost(time + SLOWEST);
    looks.into_iter().map(|look| look.find).collect()
}
