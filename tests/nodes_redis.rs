//! From one node to another through a real Redis: two and three layers in one process.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;
mod support_redis;

use std::{convert::Infallible, future::ready, time::Duration};

use http::request::Parts;
use primacron::{
    Args, Find, FollowError, Handle, Handler, Message, Outcome, PresenceState, PrimacronLayer,
    Refused, Sent, To, Unreached, User, Wait,
};
use serde_json::{Value, json};
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, timeout},
};

use self::{
    support::{App, Ws, app, get, soon},
    support_redis::{LOOK, Redis, until},
};

const LEASE: Duration = Duration::from_millis(100);
const SUSPECT: Duration = Duration::from_millis(500);
const DEAD: Duration = Duration::from_millis(800);

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// The session id is what the query says.
fn chosen(parts: &Parts) -> Option<String> {
    let (_, session) = parts.uri.query()?.split_once("session=")?;
    Some(session.to_owned())
}

fn nothing() -> impl Handler + Clone + Sync {
    tower::service_fn(|_: Message| ready(Ok::<_, Infallible>(())))
}

struct Node {
    app: App,
    handle: Handle,
}

impl Node {
    async fn start(redis: &Redis) -> Self {
        let layer = PrimacronLayer::new(redis.url())
            .namespace("t")
            .liveness(LEASE, SUSPECT, DEAD)
            .presence_wait(LONG)
            .session_id(chosen)
            .validate("say", |args: &Args, _: &User| args.len() == 1)
            .service(nothing());
        let handle = layer.handle();
        let app = app(layer);
        // It begins with its first request.
        get(&app, "/").await;
        Self { app, handle }
    }

    async fn connect(&self, account: &str, session: &str) -> Ws {
        let query = format!("account={account}&session={session}");
        soon(Ws::connect_with(&self.app, &query, 1024 * 1024)).await
    }

    async fn forward(&self, session: &str, text: &str, wait: Wait) -> Outcome {
        let forwarded = self.handle.forward("ann", session, "news", (text,), wait);
        soon(forwarded).await.unwrap()
    }

    fn id(&self) -> Box<str> {
        self.handle.node_id().into()
    }

    async fn until_sees(&self, count: usize) {
        until(&format!("{count} nodes are seen"), async || {
            let nodes = self.handle.nodes().ok()?;
            let synced = self.handle.presence_state() == PresenceState::Synced;
            let all = nodes.len() == count && nodes.iter().all(|node| node.live);
            (all && synced).then_some(())
        })
        .await;
    }
}

async fn nodes<const N: usize>(redis: &Redis) -> [Node; N] {
    let mut nodes = Vec::new();
    for _ in 0..N {
        nodes.push(Node::start(redis).await);
    }
    for node in &nodes {
        node.until_sees(N).await;
    }
    let Ok(nodes) = nodes.try_into() else {
        unreachable!()
    };
    nodes
}

/// A node that can be killed: its tasks and connections are gone at once, and nobody is told.
struct Mortal {
    runtime: Option<Runtime>,
    node: Option<Node>,
}

impl Mortal {
    async fn start(redis: &Redis) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let url = redis.url();
        let start = runtime.spawn(async move {
            let layer = PrimacronLayer::new(url)
                .namespace("t")
                .liveness(LEASE, SUSPECT, DEAD)
                .presence_wait(LONG)
                .session_id(chosen)
                .service(nothing());
            let handle = layer.handle();
            let app = app(layer);
            get(&app, "/").await;
            Node { app, handle }
        });
        let node = start.await.unwrap();
        Self {
            runtime: Some(runtime),
            node: Some(node),
        }
    }

    fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    async fn connect(&self, session: &'static str) {
        let app = self.node().app.clone();
        let connect = async move {
            let query = format!("/stream/?EIO=4&transport=polling&account=ann&session={session}");
            get(&app, &query).await.0
        };
        let connected = self.runtime.as_ref().unwrap().spawn(connect);
        assert_eq!(connected.await.unwrap(), 200);
    }

    fn kill(&mut self) {
        // What it would say goodbye with is gone with its runtime.
        std::mem::forget(self.node.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.kill();
    }
}

