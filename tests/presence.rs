//! Presence with a real Redis: what nodes know of each other's sessions, whatever happens.
#![cfg(feature = "redis")]

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{Router, body::Body};
use deadpool_redis::redis::{FromRedisValue, cmd};
use http::{Request, StatusCode};
use primacron::{Find, Handle, Message, Notice, Notices, PresenceState, PrimacronLayer, Reply};
use tokio::{runtime::Runtime, time::Instant};
use tower::ServiceExt;

const LEASE: Duration = Duration::from_millis(100);
const SUSPECT: Duration = Duration::from_millis(500);
const DEAD: Duration = Duration::from_millis(800);

#[allow(
    unused_imports,
    reason = "every test binary uses its own part of the harness"
)]
#[path = "common/mod.rs"]
mod common;

/// How long entries stay that no index lists and nobody writes again.
const EXPIRY: Duration = Duration::from_secs(4);

/// How long a test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn who_sees_the_open_packet_is_found_by_all_nodes() {
    let redis = Redis::start();
    let (one, two) = (Node::start(&redis), Node::start(&redis));
    one.until_sees(2);
    two.until_sees(2);
    for (number, account) in ["ann", "}x{", "{a:1}:m", "é|1", "a:b:c"].iter().enumerate() {
        one.connect(account, &format!("s{number}"));
        assert_eq!(
            two.find(account, &format!("s{number}")),
            one.found(),
            "{account}"
        );
    }
    assert_eq!(two.find("ann", "s9"), Find::NotFound);
    assert_eq!(
        two.find("x", "s1"),
        Find::NotFound,
        "an account is not its neighbour"
    );
}

#[test]
fn a_websocket_is_found_too() {
    let redis = Redis::start();
    let two = Node::start(&redis);
    let raw = || {
        let layer = redis.layer().codec(primacron::Raw).handshake_data(false);
        layer.validate("message", |_: &primacron::Args, _: &primacron::User| true)
    };
    for layer in [raw(), raw().require_presence(true)] {
        two.wait(async {
            let server = common::Server::echo(|_| layer).await;
            let synced = || server.handle.presence_state() == PresenceState::Synced;
            common::until(synced).await;
            let sees = |all: Vec<primacron::NodeInfo>| {
                let mut all = all.into_iter();
                all.any(|one| one.live && *one.id == *server.handle.node_id())
            };
            common::until(|| two.handle.nodes().is_ok_and(sees)).await;
            let mut ws = common::Ws::open(&server).await;
            let user = server
                .handle
                .users(primacron::To::All)
                .pop()
                .expect("a client");
            let find = two.handle.find(user.account(), user.session()).await;
            assert_eq!(find, Find::Found(server.handle.node_id().into()));
            ws.assert_alive().await;
        });
    }
}

#[test]
fn all_nodes_give_the_same_answers() {
    let redis = Redis::start();
    let (one, two) = (Node::start(&redis), Node::start(&redis));
    one.until_sees(2);
    two.until_sees(2);
    one.connect("ann", "s1");
    two.connect("ann", "s2");
    one.connect("bob", "s3");
    for node in [&one, &two] {
        let sessions = node.wait(node.handle.sessions("ann"));
        let mut names: Vec<&str> = sessions.sessions.iter().map(|one| &*one.session).collect();
        names.sort_unstable();
        assert_eq!(
            (names.as_slice(), sessions.complete),
            (["s1", "s2"].as_slice(), true)
        );
        assert_eq!(node.wait(node.handle.is_online("ann")), Ok(true));
        assert_eq!(node.wait(node.handle.is_online("eve")), Ok(false));
        assert_eq!(node.wait(node.handle.count_account("ann")), Ok(2));
        until("all are counted", || node.handle.count_cluster() == Ok(3));
        assert_eq!(node.handle.presence_state(), PresenceState::Synced);
    }
}

