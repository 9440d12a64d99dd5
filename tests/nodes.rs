//! From one node to another: two and three nodes over the memory of this process.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::time::Duration;

use primacron::{
    Args, CloseReason, Find, Notice, Outcome, PrimacronLayer, QueuePolicy, Raw, Refused, To, Wait,
};
use tokio::time::{Instant, sleep};

use self::support::{
    is_stuck,
    nodes::{Node, news, nodes, two, until_sees},
    notice, settle, soon, tasks,
};

const SECOND: Duration = Duration::from_secs(1);

/// More than a pipe of the tests holds.
const LARGE: usize = 4096;

#[tokio::test(start_paused = true)]
async fn a_session_of_another_node_is_reached() {
    let (_cluster, [one, two]) = two().await;
    let mut ann = two.connect("ann", "s").await;
    for _ in 0..2 {
        let outcome = one.forward("s", "queued", Wait::enqueued(SECOND)).await;
        assert_eq!(outcome, Outcome::Enqueued);
        let outcome = one.forward("s", "written", Wait::written(SECOND)).await;
        assert_eq!(outcome, Outcome::Written);
        assert_eq!(ann.message().await, news("queued"));
        assert_eq!(ann.message().await, news("written"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_one_after_the_other_arrives_so() {
    let (_cluster, [one, two]) = two().await;
    let mut ann = two.connect("ann", "s").await;
    let to = To::session("ann", "s");
    for n in 0..20 {
        // Nobody knows yet where she is, and after a while somebody does.
        let sent = one.handle.try_send(to, "news", (n,)).unwrap();
        assert_eq!((sent.queued, sent.passed_on), (0, true));
        if n % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let wait = Wait::enqueued(SECOND);
    let last = one.handle.forward("ann", "s", "news", (20,), wait);
    assert_eq!(last.await.unwrap(), Outcome::Enqueued);
    for n in 0..=20 {
        assert_eq!(ann.message().await["args"][0], n);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_there_on_any_node() {
    let (_cluster, [one, two]) = two().await;
    let _bob = two.connect("bob", "s").await;
    let outcome = one.forward("s", "hello", Wait::written(SECOND)).await;
    assert_eq!(outcome, Outcome::NoSession);
    let to = To::session("ann", "s");
    let sent = one.handle.send(to, "news", ()).await.unwrap();
    assert_eq!((sent.queued, sent.refused, sent.unreached), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_name_is_nobody() {
    let (_cluster, [one, two]) = two().await;
    let mut ann = two.connect("ann", "s").await;
    let nobody = To::session("ann", "");
    for wait in [Wait::enqueued(SECOND), Wait::written(SECOND)] {
        assert_eq!(one.forward("", "hello", wait).await, Outcome::NoSession);
    }
    let sent = one.handle.send(nobody, "news", ("hello",)).await.unwrap();
    assert_eq!((sent.queued, sent.refused, sent.unreached), (0, 0, 0));
    one.handle.try_send(nobody, "news", ("hello",)).unwrap();
    assert!(is_stuck(ann.message()).await, "she is somebody");
}

#[tokio::test(start_paused = true)]
async fn a_queue_of_another_node_is_treated_by_its_policy() {
    let set = |layer: PrimacronLayer| {
        layer
            .queue_limit(1024)
            .queue_policy(QueuePolicy::DropVolatile)
    };
    let (_cluster, [one, two]) = nodes(set).await;
    let _ann = two.polling("ann", "s").await;
    let text = "x".repeat(700);
    let full = Outcome::Refused(Refused::QueueFull);
    let outcomes = [
        one.forward("s", &text, Wait::enqueued(SECOND)).await,
        one.forward("s", &text, Wait::enqueued(SECOND)).await,
        one.forward("s", &text, Wait::written(SECOND)).await,
    ];
    assert_eq!(outcomes, [Outcome::Enqueued, full, full]);
    let to = To::session("ann", "s");
    let sent = one.handle.send(to, "news", (text,)).await.unwrap();
    assert_eq!((sent.queued, sent.refused), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_polling_cannot_carry_is_refused_by_the_other_node() {
    let (_cluster, [one, two]) = nodes(|layer| layer.codec(Raw)).await;
    let _ann = two.polling("ann", "s").await;
    let text = Args::text("one\u{1e}4two");
    let forwarded = one
        .handle
        .forward("ann", "s", "message", text, Wait::written(SECOND));
    let unsendable = Outcome::Refused(Refused::Unsendable);
    assert_eq!(forwarded.await.unwrap(), unsendable);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_written_in_time_nobody_knows() {
    let (_cluster, [one, two]) = two().await;
    let mut ann = two.connect("ann", "s").await;
    let large = "x".repeat(LARGE);
    one.forward("s", &large, Wait::enqueued(SECOND)).await;
    let start = Instant::now();
    let outcome = one.forward("s", "late", Wait::written(5 * SECOND)).await;
    assert_eq!((outcome, start.elapsed()), (Outcome::Unknown, 5 * SECOND));
    ann.message().await;
    assert_eq!(ann.message().await, news("late"), "perhaps means perhaps");
}

#[tokio::test(start_paused = true)]
async fn who_went_to_a_third_node_is_reached_by_one_detour() {
    let (_cluster, [one, two, three]) = nodes(|layer| layer).await;
    let ann = two.connect("ann", "s").await;
    let wait = Wait::written(SECOND);
    assert_eq!(one.forward("s", "before", wait).await, Outcome::Written);
    drop(ann);
    settle().await;
    let mut ann = three.connect("ann", "s").await;
    for text in ["detour", "straight"] {
        assert_eq!(one.forward("s", text, wait).await, Outcome::Written);
        assert_eq!(ann.message().await, news(text));
    }
    drop(ann);
    settle().await;
    let mut ann = one.connect("ann", "s").await;
    assert_eq!(one.forward("s", "here", wait).await, Outcome::Written);
    assert_eq!(ann.message().await, news("here"));
    drop(ann);
    // What ended is gathered for a moment.
    soon(async {
        while two.handle.find("ann", "s").await != Find::NotFound {
            settle().await;
        }
    })
    .await;
    assert_eq!(one.forward("s", "gone", wait).await, Outcome::NoSession);
    assert_eq!(two.forward("s", "gone", wait).await, Outcome::NoSession);
}

#[tokio::test(start_paused = true)]
async fn who_waits_longer_than_the_detour_does_not_know_before() {
    let (_cluster, [one, two, three]) = nodes(|layer| layer).await;
    let ann = two.connect("ann", "s").await;
    one.forward("s", "before", Wait::written(SECOND)).await;
    drop(ann);
    settle().await;
    let _ann = three.connect("ann", "s").await;
    let large = "x".repeat(LARGE);
    three.forward("s", &large, Wait::enqueued(SECOND)).await;
    let start = Instant::now();
    let outcome = one.forward("s", "late", Wait::written(20 * SECOND)).await;
    assert_eq!((outcome, start.elapsed()), (Outcome::Unknown, 20 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_makes_the_detour_too() {
    let (_cluster, [one, two, three]) = nodes(|layer| layer).await;
    let ann = two.connect("ann", "s").await;
    one.forward("s", "before", Wait::written(SECOND)).await;
    drop(ann);
    settle().await;
    let mut ann = three.connect("ann", "s").await;
    for n in 0..50 {
        one.handle
            .try_send(To::session("ann", "s"), "news", (n,))
            .unwrap();
        if n == 25 {
            sleep(SECOND).await;
        }
    }
    for n in 0..50 {
        assert_eq!(ann.message().await["args"][0], n);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_reaches_all_and_says_what_each_node_did() {
    let (_cluster, [one, two, three]) = nodes(|layer| layer).await;
    let mut all = [
        one.connect("ann", "1").await,
        two.connect("ann", "2").await,
        two.connect("bob", "3").await,
    ];
    let gathered = one
        .handle
        .broadcast(To::All, "news", ("all",))
        .await
        .unwrap();
    let mut said: Vec<_> = gathered
        .nodes
        .iter()
        .map(|node| (node.node.clone(), node.result.map(|sent| sent.queued)))
        .collect();
    assert_eq!(said.remove(0), (one.id(), Ok(1)));
    said.sort_by(|a, b| a.0.cmp(&b.0));
    let mut others = vec![(two.id(), Ok(2)), (three.id(), Ok(0))];
    others.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!((said, gathered.complete), (others, true));
    for client in &mut all {
        assert_eq!(client.message().await, news("all"));
    }

    let to = To::Account("ann");
    let gathered = three.handle.broadcast(to, "news", ("ann",)).await.unwrap();
    let concerned = gathered.nodes.len();
    let queued: usize = gathered
        .nodes
        .iter()
        .map(|node| node.result.unwrap().queued)
        .sum();
    assert_eq!((concerned, queued, gathered.complete), (3, 2, true));
    let sent = three.handle.send(to, "news", ("ann",)).await.unwrap();
    assert_eq!((sent.queued, sent.unreached), (2, 0));
    let sent = three.handle.try_send(to, "news", ("ann",)).unwrap();
    assert_eq!((sent.queued, sent.passed_on), (0, true));
    for client in &mut all[..2] {
        for _ in 0..3 {
            assert_eq!(client.message().await, news("ann"));
        }
    }

    let sent = three.handle.try_send(To::All, "news", ("last",)).unwrap();
    assert_eq!((sent.queued, sent.passed_on), (0, true));
    for client in &mut all {
        assert_eq!(client.message().await, news("last"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_for_an_account_goes_to_the_nodes_that_have_it() {
    let (_cluster, nodes) = nodes::<6>(|layer| layer).await;
    let mut ann = nodes[5].connect("ann", "1").await;
    let _bob = nodes[4].connect("bob", "2").await;
    let to = To::Account("ann");
    for n in 0..5 {
        nodes[0].handle.try_send(to, "news", (n,)).unwrap();
    }
    for n in 0..5 {
        assert_eq!(ann.message().await["args"][0], n);
    }
    let gathered = nodes[0]
        .handle
        .broadcast(to, "news", ("all",))
        .await
        .unwrap();
    let concerned: Vec<_> = gathered.nodes.into_iter().map(|node| node.node).collect();
    assert_eq!(concerned, [nodes[0].id(), nodes[5].id()]);
}

#[tokio::test(start_paused = true)]
async fn anybody_is_closed_from_anywhere() {
    let (_cluster, [one, two]) = two().await;
    let mut notices = two.handle.notices();
    let mut ann = two.connect("ann", "1").await;
    let mut other = two.connect("ann", "2").await;
    let _bob = two.connect("bob", "3").await;
    let closed = one.handle.close(To::session("ann", "1"), "enough").await;
    let said: Vec<_> = closed
        .nodes
        .iter()
        .map(|node| (node.node.clone(), node.result))
        .collect();
    assert_eq!((said, closed.complete), (vec![(two.id(), Ok(1))], true));
    assert_eq!(ann.until_closed().await, Some(1000));
    let reason = CloseReason::Application("enough".into());
    assert!(
        matches!(notice(&mut notices, "disconnect").await, Notice::Disconnect { reason: r, .. } if r == reason)
    );

    let closed = one.handle.close(To::Account("ann"), "signed out").await;
    let all: usize = closed.nodes.iter().map(|node| node.result.unwrap()).sum();
    assert_eq!(all, 1);
    assert_eq!(other.until_closed().await, Some(1000));
    assert_eq!(two.handle.count(To::All), 1, "bob stays");
    sleep(Duration::from_millis(10)).await;
    let closed = one.handle.close(To::session("ann", "1"), "again").await;
    let said: Vec<_> = closed
        .nodes
        .iter()
        .map(|node| (node.node.clone(), node.result))
        .collect();
    assert_eq!((said, closed.complete), (vec![(one.id(), Ok(0))], true));
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_request_reaches_the_others() {
    let (cluster, [one, _two]) = two().await;
    let mut ann = one.connect("ann", "s").await;
    let to = To::session("ann", "s");
    let wait = Wait::enqueued(SECOND);

    // Whoever speaks first begins: the others see it though nobody asked it for anything.
    let forwards = Node::of(cluster.layer());
    forwards.forward("s", "early", wait).await;
    until_sees(&one, 3).await;
    let sends = Node::of(cluster.layer());
    sends.handle.send(to, "news", ("early",)).await.unwrap();
    until_sees(&one, 4).await;
    let tries = Node::of(cluster.layer());
    tries.handle.try_send(to, "news", ("early",)).unwrap();
    until_sees(&one, 5).await;

    sleep(10 * SECOND).await;
    for node in [&forwards, &sends, &tries] {
        let sent = node.handle.try_send(to, "news", ("late",)).unwrap();
        assert_eq!((sent.unreached, sent.passed_on), (0, true));
    }
    let mut late = 0;
    while late < 3 {
        late += usize::from(soon(ann.message()).await == news("late"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_begin_yet_says_so() {
    let (cluster, [one, _two]) = two().await;
    let mut ann = one.connect("ann", "s").await;
    // It has no rules and no service yet.
    let handle = cluster.layer().handle();
    for to in [To::session("ann", "s"), To::Account("ann"), To::All] {
        let sent = handle.try_send(to, "news", ()).unwrap();
        assert_eq!((sent.unreached, sent.passed_on), (1, false));
        let sent = handle.send(to, "news", ()).await.unwrap();
        assert_eq!(sent.unreached, 1);
    }
    assert!(is_stuck(ann.message()).await);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_drains_says_goodbye_to_clients_and_nodes() {
    let before = tasks();
    let (cluster, [one, two]) = two().await;
    let mut ann = two.connect("ann", "s").await;
    one.forward("s", "before", Wait::written(SECOND)).await;
    let drain = tokio::spawn({
        let handle = two.handle.clone();
        async move { handle.drain_on(sleep(SECOND), 10 * SECOND).await }
    });
    settle().await;
    assert_eq!(
        one.forward("s", "not yet", Wait::written(SECOND)).await,
        Outcome::Written
    );
    sleep(2 * SECOND).await;
    let leaving = |node: &primacron::NodeInfo| node.id == two.id() && node.draining;
    let nodes = one.handle.nodes().unwrap();
    assert!(nodes.iter().any(leaving), "its lease says so");
    assert_eq!(ann.until_closed().await, Some(1001));
    drop(ann);
    drain.await.unwrap();
    let outcome = one.forward("s", "late", Wait::written(SECOND)).await;
    let not_delivered = matches!(
        outcome,
        Outcome::NoSession | Outcome::NodeGone | Outcome::Uncertain | Outcome::Refused(_)
    );
    assert!(not_delivered, "{outcome:?}");
    until_sees(&one, 1).await;
    assert_eq!(one.handle.find("ann", "s").await, Find::NotFound);
    drop((cluster, one, two));
    soon(async {
        while tasks() > before {
            sleep(SECOND).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_ends_though_another_one_knows_it() {
    let before = tasks();
    let (_cluster, [one, two]) = two().await;
    let mut ann = two.connect("ann", "s").await;
    one.forward("s", "hello", Wait::written(SECOND)).await;
    drop(two);
    assert_eq!(ann.until_closed().await, Some(1001));
    drop((ann, one));
    soon(async {
        while tasks() > before {
            sleep(SECOND).await;
        }
    })
    .await;
}
