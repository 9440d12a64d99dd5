//! Several nodes in one process: what they know of one another's clients, whatever happens to them.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{convert::Infallible, time::Duration};

use http::StatusCode;
use primacron::{
    Cluster, Find, FollowError, Handle, Located, Message, Notices, Outcome, PresenceState,
    PrimacronLayer, Refused, To, User, Wait,
};
use support::{App, Polling, Ws, app, get, is_stuck, notice, settle, soon, tasks};
use tokio::time::{Instant, sleep};
use tower::service_fn;

const SECOND: Duration = Duration::from_secs(1);

/// More than anything takes.
const LONG: Duration = Duration::from_secs(30);

/// By then everybody knows everybody.
const SETTLED: Duration = Duration::from_secs(5);

struct Node {
    app: App,
    handle: Handle,
    notices: Notices,
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
        Self {
            app,
            notices: handle.notices(),
            handle,
        }
    }

    fn found(&self) -> Find {
        Find::Found(self.handle.node_id().into())
    }

    async fn connect(&self, account: &str, session: &str) -> Ws {
        let query = format!("account={account}&session={session}");
        Ws::connect_with(&self.app, &query, 64 * 1024).await
    }

    async fn forward(&self, session: &str, at_most: Duration) -> Outcome {
        forward(&self.handle, session, at_most).await
    }

    /// Names of all notices until now.
    async fn names(&mut self) -> Vec<&'static str> {
        let mut names = Vec::new();
        while let Ok(Some(notice)) =
            tokio::time::timeout(Duration::from_millis(1), self.notices.next()).await
        {
            names.push(notice.name());
        }
        names
    }
}

async fn forward(from: &Handle, session: &str, at_most: Duration) -> Outcome {
    let sent = from.forward("ann", session, "news", (1,), Wait::written(at_most));
    soon(sent).await.unwrap()
}

async fn pair() -> (Cluster, Node, Node) {
    let cluster = Cluster::new();
    let nodes = (Node::start(&cluster).await, Node::start(&cluster).await);
    sleep(SETTLED).await;
    (cluster, nodes.0, nodes.1)
}

#[tokio::test(start_paused = true)]
async fn who_sees_the_open_packet_is_found_by_all_nodes() {
    let (_cluster, one, two) = pair().await;
    let _ann = one.connect("ann", "s1").await;

    assert_eq!(two.handle.find("ann", "s1").await, one.found());
    assert_eq!(one.handle.find("ann", "s1").await, one.found());
    assert_eq!(two.handle.find("ann", "s2").await, Find::NotFound);
    assert_eq!(two.handle.find("bob", "s1").await, Find::NotFound);
}

#[tokio::test(start_paused = true)]
async fn an_account_is_known_with_all_its_sessions() {
    let (_cluster, one, two) = pair().await;
    let _phone = one.connect("ann", "phone").await;
    let _desk = two.connect("ann", "desk").await;
    let _bob = two.connect("bob", "desk").await;

    for node in [&one, &two] {
        let mut sessions = node.handle.sessions("ann").await;
        sessions
            .sessions
            .sort_by(|one, two| one.session.cmp(&two.session));
        let located: Vec<(&str, &str)> = sessions.sessions.iter().map(names_of).collect();
        let expected = [
            ("desk", two.handle.node_id()),
            ("phone", one.handle.node_id()),
        ];
        assert_eq!((&located[..], sessions.complete), (&expected[..], true));
        assert_eq!(node.handle.is_online("eve").await, Ok(false));
        assert_eq!(node.handle.presence_state(), PresenceState::Synced);
    }
    sleep(2 * SECOND).await;
    assert_eq!(one.handle.count_cluster(), Ok(3));
}