fn news(text: &str) -> Value {
    json!({"event": "news", "args": [text]})
}

fn say(text: &str) -> Value {
    json!({"event": "say", "args": [text]})
}

/// Nothing more comes to a client: what is sent to it now is the next that it hears.
async fn hears_nothing(node: &Node, client: &mut Ws, account: &str) {
    let to = To::Account(account);
    node.handle.try_send(to, "mark", ()).unwrap();
    assert_eq!(soon(client.message()).await["event"], "mark");
}

#[tokio::test]
async fn a_session_of_another_node_is_reached() {
    let redis = Redis::start().await;
    let [one, two] = nodes(&redis).await;
    let mut ann = two.connect("ann", "s").await;
    for _ in 0..2 {
        assert_eq!(
            one.forward("s", "queued", Wait::enqueued(LONG)).await,
            Outcome::Enqueued
        );
        assert_eq!(
            one.forward("s", "written", Wait::written(LONG)).await,
            Outcome::Written
        );
        assert_eq!(soon(ann.message()).await, news("queued"));
        assert_eq!(soon(ann.message()).await, news("written"));
    }
    assert_eq!(
        one.forward("other", "hello", Wait::enqueued(LONG)).await,
        Outcome::NoSession
    );
    let sent = one
        .handle
        .send(To::session("ann", "s"), "news", ("sent",))
        .await
        .unwrap();
    assert_eq!((sent.queued, sent.unreached), (1, 0));
    assert_eq!(soon(ann.message()).await, news("sent"));
}

