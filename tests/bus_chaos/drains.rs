//! A node is drained while its clients exchange messages with those of another.

use crate::exchange::{Listener, Outcome, forward, judge, settled};
use crate::support_redis::{NodeProcess, Redis, until};

/// Clients of each node.
const CLIENTS: usize = 200;

#[tokio::test]
async fn what_was_written_before_a_drain_arrived() {
    let redis = Redis::start().await;
    let one = NodeProcess::start(&redis.url(), "drain").await;
    let mut other = NodeProcess::start(&redis.url(), "drain").await;
    settled(&[&one, &other]).await;
    let mut listeners = Vec::new();
    let mut speakers = Vec::new();
    for number in 0..CLIENTS {
        let listener = Listener::new(other.client("bob").await);
        let mut speaker = one.client("ann").await;
        let session = listener.session.clone();
        speakers.push(tokio::spawn(async move {
            let mut outcomes: Vec<Outcome> = Vec::new();
            loop {
                let text = format!("s{number}:{}", outcomes.len());
                let outcome = forward(&mut speaker, "bob", &session, &text).await;
                let over = ["no_session", "node_gone"].contains(&outcome.as_str());
                outcomes.push((text, outcome));
                if over {
                    speaker.assert_alive().await;
                    return (speaker, outcomes);
                }
            }
        }));
        listeners.push(listener);
    }
    until("everybody has heard something", async || {
        listeners
            .iter()
            .all(|one| !one.heard().is_empty())
            .then_some(())
    })
    .await;

    assert!(other.terminate().await.success());

    let mut stayed = Vec::new();
    let mut all = Vec::new();
    let mut outcomes = Vec::new();
    for (speaker, listener) in speakers.into_iter().zip(listeners) {
        let (speaker, said) = speaker.await.unwrap();
        stayed.push(speaker);
        outcomes.extend(said);
        all.extend(listener.until_closed().await);
    }
    let counts = judge(&outcomes, &all);
    println!("drain: {counts:?}");
    assert_eq!(one.stats().await["connections"], CLIENTS);
    let inboxes = redis.keys().await;
    assert!(
        !inboxes.iter().any(|key| key.contains(&other.id)),
        "something of the drained node is left: {inboxes:?}"
    );
}
