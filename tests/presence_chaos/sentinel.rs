//! Presence in a Redis whose master fails and whose replica takes over.

use tokio::time::Instant;

use crate::cast::Cast;
use crate::support_redis::{Find, NodeProcess, RedisSentinel};

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

async fn node(redis: &RedisSentinel) -> NodeProcess {
    let url = redis.url();
    let flags = ["--redis", &url, "--sentinel", RedisSentinel::NAME];
    NodeProcess::with(&[&flags[..], &["--namespace", "sentinel"]].concat()).await
}
