//! Redis is restarted, stalled, emptied, cut off, or not there yet.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::cast::{Cast, SETTLED, SLOWEST, after, watch};
use crate::support_redis::{Find, Link, NodeProcess, Redis};

#[tokio::test]
async fn everything_is_found_again_after_a_restart_of_redis() {
    let mut redis = Redis::start().await;
    let mut cast = Cast::start(&redis.url(), "restart").await;

    redis.kill();
    after(Instant::now(), Duration::from_secs(1)).await;
    redis.restart().await;

    cast.assert_heals(Instant::now()).await;
}

#[tokio::test]
async fn a_long_absence_of_redis_is_healed() {
    let mut redis = Redis::start().await;
    let mut cast = Cast::start(&redis.url(), "absence").await;

    redis.kill();
    let gone = Instant::now();
    cast.watch
        .until(gone, |find| *find == Find::Uncertain)
        .await;
    cast.home.until_presence("offline").await;
    after(gone, Duration::from_secs(8)).await;
    redis.restart().await;

    cast.assert_heals(Instant::now()).await;
    cast.home.until_presence("synced").await;
}

#[tokio::test]
async fn a_redis_that_stalls_for_three_seconds_is_waited_for() {
    stall(Duration::from_secs(3)).await;
}

#[tokio::test]
async fn a_redis_that_stalls_for_eight_seconds_is_waited_for() {
    stall(Duration::from_secs(8)).await;
}

async fn stall(time: Duration) {
    let redis = Redis::start().await;
    let mut cast = Cast::start(&redis.url(), "stall").await;

    redis.stop();
    let continued = after(Instant::now(), time).await;
    redis.cont();

    cast.assert_heals(continued).await;
}

#[tokio::test]
async fn everything_is_found_again_after_a_flush() {
    let redis = Redis::start().await;
    let mut cast = Cast::start(&redis.url(), "flush").await;

    redis.flush().await;

    cast.assert_heals(Instant::now()).await;
}

#[tokio::test]
async fn flush_after_flush_is_never_a_false_answer() {
    let redis = Redis::start().await;
    let mut cast = Cast::start(&redis.url(), "flushes").await;

    let start = Instant::now();
    for step in 1..40 {
        redis.flush().await;
        // Primes, so that the flushes meet the heartbeat at every place.
        after(start, Duration::from_millis(137 * step)).await;
    }

    cast.assert_heals(Instant::now()).await;
}

#[tokio::test]
async fn a_node_that_is_cut_off_from_redis_heals_when_it_is_back() {
    let redis = Redis::start().await;
    let link = Link::to(redis.port()).await;
    let home = NodeProcess::start(&link.url(), "cut").await;
    let other = NodeProcess::start(&redis.url(), "cut").await;
    let mut cast = Cast::of(home, other).await;

    link.cut();
    let cut = Instant::now();
    let gone = cast.watch.until(cut, |find| *find == Find::NotFound).await;
    println!("cut off: not_found after {:?}", gone.answered - cut);
    assert!(gone.answered - cut <= SETTLED);
    link.mend();

    let mended = Instant::now();
    let found = cast.watch.until(mended, Find::is_found).await;
    println!("cut off: found again after {:?}", found.asked - mended);
    assert!(found.asked - mended <= SETTLED);
    cast.client.assert_alive().await;
}

#[tokio::test]
async fn who_is_cut_off_from_redis_calls_nobody_gone() {
    let redis = Redis::start().await;
    let link = Link::to(redis.port()).await;
    let home = NodeProcess::start(&redis.url(), "blind").await;
    let other = NodeProcess::start(&link.url(), "blind").await;
    let mut cast = Cast::of(home, other).await;

    link.hold();
    let held = Instant::now();
    cast.watch
        .until(held, |find| *find == Find::Uncertain)
        .await;
    let mended = after(held, Duration::from_secs(7)).await;
    link.mend();

    cast.assert_heals(mended).await;
}

#[tokio::test]
async fn a_node_starts_without_redis_and_catches_up() {
    let mut redis = Redis::start().await;
    redis.kill();
    let home = NodeProcess::start(&redis.url(), "absent").await;
    let other = NodeProcess::start(&redis.url(), "absent").await;
    assert_eq!(home.stats().await["presence"], "offline");

    let open = timeout(Duration::from_secs(1), home.client("ann")).await;
    let mut client = open.expect("nobody waits for a Redis that is not there");
    let watch = watch(&other, &client).await;
    let start = Instant::now();
    watch.until(start, |find| *find == Find::Uncertain).await;

    redis.restart().await;
    let back = Instant::now();
    let found = watch.until(back, Find::is_found).await;
    println!("absent at start: found after {:?}", found.asked - back);
    assert!(found.asked - back <= SETTLED);
    watch.assert_never_lost(SLOWEST);
    client.assert_alive().await;
}
