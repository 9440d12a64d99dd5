//! From one node to another while something is wrong: what is said is true, and nothing comes twice.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::time::Duration;

use primacron::{Cluster, Handle, Outcome, PrimacronLayer, QueuePolicy, Refused, To, Wait};
use serde_json::json;
use tokio::time::{Instant, sleep};

use self::support::{
    is_stuck,
    nodes::{Node, news, nodes, two},
    settle, soon,
};

const SECOND: Duration = Duration::from_secs(1);

/// More than a pipe of the tests holds.
const LARGE: usize = 4096;

const ANN: To<'static> = To::session("ann", "s");

/// A forward that goes on by itself.
fn begin(node: &Node, text: &'static str, wait: Wait) -> tokio::task::JoinHandle<Outcome> {
    let handle: Handle = node.handle.clone();
    tokio::spawn(async move {
        handle
            .forward("ann", "s", "news", (text,), wait)
            .await
            .unwrap()
    })
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_while_its_session_was_sought_is_not_sent() {
    let (cluster, [one, two]) = two().await;
    let mut ann = two.connect("ann", "s").await;
    cluster.stall();
    let outcome = one.forward("s", "late", Wait::enqueued(SECOND / 10)).await;
    assert_eq!(outcome, Outcome::Uncertain);
    cluster.recover();
    sleep(SECOND).await;
    assert_eq!(
        one.forward("s", "next", Wait::enqueued(SECOND)).await,
        Outcome::Enqueued
    );
    assert_eq!(ann.message().await, news("next"));
}

#[tokio::test(start_paused = true)]
async fn the_time_that_it_takes_to_find_a_session_counts() {
    let (cluster, [one, two]) = two().await;
    let _ann = two.connect("ann", "s").await;
    let large = "x".repeat(LARGE);
    two.forward("s", &large, Wait::enqueued(SECOND)).await;
    cluster.stall();
    let start = Instant::now();
    let outcome = begin(&one, "late", Wait::written(SECOND));
    sleep(SECOND / 5).await;
    cluster.recover();
    assert_eq!(outcome.await.unwrap(), Outcome::Unknown);
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn who_comes_here_while_it_is_sought_is_reached_here() {
    let (cluster, [one, _two]) = two().await;
    cluster.stall();
    let outcome = begin(&one, "hello", Wait::written(10 * SECOND));
    settle().await;
    let mut ann = one.connect("ann", "s").await;
    cluster.recover();
    assert_eq!(outcome.await.unwrap(), Outcome::Written);
    assert_eq!(ann.message().await, news("hello"));
}

#[tokio::test(start_paused = true)]
async fn only_so_much_waits_until_it_is_known_where_it_goes() {
    let (cluster, [one, two]) = two().await;
    let _ann = two.connect("ann", "s").await;
    let large = "x".repeat(2 * 1024 * 1024);
    for round in 0..2 {
        let session = format!("nobody {round}");
        let to = To::session("ann", &session);
        cluster.stall();
        let send = || one.handle.try_send(to, "news", (&*large,)).unwrap();
        let sent: Vec<_> = (0..12).map(|_| send()).collect();
        let taken = sent.iter().filter(|sent| sent.passed_on).count();
        let refused = sent.iter().filter(|sent| sent.unreached == 1).count();
        assert_eq!(taken + refused, 12);
        assert!((7..=9).contains(&taken), "round {round}: {taken}");
        cluster.recover();
        sleep(5 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_detour_asks_where_the_session_is_and_trusts_no_guess() {
    let (_cluster, [one, two, three, four]) = nodes(|layer| layer).await;
    let wait = Wait::written(SECOND);
    let ann = one.connect("ann", "s").await;
    assert_eq!(two.forward("s", "two knows", wait).await, Outcome::Written);
    drop(ann);
    settle().await;
    let ann = two.connect("ann", "s").await;
    assert_eq!(
        three.forward("s", "three knows", wait).await,
        Outcome::Written
    );
    drop(ann);
    settle().await;
    let mut ann = four.connect("ann", "s").await;
    assert_eq!(three.forward("s", "detour", wait).await, Outcome::Written);
    assert_eq!(ann.message().await, news("detour"));
}

#[tokio::test(start_paused = true)]
async fn after_a_detour_the_way_is_straight() {
    let (cluster, [one, two, three]) = nodes(|layer| layer).await;
    let wait = Wait::written(SECOND);
    let ann = two.connect("ann", "s").await;
    assert_eq!(one.forward("s", "before", wait).await, Outcome::Written);
    drop(ann);
    settle().await;
    let _ann = three.connect("ann", "s").await;
    assert_eq!(one.forward("s", "detour", wait).await, Outcome::Written);
    cluster.stop(&two.handle);
    assert_eq!(one.forward("s", "straight", wait).await, Outcome::Written);
}

#[tokio::test(start_paused = true)]
async fn to_a_node_that_is_suspected_nothing_is_sent() {
    let (cluster, [one, two]) = two().await;
    let mut ann = two.connect("ann", "s").await;
    let wait = Wait::enqueued(SECOND / 10);
    assert_eq!(one.forward("s", "before", wait).await, Outcome::Enqueued);
    assert_eq!(ann.message().await, news("before"));
    cluster.stop(&two.handle);
    assert_eq!(one.forward("s", "perhaps", wait).await, Outcome::Unknown);
    sleep(13 * SECOND / 4).await;
    assert_eq!(
        one.forward("s", "surely not", wait).await,
        Outcome::Uncertain
    );
    cluster.resume(&two.handle);
    assert_eq!(soon(ann.message()).await, news("perhaps"));
    assert!(is_stuck(ann.message()).await);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_is_not_complete() {
    let (cluster, [one, two]) = two().await;
    let _ann = two.connect("ann", "s").await;
    cluster.cut_off();
    sleep(10 * SECOND).await;
    for to in [ANN, To::Account("ann"), To::All] {
        let gathered = soon(one.handle.broadcast(to, "news", ())).await.unwrap();
        assert!(!gathered.complete, "{to:?}");
        let sent = soon(one.handle.send(to, "news", ())).await.unwrap();
        assert!(sent.unreached > 0, "{to:?}");
        let closed = soon(one.handle.close(to, "enough")).await;
        assert!(!closed.complete, "{to:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_begin_yet_knows_nothing_for_sure() {
    let (cluster, [one, _two]) = two().await;
    let _ann = one.connect("ann", "s").await;
    let handle = cluster.layer().handle();
    let forwarded = handle.forward("ann", "s", "news", (), Wait::enqueued(SECOND));
    assert_eq!(forwarded.await.unwrap(), Outcome::Uncertain);
    let gathered = handle.broadcast(To::All, "news", ()).await.unwrap();
    assert!(!gathered.complete);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_may_not_have_seen_all_others_says_so() {
    let cluster = Cluster::new();
    let one = Node::of(cluster.layer());
    let sent = one.handle.try_send(To::All, "news", ()).unwrap();
    assert_eq!((sent.unreached, sent.passed_on), (0, true));
    let sent = one.handle.send(To::All, "news", ()).await.unwrap();
    assert_eq!((sent.queued, sent.unreached), (0, 1));
    sleep(10 * SECOND).await;
    let sent = one.handle.try_send(To::All, "news", ()).unwrap();
    assert_eq!((sent.unreached, sent.passed_on), (0, false));
    let sent = one.handle.send(To::All, "news", ()).await.unwrap();
    assert_eq!((sent.queued, sent.unreached), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn while_the_directory_is_written_again_an_account_is_reached_all_the_same() {
    let (cluster, [one, two]) = two().await;
    let mut ann = two.connect("ann", "s").await;
    cluster.flush();
    let to = To::Account("ann");
    // The inboxes were lost too.
    sleep(SECOND).await;
    let gathered = soon(one.handle.broadcast(to, "news", ("all",)))
        .await
        .unwrap();
    let queued: usize = gathered
        .nodes
        .iter()
        .map(|node| node.result.unwrap().queued)
        .sum();
    assert_eq!(queued, 1);
    assert_eq!(ann.message().await, news("all"));
}

#[tokio::test(start_paused = true)]
async fn who_is_here_and_there_is_reached_once_each() {
    let (_cluster, [one, two]) = two().await;
    let mut here = one.connect("ann", "here").await;
    let mut there = two.connect("ann", "there").await;
    let to = To::Account("ann");
    let gathered = one.handle.broadcast(to, "news", ("all",)).await.unwrap();
    let named: Vec<_> = gathered
        .nodes
        .iter()
        .map(|node| node.node.clone())
        .collect();
    assert_eq!(named, [one.id(), two.id()]);
    for client in [&mut here, &mut there] {
        assert_eq!(client.message().await, news("all"));
        assert!(is_stuck(client.message()).await);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_no_room_on_another_node_is_counted() {
    let set = |layer: PrimacronLayer| {
        layer
            .queue_limit(1024)
            .queue_policy(QueuePolicy::DropVolatile)
    };
    let (_cluster, [one, two]) = nodes(set).await;
    let _ann = two.polling("ann", "s").await;
    let text = "x".repeat(700);
    let to = To::Account("ann");
    let first = one.handle.send(to, "news", (&*text,)).await.unwrap();
    let second = one.handle.send(to, "news", (&*text,)).await.unwrap();
    assert_eq!(
        [
            (first.queued, first.refused),
            (second.queued, second.refused)
        ],
        [(1, 0), (0, 1)]
    );
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_not_reached() {
    let (cluster, [one, two]) = two().await;
    let _ann = two.connect("ann", "s").await;
    assert_eq!(
        one.forward("s", "before", Wait::enqueued(SECOND)).await,
        Outcome::Enqueued
    );
    cluster.stop(&two.handle);
    for to in [ANN, To::Account("ann"), To::All] {
        let sent = soon(one.handle.send(to, "news", (json!(1),)))
            .await
            .unwrap();
        assert_eq!(
            (sent.queued, sent.refused, sent.unreached),
            (0, 0, 1),
            "{to:?}"
        );
        cluster.resume(&two.handle);
        sleep(5 * SECOND).await;
        cluster.stop(&two.handle);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drained_node_sends_nothing_any_more() {
    let (_cluster, [one, two]) = two().await;
    let mut ann = one.connect("ann", "s").await;
    let wait = Wait::enqueued(SECOND);
    assert_eq!(two.forward("s", "before", wait).await, Outcome::Enqueued);
    soon(two.handle.drain(SECOND)).await;
    let closing = Outcome::Refused(Refused::Closing);
    let late = two.forward("s", "late", wait).await;
    assert!(late == closing || late == Outcome::Uncertain, "{late:?}");
    let sent = two.handle.try_send(To::All, "news", ("late",)).unwrap();
    assert_eq!((sent.unreached, sent.passed_on), (1, false));
    assert_eq!(ann.message().await, news("before"));
    assert!(is_stuck(ann.message()).await);
}
