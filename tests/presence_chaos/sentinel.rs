//! Presence in a Redis whose master fails and whose replica takes over.

use tokio::time::Instant;

use crate::cast::{Cast, watch};
use crate::support_redis::{Find, Look, NodeProcess, RedisSentinel, until};

#[tokio::test]
async fn a_failover_is_followed() {
    let mut redis = RedisSentinel::start().await;
    let (home, other) = (node(&redis).await, node(&redis).await);
    let mut cast = Cast::of(home, other).await;

    redis.master.kill();
    let killed = Instant::now();
    redis.until_failed_over().await;
    println!("failed over after {:?}", killed.elapsed());

    cast.assert_heals(Instant::now()).await;
}

#[tokio::test]
async fn a_master_that_stalls_and_comes_back_as_a_replica_is_left_alone() {
    let redis = RedisSentinel::start().await;
    let (home, other) = (node(&redis).await, node(&redis).await);
    let mut cast = Cast::of(home, other).await;

    redis.master.stop();
    redis.until_failed_over().await;
    let failed_over = Instant::now();
    cast.watch.until(failed_over, Find::is_found).await;
    redis.master.cont();

    cast.assert_heals(Instant::now()).await;
}

#[tokio::test]
async fn what_a_stale_master_still_knows_counts_for_nothing() {
    let redis = RedisSentinel::start().await;
    let (home, other) = (node(&redis).await, node(&redis).await);
    let mut cast = Cast::of(home, other).await;
    let leaver = cast.home.client("bob").await;
    let left = watch(&cast.other, &leaver).await;
    left.until(Instant::now(), Find::is_found).await;

    redis.master.stop();
    redis.until_failed_over().await;
    cast.watch.until(Instant::now(), Find::is_found).await;
    drop(leaver);
    let gone = left
        .until(Instant::now(), |find| *find == Find::NotFound)
        .await;
    let newcomer = cast.home.client("eve").await;
    let came = watch(&cast.other, &newcomer).await;
    let there = came.until(Instant::now(), Find::is_found).await;
    redis.master.cont();
    until("the old master follows the new one", async || {
        (redis.master.role().await? == "slave").then_some(())
    })
    .await;

    cast.assert_heals(Instant::now()).await;
    let since = |at: Instant| move |look: &Look| look.asked >= at;
    let mut looks = left.looks().into_iter().filter(since(gone.asked));
    assert!(
        looks.all(|look| !look.find.is_found()),
        "who left came back"
    );
    let mut looks = came.looks().into_iter().filter(since(there.asked));
    assert!(
        looks.all(|look| look.find != Find::NotFound),
        "who came was lost"
    );
}

async fn node(redis: &RedisSentinel) -> NodeProcess {
    let url = redis.url();
    let flags = ["--redis", &url, "--sentinel", RedisSentinel::NAME];
    NodeProcess::with(&[&flags[..], &["--namespace", "sentinel"]].concat()).await
}