#[test]
fn a_node_in_memory_gives_the_same_answers() {
    let node = Node::of(PrimacronLayer::in_memory());
    node.connect("ann", "s1");
    assert_eq!(node.find("ann", "s1"), node.found());
    assert_eq!(node.find("ann", "s2"), Find::NotFound);
    assert_eq!(node.wait(node.handle.is_online("ann")), Ok(true));
    assert_eq!(node.wait(node.handle.is_online("eve")), Ok(false));
    assert_eq!(node.wait(node.handle.count_account("ann")), Ok(1));
    assert_eq!(node.handle.count_cluster(), Ok(1));
    assert_eq!(node.handle.nodes().map(|nodes| nodes.len()), Ok(1));
    assert_eq!(node.handle.presence_state(), PresenceState::Synced);
}

#[test]
fn a_killed_node_is_not_found_any_more() {
    let redis = Redis::start();
    let (one, two) = (Node::start(&redis), Node::start(&redis));
    two.until_sees(2);
    one.connect("ann", "s1");
    assert_eq!(two.find("ann", "s1"), one.found());
    let mut notices = two.handle.notices();
    one.kill();
    let killed = Instant::now();
    let mut gone = None;
    until("the session is not found", || {
        let asked = killed.elapsed();
        match two.find("ann", "s1") {
            Find::Found(_) => assert!(asked < SUSPECT + LEASE * 2, "a ghost after {asked:?}"),
            Find::NotFound => gone = Some(killed.elapsed()),
            _ => {}
        }
        gone.is_some()
    });
    assert!(gone > Some(SUSPECT), "declared dead after {gone:?}");
    let left = two.notice(&mut notices, "presence::leave");
    assert_eq!(left.user().map(|user| user.session()), Some("s1"));
    until("its row is cleared away", || {
        redis.ask::<usize>(&["HLEN", "{t:n}:leases"]) == 1
    });
    until("its entries are", || {
        redis.keys(":a:").is_empty() && redis.keys(":i:").is_empty()
    });
}

#[test]
fn what_is_not_listed_lasts_as_long_as_its_node() {
    let redis = Redis::start();
    let (one, two) = (Node::expiring(&redis), Node::expiring(&redis));
    two.until_sees(2);
    one.connect("ann", "s1");
    one.connect("ann", "s2");
    one.connect("bob", "s3");
    assert!(redis.keys(":i:").is_empty(), "nothing is listed");
    let start = Instant::now();
    while start.elapsed() < EXPIRY * 3 {
        for (account, session) in [("ann", "s1"), ("ann", "s2"), ("bob", "s3")] {
            assert_eq!(two.find(account, session), one.found());
        }
        assert_eq!(two.find("bob", "s4"), Find::NotFound);
        let key = redis.keys(":a:ann").pop().expect("an account");
        let left: i64 = redis.ask(&["PTTL", &key]);
        assert!(left <= 4000 && Duration::from_millis(left as u64) > EXPIRY / 2);
    }
    one.kill();
    until("the session is not found", || {
        two.find("ann", "s1") == Find::NotFound
    });
    until("what is left expires", || redis.keys(":a:").is_empty());
}

#[test]
fn what_is_left_of_the_dead_goes_when_it_is_read() {
    let redis = Redis::start();
    let start = || Node::of(redis.layer().leave_feed(false));
    let (one, two) = (start(), start());
    one.until_sees(2);
    two.until_sees(2);
    one.connect("ann", "s1");
    two.connect("ann", "s2");
    let key = redis.keys(":a:").pop().expect("an account");
    one.kill();
    until("it is cleared up after", || {
        redis.ask::<usize>(&["HLEN", "{t:n}:leases"]) == 1
    });
    until("only the living is left", || {
        let sessions = two.wait(two.handle.sessions("ann"));
        sessions.complete && redis.ask::<Vec<String>>(&["HKEYS", &key]) == ["s2"]
    });
}

#[test]
fn an_account_of_nodes_with_and_without_an_index_loses_nobody() {
    for swapped in [false, true] {
        let redis = Redis::start();
        let mut nodes = [Node::start(&redis), Node::expiring(&redis)];
        nodes[0].until_sees(2);
        nodes[1].until_sees(2);
        if swapped {
            nodes.swap(0, 1);
        }
        nodes[0].connect("ann", "s1");
        nodes[1].connect("ann", "s2");
        let start = Instant::now();
        while start.elapsed() < EXPIRY * 2 {
            assert_eq!(nodes[1].find("ann", "s1"), nodes[0].found());
            assert_eq!(nodes[0].find("ann", "s2"), nodes[1].found());
        }
        let [first, second] = nodes;
        first.kill();
        until("the dead is not found", || {
            assert_eq!(second.find("ann", "s2"), second.found());
            second.find("ann", "s1") == Find::NotFound
        });
    }
}

