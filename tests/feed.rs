//! Several nodes in one process, and one that hears who comes and goes on all of them.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    time::Duration,
};

use primacron::{Cluster, Handle, Message, Movement, PrimacronLayer, Watch};
use support::{App, Polling, Ws, app, get, is_stuck, settle, soon, tasks};
use tokio::time::{Instant, sleep, timeout};
use tower::service_fn;

const SECOND: Duration = Duration::from_secs(1);

/// By then everybody knows everybody.
const SETTLED: Duration = Duration::from_secs(5);

struct Node {
    app: App,
    handle: Handle,
}

impl Node {
    async fn start(cluster: &Cluster) -> Self {
        Self::of(cluster.layer()).await
    }

    async fn of(layer: PrimacronLayer) -> Self {
        let layer = layer.session_id(|parts| {
            let query = parts.uri.query()?;
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let (_, session) = pairs.find(|(key, _)| *key == "session")?;
            Some(session.to_owned())
        });
        let layer = layer.service(service_fn(async |_: Message| Ok::<_, Infallible>(())));
        let handle = layer.handle();
        let app = app(layer);
        // A node begins with its first request at the latest.
        assert_eq!(get(&app, "/").await.1, "inner");
        Self { app, handle }
    }

    async fn connect(&self, account: &str, session: &str) -> Ws {
        let query = format!("account={account}&session={session}");
        Ws::connect_with(&self.app, &query, 64 * 1024).await
    }

    fn id(&self) -> &str {
        self.handle.node_id()
    }
}

async fn pair() -> (Cluster, Node, Node) {
    let cluster = Cluster::new();
    let nodes = (Node::start(&cluster).await, Node::start(&cluster).await);
    sleep(SETTLED).await;
    (cluster, nodes.0, nodes.1)
}

/// What somebody makes of what he hears, as the documentation says.
struct Hearer {
    watch: Watch,
    /// Node and generation of everybody who is there, by account and session.
    there: BTreeMap<(String, String), (String, u64)>,
    /// Generation and whether it left.
    last: BTreeMap<(String, String), (u64, bool)>,
}

impl Hearer {
    fn new(watch: Watch) -> Self {
        Self {
            watch,
            there: BTreeMap::new(),
            last: BTreeMap::new(),
        }
    }

    /// Hears one thing, short: `+account/session` or `-account/session`.
    async fn next(&mut self) -> String {
        let (sign, name, generation, node) = match self.watch.next().await {
            Movement::Join {
                account,
                session,
                node,
                generation,
                ..
            } => ('+', (account, session), generation, Some(node)),
            Movement::Leave {
                account,
                session,
                generation,
                ..
            } => ('-', (account, session), generation, None),
            other => panic!("{other:?}"),
        };
        let name = (String::from(name.0), String::from(name.1));
        let short = format!("{sign}{}/{}", name.0, name.1);
        let news = (generation, node.is_none());
        let last = self.last.get(&name).copied().unwrap_or_default();
        assert!(generation >= last.0, "{short}: {news:?} after {last:?}");
        if news > last {
            match node {
                Some(node) => self.there.insert(name.clone(), (node.into(), generation)),
                None => self.there.remove(&name),
            };
            self.last.insert(name, news);
        }
        short
    }

    /// Hears everything that comes within a time.
    async fn within(&mut self, time: Duration) -> BTreeSet<String> {
        let (mut heard, end) = (BTreeSet::new(), Instant::now() + time);
        while let Ok(short) = tokio::time::timeout_at(end, self.next()).await {
            heard.insert(short);
        }
        heard
    }

    /// Who is where, as far as was heard: `account/session@node`.
    fn there(&self) -> Vec<String> {
        let all = self.there.iter();
        all.map(|((account, session), (node, _))| format!("{account}/{session}@{node}"))
            .collect()
    }
}

fn set<const N: usize>(all: [&str; N]) -> BTreeSet<String> {
    all.map(str::to_owned).into()
}

