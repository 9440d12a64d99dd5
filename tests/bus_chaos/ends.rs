//! How far one message gets.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::exchange::{Listener, forward, judge, settled};
use crate::support_redis::{NodeProcess, Redis, until};

/// After this a killed node is known to be dead, by everybody.
const DEAD: Duration = Duration::from_secs(5);

async fn two(namespace: &str) -> (Redis, [NodeProcess; 2]) {
    let redis = Redis::start().await;
    let nodes = [
        NodeProcess::start(&redis.url(), namespace).await,
        NodeProcess::start(&redis.url(), namespace).await,
    ];
    settled(&[&nodes[0], &nodes[1]]).await;
    (redis, nodes)
}

#[tokio::test]
async fn a_message_reaches_any_session_from_any_node() {
    let (_redis, [one, other]) = two("directions").await;
    for (from, to) in [(&one, &other), (&other, &one), (&one, &one)] {
        let mut speaker = from.client("ann").await;
        let listener = Listener::new(to.client("bob").await);
        let outcome = forward(&mut speaker, "bob", &listener.session, "hello").await;
        assert_eq!(outcome, "written");
        listener.until_heard("hello").await;
    }
}

#[tokio::test]
async fn messages_that_nobody_waits_for_arrive_in_order() {
    let (_redis, [one, other]) = two("detached").await;
    let mut speaker = one.client("ann").await;
    let listener = Listener::new(other.client("bob").await);
    for number in 0..2_000 {
        let args = ["bob", &listener.session, &format!("ann:{number}")];
        speaker.tell("forward", &args).await.unwrap();
    }
    listener.until_heard("ann:1999").await;
    let heard = listener.heard();
    judge(&[], &heard);
    assert_eq!(heard.len(), 2_000);
}

#[tokio::test]
async fn there_is_no_such_session() {
    let (_redis, [one, other]) = two("nobody").await;
    let mut speaker = one.client("ann").await;
    let bob = other.client("bob").await;
    for (account, session) in [("bob", "nobody"), ("nobody", bob.session.as_str())] {
        let outcome = forward(&mut speaker, account, session, "hello").await;
        assert_eq!(outcome, "no_session", "{account} {session}");
    }
}

#[tokio::test]
async fn a_session_that_has_left_is_no_session() {
    let (_redis, [one, other]) = two("left").await;
    let mut speaker = one.client("ann").await;
    let bob = other.client("bob").await;
    let session = bob.session.clone();
    // The other node is remembered now.
    assert_eq!(forward(&mut speaker, "bob", &session, "1").await, "written");
    drop(bob);
    until("the session is gone", async || {
        let outcome = forward(&mut speaker, "bob", &session, "2").await;
        (outcome == "no_session").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_that_was_killed_gets_nothing() {
    let (_redis, [one, mut other]) = two("killed").await;
    let mut speaker = one.client("ann").await;
    let bob = other.client("bob").await;
    let session = bob.session.clone();
    assert_eq!(forward(&mut speaker, "bob", &session, "1").await, "written");

    let killed = other.kill();
    while killed.elapsed() < DEAD {
        let outcome = forward(&mut speaker, "bob", &session, "2").await;
        assert!(
            ["unknown", "uncertain", "node_gone", "no_session"].contains(&outcome.as_str()),
            "{outcome} after {:?}",
            killed.elapsed()
        );
    }
    let outcome = forward(&mut speaker, "bob", &session, "3").await;
    assert!(
        ["node_gone", "no_session"].contains(&outcome.as_str()),
        "{outcome}"
    );
}

#[tokio::test]
async fn a_node_that_stood_still_for_two_seconds_gets_it_late() {
    let (_redis, [one, other]) = two("stopped").await;
    let mut speaker = one.client("ann").await;
    let listener = Listener::new(other.client("bob").await);
    let session = listener.session.clone();

    other.stop();
    let stopped = Instant::now();
    let sending = tokio::spawn(async move {
        let outcome = forward(&mut speaker, "bob", &session, "ann:1").await;
        (speaker, session, outcome)
    });
    sleep_until(stopped + Duration::from_secs(2)).await;
    other.cont();

    let (mut speaker, session, first) = sending.await.unwrap();
    let last = until("it is reached again", async || {
        let outcome = forward(&mut speaker, "bob", &session, "ann:2").await;
        (outcome == "written").then_some(outcome)
    })
    .await;
    listener.until_heard("ann:2").await;
    let outcomes = [
        ("ann:1".to_owned(), first.clone()),
        ("ann:2".to_owned(), last),
    ];
    judge(&outcomes, &listener.heard());
    assert_eq!(
        first, "written",
        "it was waited for longer than it stood still"
    );
}