#[test]
fn a_batch_goes_on_where_one_entry_is_refused() {
    let redis = Redis::start();
    let (one, two) = (Node::start(&redis), Node::start(&redis));
    two.until_sees(2);
    one.connect("ann", "s0");
    let key = redis.keys(":a:").pop().expect("an entry");
    let _: i64 = redis.ask(&["DEL", &key]);
    let _: String = redis.ask(&["SET", &key, "a text"]);
    let mut notices = one.handle.notices();
    let accounts: Vec<String> = (0..200).map(|number| format!("a{number}")).collect();
    let connects = accounts.iter().map(|account| one.request(account, "s"));
    let all = connects.chain([one.request("ann", "s")]);
    one.wait(futures_util::future::join_all(all));
    one.notice(&mut notices, "error::connect");
    for account in &accounts {
        assert_eq!(two.find(account, "s"), one.found(), "{account}");
    }
    assert_eq!(two.find("ann", "s"), Find::Uncertain);
}

#[test]
fn a_drained_node_is_gone_at_once() {
    let redis = Redis::start();
    let (one, two) = (Node::start(&redis), Node::start(&redis));
    two.until_sees(2);
    one.connect("ann", "s1");
    let before = redis.keys(":a:").len();
    one.wait(one.handle.drain(Duration::from_millis(50)));
    assert_eq!((before, redis.keys(":a:").len()), (1, 0));
    until("its row says so", || {
        two.handle.nodes().is_ok_and(|nodes| nodes.len() == 1)
    });
    assert_eq!(two.find("ann", "s1"), Find::NotFound);
}

#[test]
fn after_a_flush_everything_is_written_again() {
    let redis = Redis::start();
    let (one, two) = (Node::start(&redis), Node::start(&redis));
    two.until_sees(2);
    for number in 0..300 {
        one.connect(&format!("a{number}"), "s");
    }
    let _: String = redis.ask(&["FLUSHALL"]);
    until("all are found again", || {
        let mut finds = (0..300).map(|number| two.find(&format!("a{number}"), "s"));
        finds.all(|find| {
            assert_ne!(find, Find::NotFound, "while it is being rebuilt");
            find == one.found()
        })
    });
    assert_eq!(
        one.handle.count(primacron::To::All),
        300,
        "nobody was closed"
    );
    until("what is not there is not found", || {
        two.find("eve", "s") == Find::NotFound
    });
}

#[test]
fn scripts_that_redis_forgot_are_loaded_again() {
    let redis = Redis::start();
    let (one, two) = (Node::start(&redis), Node::start(&redis));
    two.until_sees(2);
    let _: String = redis.ask(&["SCRIPT", "FLUSH"]);
    one.connect("ann", "s1");
    assert_eq!(two.find("ann", "s1"), one.found());
}

#[test]
fn without_redis_at_the_start_presence_catches_up() {
    let mut redis = Redis::start();
    redis.stop();
    let node = Node::start_now(&redis);
    let mut notices = node.handle.notices();
    let asked = Instant::now();
    node.connect("ann", "s1");
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "it does not wait for Redis"
    );
    assert_eq!(node.handle.presence_state(), PresenceState::Offline);
    assert!(node.handle.count_cluster().is_err());
    assert_eq!(node.find("ann", "s1"), node.found(), "its own it knows");
    assert_eq!(node.find("ann", "s2"), Find::Uncertain);
    let failed = node.notice(&mut notices, "error::connect");
    let Notice::ConnectError {
        key,
        value,
        error,
        user,
        ..
    } = failed
    else {
        panic!("another notice");
    };
    assert!(
        key.ends_with(":a:ann") && value.contains("s1"),
        "{key} {value}"
    );
    assert!(
        !error.is_empty() && !value.contains(user.sid()),
        "{error} {value}"
    );
    redis.restart();
    node.notice(&mut notices, "presence::online");
    let other = Node::start(&redis);
    until("it is found", || other.find("ann", "s1") == node.found());
}