#[tokio::test(start_paused = true)]
async fn whoever_is_there_comes_and_goes_is_heard_of() {
    let (_cluster, one, two) = pair().await;
    let _ann = one.connect("ann", "s1").await;
    let _bob = two.connect("bob", "s2").await;
    let mut all = Hearer::new(two.handle.watch_all());
    assert_eq!(all.within(SECOND).await, set(["+ann/s1", "+bob/s2"]));

    let cleo = one.connect("cleo", "s3").await;
    assert_eq!(soon(all.next()).await, "+cleo/s3");
    drop(cleo);
    assert_eq!(soon(all.next()).await, "-cleo/s3");
    let dan = two.connect("dan", "s4").await;
    assert_eq!(soon(all.next()).await, "+dan/s4");
    drop(dan);
    assert_eq!(soon(all.next()).await, "-dan/s4");

    let expected = [
        format!("ann/s1@{}", one.id()),
        format!("bob/s2@{}", two.id()),
    ];
    assert_eq!(all.there(), expected);
    assert!(is_stuck(all.next()).await);
    assert_eq!(all.watch.missed(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_moves_joins_and_does_not_leave() {
    let (_cluster, one, two) = pair().await;
    let _old = one.connect("ann", "s1").await;
    let mut all = Hearer::new(one.handle.watch_all());
    assert_eq!(soon(all.next()).await, "+ann/s1");

    let _new = two.connect("ann", "s1").await;

    assert_eq!(all.within(SETTLED).await, set(["+ann/s1"]));
    assert_eq!(all.there(), [format!("ann/s1@{}", two.id())]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_later_is_heard_too() {
    let (cluster, _one, two) = pair().await;
    let mut all = Hearer::new(two.handle.watch_all());
    let three = Node::start(&cluster).await;
    let _ann = three.connect("ann", "s1").await;

    assert_eq!(all.within(3 * SECOND).await, set(["+ann/s1"]));
}

#[tokio::test(start_paused = true)]
async fn many_are_all_heard_of_and_nobody_twice() {
    let (_cluster, one, two) = pair().await;
    let mut clients = Vec::new();
    for number in 0..2000 {
        let query = format!("account=a{}&session=s{number}", number % 300);
        clients.push(Polling::connect_with(&one.app, &query).await);
    }
    let mut all = two.handle.watch_all();
    let mut heard = Vec::new();
    while let Ok(Movement::Join { session, .. }) = timeout(3 * SECOND, all.next()).await {
        heard.push(session);
    }
    assert_eq!(heard.len(), 2000);
    assert_eq!(heard.iter().collect::<BTreeSet<_>>().len(), 2000);
}

#[tokio::test(start_paused = true)]
async fn the_sessions_of_a_killed_node_leave_within_five_seconds_unless_they_moved() {
    let (cluster, one, two) = pair().await;
    let clients = [
        one.connect("ann", "s1").await,
        one.connect("bob", "s2").await,
    ];
    let mut all = Hearer::new(two.handle.watch_all());
    all.within(SECOND).await;

    cluster.kill(&one.handle);
    let killed = Instant::now();
    let _again = two.connect("bob", "s2").await;
    assert_eq!(soon(all.next()).await, "+bob/s2");
    let left = timeout(5 * SECOND, all.next()).await;

    assert_eq!(
        left.as_deref(),
        Ok("-ann/s1"),
        "after {:?}",
        killed.elapsed()
    );
    assert!(killed.elapsed() <= 5 * SECOND, "{:?}", killed.elapsed());
    assert_eq!(all.within(SETTLED * 2).await, set([]));
    assert_eq!(all.there(), [format!("bob/s2@{}", two.id())]);
    drop(clients);
}

#[tokio::test(start_paused = true)]
async fn nobody_leaves_because_the_memory_lost_everything() {
    let (cluster, one, two) = pair().await;
    let _ann = one.connect("ann", "s1").await;
    let mut all = Hearer::new(two.handle.watch_all());
    all.within(SECOND).await;

    cluster.flush();
    let bob = one.connect("bob", "s2").await;

    assert_eq!(all.within(20 * SECOND).await, set(["+bob/s2"]));
    drop(bob);
    assert_eq!(all.within(20 * SECOND).await, set(["-bob/s2"]));
}

#[tokio::test(start_paused = true)]
async fn nobody_else_leaves_while_nobody_reaches_the_memory() {
    let (cluster, one, two) = pair().await;
    let clients = [
        one.connect("ann", "s1").await,
        one.connect("bob", "s2").await,
    ];
    let mut all = Hearer::new(two.handle.watch_all());
    all.within(SECOND).await;

    cluster.cut_off();
    let [ann, bob] = clients;
    drop(bob);
    assert_eq!(all.within(20 * SECOND).await, set([]));
    let _cleo = one.connect("cleo", "s3").await;
    cluster.recover();

    all.within(15 * SECOND).await;
    let expected = ["ann/s1", "cleo/s3"].map(|name| format!("{name}@{}", one.id()));
    assert_eq!(all.there(), expected);
    drop(ann);
}

#[tokio::test(start_paused = true)]
async fn who_was_taken_for_dead_joins_again_for_everybody_who_watches() {
    let (cluster, one, two) = pair().await;
    let _ann = one.connect("ann", "s1").await;
    let mut all = Hearer::new(two.handle.watch_all());
    let mut hers = Hearer::new(two.handle.watch("ann"));
    for hearer in [&mut all, &mut hers] {
        assert_eq!(hearer.within(SECOND).await, set(["+ann/s1"]));
    }

    cluster.stop(&one.handle);
    for hearer in [&mut all, &mut hers] {
        assert_eq!(hearer.within(10 * SECOND).await, set(["-ann/s1"]));
    }
    cluster.resume(&one.handle);

    for hearer in [&mut all, &mut hers] {
        assert_eq!(hearer.within(5 * SECOND).await, set(["+ann/s1"]));
        assert_eq!(hearer.there(), [format!("ann/s1@{}", one.id())]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_watches_and_was_away_hears_what_has_become_of_everybody() {
    let (cluster, one, two) = pair().await;
    let _ann = one.connect("ann", "s1").await;
    let bob = one.connect("bob", "s2").await;
    let mut all = Hearer::new(two.handle.watch_all());
    all.within(SECOND).await;

    // The other one takes it for dead, and tells it nothing more.
    cluster.stop(&two.handle);
    sleep(5 * SECOND).await;
    drop(bob);
    let _cleo = one.connect("cleo", "s3").await;
    assert_eq!(all.within(SECOND).await, set([]));
    cluster.resume(&two.handle);

    let heard = all.within(2 * SECOND).await;
    assert_eq!(heard, set(["-bob/s2", "+cleo/s3"]));
    let expected = ["ann/s1", "cleo/s3"].map(|name| format!("{name}@{}", one.id()));
    assert_eq!(all.there(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_sessions_of_a_drained_node_leave() {
    let (_cluster, one, two) = pair().await;
    let ann = one.connect("ann", "s1").await;
    let mut all = Hearer::new(two.handle.watch_all());
    all.within(SECOND).await;

    let handle = one.handle.clone();
    let drain = tokio::spawn(async move { handle.drain(SECOND).await });
    assert_eq!(soon(all.next()).await, "-ann/s1");
    drop(ann);
    soon(drain).await.unwrap();
    assert_eq!(all.within(SETTLED).await, set([]));
}

#[tokio::test(start_paused = true)]
async fn several_watch_on_several_nodes() {
    let (_cluster, one, two) = pair().await;
    let mut all = [&one, &two, &two].map(|node| Hearer::new(node.handle.watch_all()));
    let ann = one.connect("ann", "s1").await;
    for hearer in &mut all {
        assert_eq!(hearer.within(SECOND).await, set(["+ann/s1"]));
    }
    let [_first, second, mut third] = all;
    drop(second);
    drop(ann);
    assert_eq!(third.within(SECOND).await, set(["-ann/s1"]));
}

#[tokio::test(start_paused = true)]
async fn a_node_of_its_own_tells_the_same() {
    let node = Node::of(PrimacronLayer::in_memory()).await;
    let ann = node.connect("ann", "s1").await;
    let mut all = Hearer::new(node.handle.watch_all());
    assert_eq!(soon(all.next()).await, "+ann/s1");
    let _bob = node.connect("bob", "s2").await;
    assert_eq!(all.within(SECOND).await, set(["+bob/s2"]));
    drop(ann);
    assert_eq!(all.within(SECOND).await, set(["-ann/s1"]));
    let _again = node.connect("ann", "s1").await;
    let _newer = node.connect("bob", "s2").await;
    assert_eq!(all.within(SECOND).await, set(["+ann/s1", "+bob/s2"]));
    assert_eq!(
        all.there(),
        ["ann/s1", "bob/s2"].map(|name| format!("{name}@{}", node.id()))
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_on_where_nobody_watches_any_more() {
    let (_cluster, one, two) = pair().await;
    let quiet = tasks();
    let all = two.handle.watch_all();
    sleep(2 * SECOND).await;
    assert!(tasks() > quiet);

    drop(all);
    // It is found out when there is something to tell.
    let _ann = one.connect("ann", "s1").await;
    sleep(3 * SECOND).await;
    drop(_ann);
    settle().await;
    sleep(SECOND).await;

    assert_eq!(tasks(), quiet);
    let mut again = Hearer::new(two.handle.watch_all());
    let _bob = one.connect("bob", "s2").await;
    let _cleo = two.connect("cleo", "s3").await;
    let expected = set(["+bob/s2", "+cleo/s3"]);
    assert_eq!(again.within(2 * SECOND).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_node_ends_though_somebody_elsewhere_watches() {
    let before = tasks();
    let (_cluster, one, two) = pair().await;
    let all = two.handle.watch_all();
    sleep(SETTLED).await;
    drop(one);
    sleep(SETTLED).await;
    drop((two, all));
    sleep(SETTLED).await;
    assert_eq!(tasks(), before);
}
