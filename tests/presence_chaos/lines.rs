//! Lines to Redis that are slow, or break again and again.

use std::time::Duration;

use tokio::time::Instant;

use crate::cast::{Cast, SLOWEST, after, watch};
use crate::support_redis::{Find, Link, NodeProcess, Redis, until};

/// What a line adds to a question and its answer together.
const LATENCY: Duration = Duration::from_millis(200);

/// How long connections are killed, and how often.
const KILLING: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

#[tokio::test]
async fn far_from_redis_everything_takes_longer_and_nothing_is_false() {
    let redis = Redis::start().await;
    let link = async || Link::slow(redis.port(), LATENCY / 2).await;
    let links = (link().await, link().await);
    let home = NodeProcess::start(&links.0.url(), "far").await;
    let other = NodeProcess::start(&links.1.url(), "far").await;
    home.until_presence("synced").await;
    other.until_presence("synced").await;
    let mut client = home.client("ann").await;
    let mut observer = other.client("bob").await;
    let (account, session) = (client.account.clone(), client.session.clone());
    // The open packet does not wait for a line like that.
    until("it is found", async || {
        let find = observer.find(&account, &session).await;
        find.expect("an answer").is_found().then_some(())
    })
    .await;

    let watch = watch(&other, &client).await;
    let args = [&*account, &*session, "hello"];
    for _ in 0..5 {
        let outcome = observer.ask("forward_ack", &args, "outcome").await;
        assert_eq!(outcome.expect("an answer"), ["written"]);
        client.heard("forward").await.expect("what was written");
    }
    redis.flush().await;
    let flushed = Instant::now();
    watch.until(flushed, Find::is_found).await;
    watch.assert_never_lost(SLOWEST);
    let mut home = home;
    home.kill();
    watch
        .until(Instant::now(), |find| *find == Find::NotFound)
        .await;
}

#[tokio::test]
async fn connections_that_are_killed_again_and_again_are_made_anew() {
    let redis = Redis::start().await;
    let mut cast = Cast::start(&redis.url(), "killed").await;

    let start = Instant::now();
    let mut killed = 0;
    while start.elapsed() < KILLING {
        let kill = redis.run("CLIENT KILL TYPE normal SKIPME yes").await;
        killed += kill.integer();
        after(Instant::now(), PAUSE).await;
    }
    assert!(killed > 0);

    cast.assert_heals(Instant::now()).await;
    cast.home.until_presence("synced").await;
    cast.other.until_presence("synced").await;
}

#[tokio::test]
async fn connections_that_break_in_the_middle_of_an_answer_are_made_anew() {
    let redis = Redis::start().await;
    let (near, far) = (Link::to(redis.port()).await, Link::to(redis.port()).await);
    let home = NodeProcess::start(&near.url(), "frayed").await;
    let other = NodeProcess::start(&far.url(), "frayed").await;
    let mut cast = Cast::of(home, other).await;

    let before = near.accepted() + far.accepted();
    // Handshakes of the client library, short and long answers: all are cut somewhere.
    for bytes in [3, 11, 47, 151, 499, 1499, 4001] {
        near.fray(bytes);
        far.fray(bytes);
        after(Instant::now(), Duration::from_secs(1)).await;
    }
    assert!(near.accepted() + far.accepted() > before, "none broke");
    near.mend();
    far.mend();

    cast.assert_heals(Instant::now()).await;
    cast.home.until_presence("synced").await;
    cast.other.until_presence("synced").await;
}