#[test]
fn a_session_that_ends_while_redis_is_away_is_removed_later() {
    let mut redis = Redis::start();
    let (one, two) = (Node::start(&redis), Node::start(&redis));
    two.until_sees(2);
    let mut notices = one.handle.notices();
    let sid = one.connect("ann", "s1");
    one.connect("ann", "s2");
    redis.stop();
    one.notice(&mut notices, "presence::offline");
    one.close(&sid);
    one.notice(&mut notices, "error::disconnect");
    redis.restart();
    until("the other one is found", || {
        two.find("ann", "s2") == one.found()
    });
    until("the one is not", || two.find("ann", "s1") == Find::NotFound);
}

#[test]
fn who_connects_elsewhere_is_superseded() {
    let redis = Redis::start();
    let (one, two) = (Node::start(&redis), Node::start(&redis));
    one.until_sees(2);
    let mut notices = one.handle.notices();
    one.connect("ann", "s1");
    two.connect("ann", "s1");
    let Notice::Disconnect { reason, .. } = one.notice(&mut notices, "disconnect") else {
        panic!("another notice");
    };
    assert_eq!(reason, primacron::CloseReason::Superseded);
    assert_eq!(
        two.find("ann", "s1"),
        two.found(),
        "the older one removed nothing"
    );
    assert_eq!(one.find("ann", "s1"), two.found());
}

#[test]
fn what_makes_no_sense_in_redis_is_told_and_ignored() {
    let redis = Redis::start();
    let node = Node::start(&redis);
    node.connect("ann", "s1");
    let mut notices = node.handle.notices();
    let key = redis.keys(":a:").pop().expect("an entry");
    for value in ["", "nonsense", "1|n|x|y|z", "9|n|1|1|s", "\u{1}"] {
        let _: i64 = redis.ask(&["HSET", &key, "s2", value]);
        assert!(
            matches!(node.find("ann", "s2"), Find::Uncertain | Find::NotFound),
            "{value:?}"
        );
        let sessions = node.wait(node.handle.sessions("ann"));
        assert_eq!(
            (sessions.sessions.len(), sessions.complete),
            (1, false),
            "{value:?}"
        );
        node.notice(&mut notices, "presence::invalid");
    }
    let _: i64 = redis.ask(&["HSET", "{t:n}:leases", "other", "nonsense"]);
    node.notice(&mut notices, "presence::invalid");
    // A key of another type refuses one entry, and only that.
    let _: i64 = redis.ask(&["DEL", &key]);
    let _: String = redis.ask(&["SET", &key, "a text"]);
    node.connect("ann", "s3");
    node.notice(&mut notices, "error::connect");
    let _: i64 = redis.ask(&["DEL", &key]);
    until("it is stored after all", || {
        redis.ask::<usize>(&["HLEN", &key]) == 2
    });
}

