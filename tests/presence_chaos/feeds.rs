//! Who comes and goes on nodes in processes of their own, as one hears it that watches all.

use std::collections::BTreeMap;
use std::time::Duration;

use primacron::{Movement, Watch};
use tokio::time::{Instant, timeout_at};

use crate::generations::Member;
use crate::support_redis::{Client, NodeProcess, PATIENCE, Redis};

const NAMESPACE: &str = "generations";

/// A killed node's sessions have left after so long.
const LEFT: Duration = Duration::from_secs(5);

/// Everything is as it should be after so long, whatever happened.
const SETTLED: Duration = Duration::from_secs(8);

/// Who is there, by what was heard.
struct Hearer {
    member: Member,
    watch: Watch,
    /// Node and generation by session.
    there: BTreeMap<String, (String, u64)>,
    left: BTreeMap<String, u64>,
}

impl Hearer {
    async fn start(redis: &Redis) -> Self {
        let member = Member::start(&redis.url()).await;
        Self {
            watch: member.handle.watch_all(),
            member,
            there: BTreeMap::new(),
            left: BTreeMap::new(),
        }
    }

    /// Hears the next thing, if it comes before a moment; the session that it is about.
    async fn hear(&mut self, until: Instant) -> Option<String> {
        match timeout_at(until, self.watch.next()).await.ok()? {
            Movement::Join {
                session,
                node,
                generation,
                ..
            } => {
                let session = String::from(session);
                let left = self.left.get(&session);
                assert!(left.is_none_or(|left| *left < generation), "{session}");
                let before = self
                    .there
                    .insert(session.clone(), (node.into(), generation));
                assert!(before.is_none_or(|(_, before)| before < generation));
                Some(session)
            }
            Movement::Leave {
                session,
                generation,
                ..
            } => {
                let session = String::from(session);
                assert!(self.there.remove(&session).is_some(), "{session}");
                self.left.insert(session.clone(), generation);
                Some(session)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Hears until a client is there, or is not.
    async fn until(&mut self, client: &Client, there: bool) {
        let end = Instant::now() + PATIENCE;
        while self.there.contains_key(&client.session) != there {
            let heard = self.hear(end).await;
            assert!(heard.is_some(), "{there}: nothing of {client:?}");
        }
    }

    /// Hears nothing of anybody for a while.
    async fn assert_silent(&mut self, time: Duration) {
        let heard = self.hear(Instant::now() + time).await;
        assert_eq!(heard, None);
    }
}

#[tokio::test]
async fn whoever_is_there_comes_and_goes_elsewhere_is_heard_of() {
    let redis = Redis::start().await;
    let node = NodeProcess::start(&redis.url(), NAMESPACE).await;
    let first = node.client("ann").await;
    let mut hearer = Hearer::start(&redis).await;
    hearer.until(&first, true).await;
    assert_eq!(hearer.there[&first.session].0, node.id);

    let second = node.client("bob").await;
    hearer.until(&second, true).await;
    drop(first);
    while hearer.there.len() > 1 {
        hearer.hear(Instant::now() + PATIENCE).await.unwrap();
    }
    assert!(hearer.there.contains_key(&second.session));
    assert_eq!(hearer.watch.missed(), 0);
}

#[tokio::test]
async fn a_killed_nodes_sessions_have_left_within_five_seconds() {
    let redis = Redis::start().await;
    let (mut node, other) = (
        NodeProcess::start(&redis.url(), NAMESPACE).await,
        NodeProcess::start(&redis.url(), NAMESPACE).await,
    );
    let gone = [node.client("ann").await, node.client("bob").await];
    let stays = other.client("ann").await;
    let mut hearer = Hearer::start(&redis).await;
    for client in gone.iter().chain([&stays]) {
        hearer.until(client, true).await;
    }
    // By then everybody has seen everybody move.
    hearer.assert_silent(Duration::from_secs(2)).await;

    let killed = node.kill();
    for client in &gone {
        hearer.until(client, false).await;
    }
    let took = killed.elapsed();
    println!("left {took:?} after the kill");
    assert!(took <= LEFT, "{took:?}");
    assert_eq!(hearer.there.keys().collect::<Vec<_>>(), [&stays.session]);
}

#[tokio::test]
async fn nobody_leaves_when_redis_is_emptied_or_begins_anew() {
    let mut redis = Redis::start().await;
    let node = NodeProcess::start(&redis.url(), NAMESPACE).await;
    let stays = node.client("ann").await;
    let mut hearer = Hearer::start(&redis).await;
    hearer.until(&stays, true).await;

    redis.flush().await;
    let second = node.client("bob").await;
    hearer.until(&second, true).await;
    hearer.assert_silent(SETTLED).await;

    redis.kill();
    redis.restart().await;
    node.until_presence("synced").await;
    let third = node.client("bob").await;
    hearer.until(&third, true).await;
    hearer.assert_silent(SETTLED).await;
    hearer.member.until_synced().await;
    assert_eq!(hearer.there.len(), 3);

    let gone = second.session.clone();
    drop(second);
    while hearer.there.contains_key(&gone) {
        hearer.hear(Instant::now() + PATIENCE).await.unwrap();
    }
    assert_eq!(hearer.there.len(), 2);
}

#[tokio::test]
async fn a_node_that_stood_still_for_long_leaves_and_joins_again() {
    let redis = Redis::start().await;
    let node = NodeProcess::start(&redis.url(), NAMESPACE).await;
    let client = node.client("ann").await;
    let mut hearer = Hearer::start(&redis).await;
    hearer.until(&client, true).await;
    hearer.assert_silent(Duration::from_secs(1)).await;

    node.stop();
    hearer.until(&client, false).await;
    hearer.assert_silent(Duration::from_secs(3)).await;
    node.cont();

    // That its generation is higher is looked at whenever somebody joins.
    hearer.until(&client, true).await;
    hearer.assert_silent(SETTLED).await;
    let late = node.client("bob").await;
    hearer.until(&late, true).await;
}