fn names_of(located: &Located) -> (&str, &str) {
    (&located.session, &located.node)
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_not_found_any_more() {
    let (_cluster, one, two) = pair().await;
    let ann = one.connect("ann", "s1").await;

    drop(ann);
    sleep(Duration::from_millis(10)).await;

    assert_eq!(two.handle.find("ann", "s1").await, Find::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_moves_is_closed_where_it_was() {
    let (_cluster, one, two) = pair().await;
    let mut old = one.connect("ann", "s1").await;
    let mut new = two.connect("ann", "s1").await;

    assert_eq!(soon(old.until_closed()).await, Some(1008));
    assert_eq!(one.handle.find("ann", "s1").await, two.found());
    assert!(is_stuck(new.next()).await, "the new one stays");
}

#[tokio::test(start_paused = true)]
async fn clusters_know_nothing_of_one_another() {
    let (_first, one, _two) = pair().await;
    let (_second, other, _fourth) = pair().await;
    let _ann = one.connect("ann", "s1").await;

    assert_eq!(other.handle.find("ann", "s1").await, Find::NotFound);
    assert_eq!(other.handle.nodes().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_clients_of_a_killed_node_hear_no_goodbye() {
    let (cluster, one, two) = pair().await;
    let mut ann = one.connect("ann", "s1").await;
    let bob = Polling::connect_with(&one.app, "account=bob&session=s1").await;
    let poll = tokio::spawn(async move { bob.poll_once().await });
    let mut cleo = two.connect("cleo", "s1").await;
    settle().await;

    cluster.kill(&one.handle);

    assert_eq!(soon(ann.until_closed()).await, None);
    assert_eq!(soon(poll).await.unwrap().0, StatusCode::BAD_REQUEST);
    let (status, _) = get(&one.app, "/stream/?EIO=4&transport=polling&account=eve").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(one.handle.count(To::All), 0);
    assert!(is_stuck(cleo.next()).await, "the others are untouched");
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_is_a_ghost_for_three_seconds_at_most() {
    let (cluster, one, two) = pair().await;
    let _ann = one.connect("ann", "s1").await;
    settle().await;

    cluster.kill(&one.handle);
    let killed = Instant::now();
    let mut seen = Vec::new();
    while killed.elapsed() < 5 * SECOND {
        let find = two.handle.find("ann", "s1").await;
        if killed.elapsed() >= 3 * SECOND {
            assert_ne!(find, one.found(), "after {:?}", killed.elapsed());
        }
        if seen.last() != Some(&find) {
            seen.push(find);
        }
        sleep(SECOND / 10).await;
    }

    assert_eq!(seen, [one.found(), Find::Uncertain, Find::NotFound]);
    assert_eq!(two.handle.nodes().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_of_a_killed_node_is_found_at_once_where_it_comes_back() {
    let (cluster, one, two) = pair().await;
    let _ann = one.connect("ann", "s1").await;
    let three = Node::start(&cluster).await;
    sleep(SETTLED).await;

    cluster.kill(&one.handle);
    let _ann = two.connect("ann", "s1").await;

    assert_eq!(three.handle.find("ann", "s1").await, two.found());
    sleep(SETTLED * 2).await;
    assert_eq!(three.handle.find("ann", "s1").await, two.found());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_takes_the_place_of_a_killed_one_is_another() {
    let (cluster, one, two) = pair().await;

    cluster.kill(&one.handle);
    let again = Node::start(&cluster).await;
    sleep(SETTLED).await;
    let _ann = again.connect("ann", "s1").await;

    assert_eq!(two.handle.find("ann", "s1").await, again.found());
    assert_ne!(again.handle.node_id(), one.handle.node_id());
    assert_eq!(two.handle.nodes().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_short_stop_is_forgiven() {
    let (cluster, mut one, two) = pair().await;
    let mut ann = one.connect("ann", "s1").await;

    cluster.stop(&one.handle);
    let asking = one.handle.clone();
    let asked = tokio::spawn(async move { asking.find("bob", "s1").await });
    sleep(2 * SECOND).await;
    assert!(!asked.is_finished(), "a stopped node knows nothing new");
    cluster.resume(&one.handle);
    sleep(SECOND).await;

    assert_eq!(two.handle.find("ann", "s1").await, one.found());
    assert_ne!(soon(asked).await.unwrap(), one.found());
    sleep(3 * SECOND).await;
    assert_eq!(one.handle.find("bob", "s1").await, Find::NotFound);
    assert!(!one.names().await.contains(&"presence::fenced"));
    assert!(is_stuck(ann.next()).await, "its client stays");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_stopped_for_long_is_dead_to_others_and_comes_back_by_itself() {
    let (cluster, mut one, two) = pair().await;
    let mut ann = one.connect("ann", "s1").await;

    cluster.stop(&one.handle);
    sleep(10 * SECOND).await;
    assert_eq!(two.handle.find("ann", "s1").await, Find::NotFound);
    cluster.resume(&one.handle);
    sleep(3 * SECOND).await;

    assert_eq!(two.handle.find("ann", "s1").await, one.found());
    assert!(one.names().await.contains(&"presence::fenced"));
    assert!(is_stuck(ann.next()).await, "its client was untouched");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_known_while_the_memory_stalls() {
    let (cluster, mut one, two) = pair().await;
    let mut ann = one.connect("ann", "s1").await;

    cluster.stall();
    let start = Instant::now();
    assert_eq!(two.handle.find("ann", "s1").await, Find::Uncertain);
    assert_eq!(start.elapsed(), SECOND, "the command timeout");
    assert_eq!(one.handle.find("ann", "s1").await, one.found(), "its own");
    notice(&mut one.notices, "presence::offline").await;

    cluster.recover();
    sleep(2 * SECOND).await;
    assert_eq!(two.handle.find("ann", "s1").await, one.found());
    assert!(is_stuck(ann.next()).await);
}

#[tokio::test(start_paused = true)]
async fn who_connects_while_nobody_reaches_the_memory_is_found_when_they_do() {
    let (cluster, one, two) = pair().await;

    cluster.cut_off();
    sleep(2 * SECOND).await;
    let start = Instant::now();
    let _ann = one.connect("ann", "s1").await;
    assert_eq!(two.handle.find("ann", "s1").await, Find::Uncertain);
    assert_eq!(start.elapsed(), Duration::ZERO, "nobody waits");
    assert_eq!(one.handle.presence_state(), PresenceState::Offline);

    cluster.recover();
    sleep(2 * SECOND).await;
    assert_eq!(two.handle.find("ann", "s1").await, one.found());
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_written_again_and_nothing_is_missed_meanwhile() {
    let (cluster, one, two) = pair().await;
    let mut ann = one.connect("ann", "s1").await;

    cluster.flush();
    let flushed = Instant::now();
    while flushed.elapsed() < 5 * SECOND {
        assert_ne!(two.handle.find("ann", "s1").await, Find::NotFound);
        sleep(SECOND / 10).await;
    }

    assert_eq!(two.handle.find("ann", "s1").await, one.found());
    assert!(is_stuck(ann.next()).await);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_to_a_killed_node_is_unknown_as_soon_as_it_is_missed() {
    let (cluster, one, two) = pair().await;
    let _ann = one.connect("ann", "s1").await;
    assert_eq!(two.forward("s1", LONG).await, Outcome::Written);

    cluster.kill(&one.handle);
    let start = Instant::now();
    assert_eq!(two.forward("s1", LONG).await, Outcome::Unknown);

    assert!(start.elapsed() < 5 * SECOND, "after {:?}", start.elapsed());
    assert_eq!(two.forward("s1", LONG).await, Outcome::NoSession);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_node_delivers_when_it_goes_on() {
    let (cluster, one, two) = pair().await;
    let mut ann = one.connect("ann", "s1").await;

    cluster.stop(&one.handle);
    let sent = tokio::spawn({
        let handle = two.handle.clone();
        async move { forward(&handle, "s1", LONG).await }
    });
    assert!(is_stuck(ann.message()).await);
    sleep(2 * SECOND).await;
    cluster.resume(&one.handle);

    assert_eq!(soon(sent).await.unwrap(), Outcome::Written);
    assert_eq!(soon(ann.message()).await["event"], "news");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_delivered_while_nobody_reaches_the_memory() {
    let (cluster, one, two) = pair().await;
    let mut ann = one.connect("ann", "s1").await;
    assert_eq!(two.forward("s1", LONG).await, Outcome::Written);
    ann.message().await;

    cluster.cut_off();
    let outcome = two.forward("s1", SECOND).await;
    assert_eq!(outcome, Outcome::Refused(Refused::BusOffline));
    assert_eq!(two.forward("s2", SECOND).await, Outcome::Uncertain);
    cluster.recover();
    sleep(2 * SECOND).await;

    assert!(
        is_stuck(ann.message()).await,
        "what was refused never comes"
    );
    assert_eq!(two.forward("s1", LONG).await, Outcome::Written);
}

#[tokio::test(start_paused = true)]
async fn a_memory_that_stalls_delivers_once_at_most() {
    let (cluster, one, two) = pair().await;
    let mut ann = one.connect("ann", "s1").await;
    assert_eq!(two.forward("s1", LONG).await, Outcome::Written);
    ann.message().await;

    cluster.stall();
    let sent = tokio::spawn({
        let handle = two.handle.clone();
        async move { forward(&handle, "s1", LONG).await }
    });
    assert!(is_stuck(ann.message()).await);
    sleep(3 * SECOND).await;
    cluster.recover();

    assert_eq!(soon(sent).await.unwrap(), Outcome::Written);
    assert_eq!(soon(ann.message()).await["event"], "news");
    assert!(is_stuck(ann.message()).await);
}

#[tokio::test(start_paused = true)]
async fn messages_find_their_way_again_when_all_was_lost() {
    let (cluster, one, two) = pair().await;
    let _ann = one.connect("ann", "s1").await;

    cluster.flush();
    sleep(SETTLED).await;

    assert_eq!(two.forward("s1", LONG).await, Outcome::Written);
    assert_eq!(one.forward("s2", LONG).await, Outcome::NoSession);
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_reaches_all_others_and_names_the_node_that_was_killed() {
    let (cluster, one, two) = pair().await;
    let three = Node::start(&cluster).await;
    sleep(SETTLED).await;
    let mut ann = three.connect("ann", "s1").await;

    cluster.kill(&one.handle);
    let sent = two.handle.broadcast(To::All, "news", (1,)).await.unwrap();

    assert_eq!(soon(ann.message()).await["event"], "news");
    let failed: Vec<&str> = sent
        .nodes
        .iter()
        .filter(|node| node.result.is_err())
        .map(|node| &*node.node)
        .collect();
    assert_eq!((sent.nodes.len(), failed), (3, vec![one.handle.node_id()]));
}

#[tokio::test(start_paused = true)]
async fn a_drained_node_is_missed_at_once() {
    let (_cluster, one, two) = pair().await;
    let mut ann = one.connect("ann", "s1").await;

    let drain = tokio::spawn({
        let handle = one.handle.clone();
        async move { handle.drain(SECOND).await }
    });
    assert_eq!(soon(ann.until_closed()).await, Some(1001));
    drop(ann);
    soon(drain).await.unwrap();
    sleep(SECOND).await;

    assert_eq!(two.handle.find("ann", "s1").await, Find::NotFound);
    assert_eq!(two.handle.nodes().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_periods_of_a_cluster_are_set_on_its_layers() {
    let cluster = Cluster::new();
    let layer = || {
        let [lease, suspect, dead] = [50, 250, 400].map(Duration::from_millis);
        cluster.layer().liveness(lease, suspect, dead)
    };
    let (one, two) = (Node::of(layer()).await, Node::of(layer()).await);
    sleep(SECOND).await;
    let _ann = one.connect("ann", "s1").await;
    assert_eq!(two.handle.find("ann", "s1").await, one.found());

    cluster.kill(&one.handle);
    sleep(SECOND / 2).await;

    assert_eq!(two.handle.find("ann", "s1").await, Find::NotFound);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_nodes_that_are_gone() {
    let before = tasks();
    let (cluster, one, two) = pair().await;
    let ann = one.connect("ann", "s1").await;

    cluster.kill(&one.handle);
    cluster.stop(&two.handle);
    drop((one, two, ann));
    sleep(SETTLED).await;

    assert_eq!(tasks(), before);
}

#[test]
#[should_panic(expected = "the node is one of this cluster")]
fn a_node_of_another_cluster_cannot_be_killed() {
    let other = Cluster::new().layer().handle();
    Cluster::new().kill(&other);
}

#[tokio::test(start_paused = true)]
async fn nobody_ends_a_follow_that_the_directory_keeps() {
    let cluster = Cluster::new();
    let one = Node::start(&cluster).await;
    sleep(SETTLED).await;
    let _ann = one.connect("ann", "head").await;
    let tail = User::new("ann", "tail", "");
    one.handle.follow(&tail, "ann", "head").await.unwrap();
    assert_eq!(one.handle.unfollow(&tail, "ann", "head").await, Ok(()));

    cluster.cut_off();

    let ended = one.handle.unfollow(&tail, "ann", "head").await;
    assert_eq!(ended, Err(FollowError::Uncertain));
}

#[tokio::test(start_paused = true)]
async fn a_node_ends_though_it_looks_who_follows() {
    let before = tasks();
    let cluster = Cluster::new();
    let one = Node::start(&cluster).await;
    sleep(SETTLED).await;
    let ann = one.connect("ann", "head").await;
    for number in 0..60 {
        let tail = User::new("ann", &number.to_string(), "");
        one.handle.follow(&tail, "ann", "head").await.unwrap();
    }
    sleep(14 * SECOND).await;
    cluster.stall();
    sleep(2 * SECOND).await;
    drop((one, ann));
    // Each question takes a second now.
    sleep(10 * SECOND).await;
    assert_eq!(tasks(), before);
}