#[tokio::test]
async fn messages_between_nodes_keep_their_order() {
    const MESSAGES: usize = 2000;
    let redis = Redis::start().await;
    let [one, two] = nodes(&redis).await;
    let mut ann = two.connect("ann", "s").await;
    for n in 0..MESSAGES {
        one.handle
            .try_send(To::session("ann", "s"), "news", (n,))
            .unwrap();
        if n % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for n in 0..MESSAGES {
        assert_eq!(soon(ann.message()).await["args"][0], n);
    }
}

#[tokio::test]
async fn who_went_to_a_third_node_is_reached_there() {
    let redis = Redis::start().await;
    let [one, two, three] = nodes(&redis).await;
    let ann = two.connect("ann", "s").await;
    assert_eq!(
        one.forward("s", "before", Wait::written(LONG)).await,
        Outcome::Written
    );
    drop(ann);
    let mut ann = three.connect("ann", "s").await;
    for text in ["detour", "straight"] {
        assert_eq!(
            one.forward("s", text, Wait::written(LONG)).await,
            Outcome::Written
        );
        assert_eq!(soon(ann.message()).await, news(text));
    }
    drop(ann);
    until("she is gone", async || {
        (three.handle.count(To::All) == 0).then_some(())
    })
    .await;
    until("nobody finds her", async || {
        let outcome = one.forward("s", "gone", Wait::written(LONG)).await;
        (outcome == Outcome::NoSession).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_broadcast_reaches_all_and_names_who_is_dead() {
    let redis = Redis::start().await;
    let [one, two] = nodes(&redis).await;
    let mut three = Mortal::start(&redis).await;
    let dead = three.node().id();
    one.until_sees(3).await;
    let mut ann = one.connect("ann", "1").await;
    let mut bob = two.connect("bob", "2").await;
    let all = |gathered: primacron::Gathered<Sent>| {
        let mut all: Vec<_> = gathered
            .nodes
            .into_iter()
            .map(|node| (node.node, node.result.map(|sent| sent.queued)))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    let gathered = one
        .handle
        .broadcast(To::All, "news", ("all",))
        .await
        .unwrap();
    assert!(gathered.complete);
    let mut expected = vec![(one.id(), Ok(1)), (two.id(), Ok(1)), (dead.clone(), Ok(0))];
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(all(gathered), expected);

    three.kill();
    let gathered = one
        .handle
        .broadcast(To::All, "news", ("again",))
        .await
        .unwrap();
    for client in [&mut ann, &mut bob] {
        assert_eq!(soon(client.message()).await, news("all"));
        assert_eq!(soon(client.message()).await, news("again"));
    }
    for (node, result) in all(gathered) {
        let expected = if node == dead {
            Err(Unreached::Unknown)
        } else {
            Ok(1)
        };
        assert_eq!(result, expected, "nobody else suffers");
    }
}

#[tokio::test]
async fn who_is_on_a_dead_node_is_not_delivered_to() {
    let redis = Redis::start().await;
    let [one] = nodes(&redis).await;
    let mut two = Mortal::start(&redis).await;
    one.until_sees(2).await;
    two.connect("s").await;
    assert_eq!(
        one.forward("s", "alive", Wait::enqueued(LONG)).await,
        Outcome::Enqueued
    );
    two.kill();
    let killed = Instant::now();
    let outcome = one.forward("s", "dead", Wait::enqueued(LONG)).await;
    assert_eq!(
        outcome,
        Outcome::Unknown,
        "it waits in an inbox that nobody reads"
    );
    assert!(killed.elapsed() < LONG, "its death is answer enough");
    until("nobody takes her for connected", async || {
        match one.forward("s", "gone", Wait::enqueued(LONG)).await {
            Outcome::NoSession => Some(()),
            outcome => {
                assert!(
                    matches!(
                        outcome,
                        Outcome::Uncertain | Outcome::NodeGone | Outcome::Unknown
                    ),
                    "{outcome:?}"
                );
                None
            }
        }
    })
    .await;
}

#[tokio::test]
async fn while_redis_is_away_nobody_pretends() {
    let mut redis = Redis::start().await;
    let [one, two] = nodes(&redis).await;
    let mut ann = two.connect("ann", "s").await;
    one.forward("s", "before", Wait::written(LONG)).await;
    assert_eq!(soon(ann.message()).await, news("before"));

    redis.kill();
    let wait = Wait::enqueued(Duration::from_secs(2));
    for _ in 0..3 {
        let outcome = one.forward("s", "lost", wait).await;
        let honest = matches!(
            outcome,
            Outcome::Unknown | Outcome::Uncertain | Outcome::Refused(Refused::BusOffline)
        );
        assert!(honest, "{outcome:?}");
    }
    redis.restart().await;
    until("they reach each other again", async || {
        let outcome = one.forward("s", "back", wait).await;
        (outcome == Outcome::Enqueued).then_some(())
    })
    .await;
    until("she hears it", async || {
        let heard = soon(ann.message()).await;
        (heard == news("back")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stall_of_redis_loses_nothing() {
    let redis = Redis::start().await;
    let [one, two] = nodes(&redis).await;
    let mut ann = two.connect("ann", "s").await;
    one.forward("s", "before", Wait::written(LONG)).await;
    assert_eq!(soon(ann.message()).await, news("before"));
    redis.stop();
    let forwarding = tokio::spawn({
        let handle = one.handle.clone();
        async move {
            handle
                .forward("ann", "s", "news", ("through",), Wait::enqueued(LONG))
                .await
        }
    });
    // Nothing tells when it is on its way: the stall is shorter than any patience here.
    drop(timeout(LOOK * 20, std::future::pending::<()>()).await);
    redis.cont();
    assert_eq!(soon(forwarding).await.unwrap().unwrap(), Outcome::Enqueued);
    assert_eq!(soon(ann.message()).await, news("through"));
}

#[tokio::test]
async fn anybody_is_closed_from_anywhere() {
    let redis = Redis::start().await;
    let [one, two] = nodes(&redis).await;
    let mut ann = two.connect("ann", "1").await;
    let mut other = two.connect("ann", "2").await;
    let closed = one.handle.close(To::session("ann", "1"), "enough").await;
    let said: Vec<_> = closed
        .nodes
        .into_iter()
        .map(|node| (node.node, node.result))
        .collect();
    assert_eq!((said, closed.complete), (vec![(two.id(), Ok(1))], true));
    assert_eq!(soon(ann.until_closed()).await, Some(1000));
    one.handle.close(To::Account("ann"), "signed out").await;
    assert_eq!(soon(other.until_closed()).await, Some(1000));
}

#[tokio::test]
async fn a_session_is_heard_across_nodes_wherever_it_goes() {
    let redis = Redis::start().await;
    let [one, two, three] = nodes(&redis).await;
    let mut head = one.connect("ann", "head").await;
    let mut tail = two.connect("ann", "tail").await;
    let ann = User::new("ann", "tail", "");
    let eve = User::new("eve", "tail", "");
    let foreign = two.handle.follow(&eve, "ann", "head").await;
    assert_eq!(foreign, Err(FollowError::ForeignAccount));
    two.handle.follow(&ann, "ann", "head").await.unwrap();
    for n in 0..100 {
        head.emit("say", json!([n.to_string()])).await;
    }
    for n in 0..100 {
        assert_eq!(soon(tail.message()).await, say(&n.to_string()));
    }

    // To another node, under the same name.
    drop(head);
    let mut head = three.connect("ann", "head").await;
    head.emit("say", json!(["moved"])).await;
    assert_eq!(soon(tail.message()).await, say("moved"));

    two.handle.unfollow(&ann, "ann", "head").await.unwrap();
    head.emit("say", json!(["again"])).await;
    hears_nothing(&three, &mut tail, "ann").await;
    drop(head);
    let mut head = one.connect("ann", "head").await;
    head.emit("say", json!(["and again"])).await;
    hears_nothing(&one, &mut tail, "ann").await;
}

#[tokio::test]
async fn what_is_left_of_follows_goes_away_by_itself() {
    let redis = Redis::start().await;
    let [one] = nodes(&redis).await;
    let _head = one.connect("ann", "head").await;
    let ann = User::new("ann", "tail", "");
    one.handle.follow(&ann, "ann", "head").await.unwrap();
    let keys = redis.keys().await;
    let key = keys
        .iter()
        .find(|key| key.contains(":f:"))
        .expect("it is written");
    let expires = redis.command(&["TTL", key]).await;
    let seconds = 1..=120;
    assert!(seconds.contains(&expires.integer()), "{expires:?}");
    one.handle.unfollow(&ann, "ann", "head").await.unwrap();
    assert!(!redis.keys().await.iter().any(|key| key.contains(":f:")));
}

#[tokio::test]
async fn a_node_that_drained_is_gone_for_all() {
    let redis = Redis::start().await;
    let [one, two] = nodes(&redis).await;
    let mut ann = two.connect("ann", "s").await;
    one.forward("s", "before", Wait::written(LONG)).await;
    let signal = ready(());
    soon(two.handle.drain_on(signal, Duration::from_millis(200))).await;
    assert_eq!(soon(ann.until_closed()).await, Some(1001));
    let outcome = one.forward("s", "late", Wait::enqueued(LONG)).await;
    let not_delivered = matches!(
        outcome,
        Outcome::NoSession | Outcome::NodeGone | Outcome::Uncertain | Outcome::Refused(_)
    );
    assert!(not_delivered, "{outcome:?}");
    let id = two.id();
    assert!(
        !redis.keys().await.iter().any(|key| key.contains(&*id)),
        "its inbox is closed"
    );
    one.until_sees(1).await;
    assert_eq!(one.handle.find("ann", "s").await, Find::NotFound);
}