#[test]
fn who_must_be_found_is_refused_without_redis() {
    let mut redis = Redis::start();
    let node = Node::of(redis.layer().require_presence(true));
    until("it is there", || {
        node.handle.presence_state() == PresenceState::Synced
    });
    node.connect("ann", "s1");
    redis.stop();
    until("it is away", || {
        node.handle.presence_state() == PresenceState::Offline
    });
    assert_eq!(
        node.handshake("ann", "s2").0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    until("nobody is left over", || {
        node.handle.socket("ann", "s2").is_none()
    });
}

#[test]
fn nodes_of_two_namespaces_do_not_see_each_other() {
    let redis = Redis::start();
    let one = Node::start(&redis);
    let two = Node::of(redis.layer().namespace("t:other"));
    two.until_sees(1);
    one.connect("ann", "s1");
    assert_eq!(two.find("ann", "s1"), Find::NotFound);
}

#[cfg(feature = "redis-cluster")]
#[test]
fn in_a_cluster_one_master_may_be_lost_alone() {
    let masters = cluster();
    let urls = || -> Vec<String> { masters.iter().map(Redis::url).collect() };
    let start = |listed| {
        let layer = PrimacronLayer::new(urls()).namespace("t");
        let layer = layer.leave_feed(listed);
        let node = Node::of(layer.liveness(LEASE, SUSPECT, DEAD).presence_wait(PATIENCE));
        until("a node is settled", || node.handle.nodes().is_ok());
        let synced = || node.handle.presence_state() == PresenceState::Synced;
        until("a node is synced", synced);
        node
    };
    let (one, two) = (start(false), start(true));
    two.until_sees(2);
    for number in 0..60 {
        one.connect(&format!("a{number}"), "s");
    }
    let all_found = |context: &str| {
        let mut finds = (0..60).map(|number| two.find(&format!("a{number}"), "s"));
        finds.all(|find| {
            assert_ne!(find, Find::NotFound, "{context}");
            find == one.found()
        })
    };
    assert!(all_found("who sees the open packet is found"));
    for master in &masters {
        let _: String = master.ask(&["FLUSHALL"]);
        until("all are found again", || {
            all_found("while a part is rebuilt")
        });
    }
    until("what is not there is not found", || {
        two.find("eve", "s") == Find::NotFound
    });
    one.kill();
    until("the dead are not found", || {
        two.find("a1", "s") == Find::NotFound
    });
}

/// Three masters that share the slots.
#[cfg(feature = "redis-cluster")]
fn cluster() -> Vec<Redis> {
    let options = &["--cluster-enabled", "yes", "--cluster-node-timeout", "5000"];
    let masters: Vec<Redis> = (0..3).map(|_| Redis::with(options)).collect();
    let slots = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
    for (number, (master, (from, to))) in (1..).zip(masters.iter().zip(slots)) {
        let epoch = number.to_string();
        let _: String = master.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
        let _: String = master.ask(&["CLUSTER", "ADDSLOTSRANGE", from, to]);
    }
    for master in &masters[1..] {
        let port = master.port.to_string();
        let _: String = masters[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port]);
    }
    until("the cluster is one", || {
        masters.iter().all(|master| {
            let info: String = master.ask(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains("cluster_size:3")
        })
    });
    masters
}

/// A server of one test; its process ends with it.
struct Redis {
    child: Option<Child>,
    port: u16,
    folder: PathBuf,
    options: &'static [&'static str],
    runtime: Runtime,
}

impl Redis {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(options: &'static [&'static str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("primacron-presence-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        let mut redis = Self {
            child: None,
            port: free_port(),
            folder,
            options,
            runtime: Runtime::new().expect("a runtime"),
        };
        redis.restart();
        redis
    }

    fn restart(&mut self) {
        let port = self.port.to_string();
        let child = Command::new("redis-server")
            .args([
                "--port",
                &port,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
            ])
            .arg(&self.folder)
            .args(self.options)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        until("Redis listens", || TcpStream::connect(address).is_ok());
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
        }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    fn layer(&self) -> PrimacronLayer {
        PrimacronLayer::new(self.url())
            .namespace("t")
            .liveness(LEASE, SUSPECT, DEAD)
            // A slow machine is no failure.
            .presence_wait(PATIENCE)
    }

    fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.runtime.block_on(async {
            let pool = deadpool_redis::Config::from_url(self.url()).create_pool(None);
            let mut connection = pool.expect("a pool").get().await.expect("Redis is there");
            let mut command = cmd(words[0]);
            command.arg(&words[1..]);
            let answer = command.query_async(&mut connection).await;
            answer.expect("an answer of this kind")
        })
    }

    fn keys(&self, part: &str) -> Vec<String> {
        self.ask(&["KEYS", &format!("*{part}*")])
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// A port that nobody uses, and that leaves room for the port of a Cluster's own talk.
fn free_port() -> u16 {
    let ports = std::iter::repeat_with(|| {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        free.local_addr().expect("a bound port").port()
    });
    let mut ports = ports.filter(|port| *port < 55_000);
    ports.next().expect("ports without end")
}

/// A node with a runtime of its own, so that it can be killed.
struct Node {
    runtime: Runtime,
    app: Router,
    handle: Handle,
}

impl Node {
    /// A node that knows everything.
    fn start(redis: &Redis) -> Self {
        let node = Self::start_now(redis);
        until("a node is settled", || node.handle.nodes().is_ok());
        let synced = || node.handle.presence_state() == PresenceState::Synced;
        until("a node is synced", synced);
        node
    }

    /// The same without an index, of which entries expire.
    fn expiring(redis: &Redis) -> Self {
        let node = Self::of(redis.layer().leave_feed(false).presence_expiry(EXPIRY));
        until("a node is settled", || node.handle.nodes().is_ok());
        let synced = || node.handle.presence_state() == PresenceState::Synced;
        until("a node is synced", synced);
        node
    }

    fn start_now(redis: &Redis) -> Self {
        Self::of(redis.layer())
    }

    fn of(layer: PrimacronLayer) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let _inside = runtime.enter();
        let layer = layer
            .session_id(|parts| {
                let query = parts.uri.query()?;
                query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix("s="))
                    .map(str::to_owned)
            })
            .service(tower::service_fn(|_: Message| async {
                Ok::<_, Infallible>(Reply::none())
            }));
        let handle = layer.handle();
        let app = Router::new().layer(layer);
        drop(_inside);
        Self {
            runtime,
            app,
            handle,
        }
    }

    /// Ends it without a last word.
    fn kill(self) {
        self.runtime.shutdown_background();
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn find(&self, account: &str, session: &str) -> Find {
        self.wait(self.handle.find(account, session))
    }

    fn found(&self) -> Find {
        Find::Found(self.handle.node_id().into())
    }

    fn until_sees(&self, nodes: usize) {
        until("all nodes are seen", || {
            let seen = self.handle.nodes();
            seen.is_ok_and(|seen| seen.len() == nodes && seen.iter().all(|node| node.live))
        });
    }

    /// Connects a client on polling: its socket id.
    fn connect(&self, account: &str, session: &str) -> String {
        let (status, body) = self.handshake(account, session);
        assert_eq!(status, StatusCode::OK, "{body}");
        let open: serde_json::Value = serde_json::from_str(&body[1..]).expect("an open packet");
        open["sid"].as_str().expect("a socket id").to_owned()
    }

    fn handshake(&self, account: &str, session: &str) -> (StatusCode, String) {
        let account: String = account.bytes().map(|byte| format!("%{byte:02x}")).collect();
        self.ask("GET", &format!("account={account}&s={session}"), "")
    }

    /// A handshake that many can be made of at the same time.
    fn request(&self, account: &str, session: &str) -> impl Future<Output = ()> + use<> {
        let uri = format!("/stream/?EIO=4&transport=polling&account={account}&s={session}");
        let request = Request::get(uri).body(Body::empty()).expect("a request");
        let answer = self.app.clone().oneshot(request);
        async move {
            let Ok(answer) = answer.await;
            assert_eq!(answer.status(), StatusCode::OK);
        }
    }

    fn close(&self, sid: &str) {
        let (status, _) = self.ask("POST", &format!("sid={sid}"), "1");
        assert_eq!(status, StatusCode::OK);
    }

    fn ask(&self, method: &str, query: &str, body: &'static str) -> (StatusCode, String) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/stream/?EIO=4&transport=polling&{query}"))
            .body(Body::from(body))
            .expect("a request");
        let answer = self.app.clone().oneshot(request);
        self.wait(async {
            let answer = tokio::time::timeout(PATIENCE, answer).await;
            let Ok(answer) = answer.expect("an answer in time");
            let status = answer.status();
            let body = axum::body::to_bytes(answer.into_body(), 10_000).await;
            let body = body.expect("a short body");
            (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
        })
    }

    fn notice(&self, notices: &mut Notices, name: &str) -> Notice {
        self.wait(async {
            let found = async {
                loop {
                    let notice = notices.next().await.expect("the node lives");
                    if notice.name() == name {
                        return notice;
                    }
                }
            };
            let found = tokio::time::timeout(PATIENCE, found).await;
            found.unwrap_or_else(|_| panic!("no {name}"))
        })
    }
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
