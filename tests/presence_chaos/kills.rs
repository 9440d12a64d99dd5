//! A node is killed: SIGKILL, no goodbye.

use std::env;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use crate::cast::{FORGOTTEN, SETTLED, after, watch};
use crate::support_redis::{Find, Look, NodeProcess, Redis, Watch};

/// How many nodes are killed for each number of nodes, if nobody asks for more.
const A_FEW: usize = 3;

/// How many are killed at the same time, each in a cluster of its own.
const AT_ONCE: usize = 3;

/// How much later in its life each node is killed than the one before; prime to a heartbeat's 500 ms.
const STEP: Duration = Duration::from_millis(37);

/// How long a killed node is looked for.
const WATCHED: Duration = Duration::from_secs(6);

#[tokio::test]
async fn a_killed_node_of_two_is_gone_in_time() {
    kills(2, &[]).await;
}

#[tokio::test]
async fn a_killed_node_of_three_is_gone_in_time_for_both_others() {
    kills(3, &[]).await;
}

#[tokio::test]
async fn a_killed_node_whose_sessions_no_index_lists_is_gone_in_time() {
    kills(2, &["--no-leave-feed"]).await;
}

#[tokio::test]
async fn a_node_that_starts_after_the_kill_never_finds_what_was_killed() {
    let redis = Redis::start().await;
    let mut home = NodeProcess::start(&redis.url(), "late").await;
    home.until_presence("synced").await;
    let client = home.client("ann").await;

    let killed = home.kill();
    after(killed, FORGOTTEN).await;
    let started = Instant::now();
    let late = NodeProcess::start(&redis.url(), "late").await;
    let watch = watch(&late, &client).await;

    let gone = watch.until(started, |find| *find == Find::NotFound).await;
    let took = gone.answered - started;
    println!("a node that started after the kill says not_found after {took:?}");
    assert!(took <= SETTLED, "not_found after {took:?}");
    after(gone.answered, FORGOTTEN).await;
    assert!(watch.looks().iter().all(|look| !look.find.is_found()));
}

async fn kills(nodes: usize, flags: &[&str]) {
    let redis = Redis::start().await;
    let count = env::var("PRIMACRON_KILLS").map_or(A_FEW, |kills| kills.parse().expect("a number"));
    let trials = (0..count).map(|trial| kill(trial, redis.url(), nodes, flags));
    let seen: Vec<Vec<Seen>> = stream::iter(trials)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let seen = seen.into_iter().flatten();
    let (mut found, mut not_found): (Vec<_>, Vec<_>) = seen
        .map(|seen| (seen.last_found, seen.first_not_found))
        .unzip();

    println!("{count} kills of one node of {nodes} {flags:?}, in ms after the kill:");
    println!("  last found      {}", distribution(&mut found));
    println!("  first not_found {}", distribution(&mut not_found));
    assert!(found.iter().all(|last| *last <= FORGOTTEN), "{found:?}");
    assert!(
        not_found.iter().all(|first| *first <= SETTLED),
        "{not_found:?}"
    );
}

/// What one observer saw of one kill.
struct Seen {
    last_found: Duration,
    first_not_found: Duration,
}

async fn kill(trial: usize, redis: String, nodes: usize, flags: &[&str]) -> Vec<Seen> {
    let start = Instant::now();
    let namespace = format!("kill-{trial}");
    let flags = [&["--redis", &redis, "--namespace", &namespace], flags].concat();
    let mut home = NodeProcess::with(&flags).await;
    let mut others = Vec::new();
    for _ in 1..nodes {
        others.push(NodeProcess::with(&flags).await);
    }
    home.until_presence("synced").await;
    let client = home.client("ann").await;
    let mut watches = Vec::new();
    for other in &others {
        other.until_presence("synced").await;
        watches.push(watch(other, &client).await);
    }
    for watch in &watches {
        watch.until(start, Find::is_found).await;
    }

    // Every kill meets the heartbeats of all nodes at another place.
    after(
        Instant::now(),
        STEP * u32::try_from(trial % 64).expect("small"),
    )
    .await;
    let killed = home.kill();
    after(killed, WATCHED).await;
    watches.iter().map(|watch| seen(watch, killed)).collect()
}

fn seen(watch: &Watch, killed: Instant) -> Seen {
    let looks = watch.looks();
    let found = |look: &&Look| look.find.is_found();
    let not_found = |look: &&Look| look.find == Find::NotFound;
    let last_found = looks.iter().rfind(found).expect("it was found");
    // A lease that did not move yet is nobody's.
    let first_found = looks.iter().position(|look| look.find.is_found());
    let known = &looks[first_found.expect("it was found")..];
    let mut alive = known.iter().take_while(|look| look.answered < killed);
    assert!(
        alive.all(|look| look.find.is_found()),
        "found while it lived"
    );
    let first = looks
        .iter()
        .position(|look| not_found(&look))
        .expect("not_found");
    let after = &looks[first..];
    assert!(
        after.iter().all(|look| not_found(&look)),
        "not_found is final"
    );
    Seen {
        last_found: last_found.asked.saturating_duration_since(killed),
        first_not_found: after[0].answered - killed,
    }
}

fn distribution(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_millis();
    let (least, half, most) = (at(0), at(50), at(100));
    format!(
        "least {least}, median {half}, 90% {}, 99% {}, most {most}",
        at(90),
        at(99)
    )
}
