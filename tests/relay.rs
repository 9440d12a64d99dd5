//! Clients that speak with any node: real servers, a real Redis, and requests that come to the
//! wrong one.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;
mod support_redis;

use std::{
    convert::Infallible,
    future::ready,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use axum::{
    Router, extract::Request, middleware, response::IntoResponse, routing::get, serve::ListenerExt,
};
use http::{StatusCode, request::Parts};
use primacron::{Args, Config, Handle, Message, Notices, PrimacronLayer, Reply, To, User};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tower::{ServiceExt, service_fn};

use self::{
    support::{Incoming, Ws, notice},
    support_redis::{Redis, until},
};

const MAX_PAYLOAD: usize = 100_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn layer(redis: &Redis) -> PrimacronLayer {
    PrimacronLayer::new(redis.url())
        .namespace("t")
        .liveness(ms(100), ms(500), ms(800))
        .max_payload(MAX_PAYLOAD)
        .validate("echo", |_: &Args, _: &User| true)
}

/// Says who it is in a header that no node passes on.
fn login(parts: &Parts) -> Option<String> {
    let login = parts.headers.get("login")?;
    login.to_str().ok().map(str::to_owned)
}

/// A server with a runtime of its own, so that it can die and stand still.
struct Node {
    handle: Handle,
    address: SocketAddr,
    /// How many connections it has taken.
    dialled: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl Node {
    /// A node that others reach where it listens.
    async fn start(redis: &Redis) -> Self {
        Self::with(
            |address| layer(redis).advertise(&format!("http://{address}")),
            |app| app,
        )
        .await
    }

    async fn with(
        layer: impl FnOnce(SocketAddr) -> PrimacronLayer,
        around: impl FnOnce(Router) -> Router,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let entered = runtime.enter();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let layer = layer(address).service(service_fn(|message: Message| {
            let echo = Reply::event("echo", message.args().clone());
            ready(Ok::<_, Infallible>(echo))
        }));
        let handle = layer.handle();
        let inner = Router::new().route("/", get(async || "root"));
        let app = around(inner.fallback(async || "inner").layer(layer));
        let dialled = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&dialled);
        let listener = listener.tap_io(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        runtime.spawn(async move { axum::serve(listener, app).await });
        drop(entered);
        Self {
            handle,
            address,
            dialled,
            runtime: Some(runtime),
        }
    }

    fn dialled(&self) -> usize {
        self.dialled.load(Ordering::Relaxed)
    }

    /// Everything that it does ends at once.
    fn kill(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// It stands still, with its connections open, until what is given back is dropped.
    async fn stop(&self) -> mpsc::Sender<()> {
        let (go_on, waits) = mpsc::channel::<()>();
        let (stands, stood) = tokio::sync::oneshot::channel();
        self.runtime.as_ref().unwrap().spawn(async move {
            stands.send(()).unwrap();
            waits.recv().unwrap_err();
        });
        stood.await.unwrap();
        go_on
    }

    fn notices(&self) -> Notices {
        self.handle.notices()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Waits until all nodes know of one another.
async fn until_met(nodes: &[&Node]) {
    for node in nodes {
        until("all nodes are known", async || {
            let known = node.handle.nodes().ok()?;
            let live = known.iter().filter(|node| node.live).count();
            (live == nodes.len()).then_some(())
        })
        .await;
    }
}

async fn two_nodes() -> (Redis, Node, Node) {
    let redis = Redis::start().await;
    let (one, two) = (Node::start(&redis).await, Node::start(&redis).await);
    until_met(&[&one, &two]).await;
    (redis, one, two)
}

/// Sends a request as it stands, over a connection of its own.
async fn exchange(node: SocketAddr, request: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(node).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

async fn ask(node: &Node, head: &str, headers: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    let (status, _, body) = exchange(node.address, request.as_bytes()).await;
    (status, body)
}

const UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

/// The packet that asks for an echo, and the echo.
fn echo(text: &str) -> String {
    format!(r#"4{{"event":"echo","args":["{text}"]}}"#)
}

/// A client on polling that says with every request which node it goes to.
struct Polling {
    query: String,
    headers: String,
    sid: String,
    session: String,
}

impl Polling {
    async fn connect(node: &Node) -> Self {
        Self::connect_as(node, "&account=ann", "").await
    }

    async fn connect_as(node: &Node, account: &str, headers: &str) -> Self {
        let query = format!("/stream/?EIO=4&transport=polling{account}");
        let (status, body) = ask(node, &format!("GET {query}"), headers, "").await;
        assert_eq!(status, 200, "{body}");
        let open: Value = serde_json::from_str(&body[1..]).unwrap();
        let sid = open["sid"].as_str().unwrap().to_owned();
        Self {
            query: format!("{query}&sid={sid}"),
            headers: headers.to_owned(),
            session: open["session"].as_str().unwrap().to_owned(),
            sid,
        }
    }

    async fn get(&self, node: &Node) -> (u16, String) {
        ask(node, &format!("GET {}", self.query), &self.headers, "").await
    }

    async fn post(&self, node: &Node, body: &str) -> (u16, String) {
        ask(node, &format!("POST {}", self.query), &self.headers, body).await
    }

    async fn echoes(&self, post: &Node, get: &Node, text: &str) {
        let message = echo(text);
        let posted = self.post(post, &message).await;
        assert_eq!(posted, (200, "ok".to_owned()));
        assert_eq!(self.get(get).await, (200, message));
    }
}

/// Takes a connection over to a websocket by way of this node.
async fn upgrade(node: &Node, client: &Polling) -> Ws<TcpStream> {
    let io = TcpStream::connect(node.address).await.unwrap();
    let query = format!("EIO=4&transport=websocket&account=ann&sid={}", client.sid);
    let mut ws = Ws::over(io, &query).await;
    ws.send_packet("2probe").await;
    assert_eq!(ws.next().await, Incoming::Text("3probe".into()));
    ws.send_packet("5").await;
    ws
}

async fn echoes(ws: &mut Ws<TcpStream>, text: &str) {
    ws.emit("echo", json!([text])).await;
    assert_eq!(ws.message().await, json!({"event": "echo", "args": [text]}));
}

#[tokio::test]
async fn a_client_may_poll_by_way_of_another_node() {
    let (_redis, one, two) = two_nodes().await;
    let client = Polling::connect(&one).await;
    for text in ["a", "b"] {
        client.echoes(&two, &two, text).await;
    }
    assert_eq!(one.handle.count(To::All), 1);
    assert_eq!(two.handle.count(To::All), 0);
}

#[tokio::test]
async fn every_request_may_go_to_another_node() {
    let redis = Redis::start().await;
    let nodes = [
        Node::start(&redis).await,
        Node::start(&redis).await,
        Node::start(&redis).await,
    ];
    until_met(&nodes.each_ref()).await;
    let mut turn = (0..nodes.len()).cycle().map(|next| &nodes[next]);
    let mut next = || turn.next().unwrap();

    let client = Polling::connect(next()).await;
    for number in 0..20 {
        client.echoes(next(), next(), &number.to_string()).await;
        if number % 5 == 4 {
            next();
        }
    }
    let mut ws = upgrade(next(), &client).await;
    echoes(&mut ws, "here").await;
}

#[tokio::test]
async fn an_upgrade_may_go_by_way_of_another_node() {
    let (_redis, one, two) = two_nodes().await;
    let mut notices = one.notices();
    let client = Polling::connect(&one).await;
    client.echoes(&one, &one, "before").await;

    let mut ws = upgrade(&two, &client).await;
    notice(&mut notices, "upgrade").await;

    let long = "x".repeat(MAX_PAYLOAD - 100);
    for text in ["a", &long, "c"] {
        echoes(&mut ws, text).await;
    }
    let to = To::session("ann", &client.session);
    one.handle.send(to, "news", ("hello",)).await.unwrap();
    assert_eq!(ws.message().await["event"], "news");
}

#[tokio::test]
async fn a_poll_is_held_by_way_of_another_node_and_ended_by_the_upgrade() {
    let (_redis, one, two) = two_nodes().await;
    let client = Polling::connect(&one).await;
    let (poll, ws) = tokio::join!(client.get(&two), upgrade(&two, &client));
    assert_eq!(poll, (200, "6".to_owned()));
    let mut ws = ws;
    echoes(&mut ws, "a").await;
}

#[tokio::test]
async fn what_ends_at_one_end_of_a_tunnel_ends_at_the_other() {
    let (_redis, one, two) = two_nodes().await;
    let mut notices = one.notices();
    let client = Polling::connect(&one).await;
    let mut ws = upgrade(&two, &client).await;
    notice(&mut notices, "upgrade").await;
    one.handle.close(To::All, "enough").await;
    assert!(ws.until_closed().await.is_some());

    let client = Polling::connect(&one).await;
    let mut ws = upgrade(&two, &client).await;
    notice(&mut notices, "upgrade").await;
    echoes(&mut ws, "a").await;
    drop(ws);
    notice(&mut notices, "disconnect").await;
    assert_eq!(one.handle.count(To::All), 0);
}

#[tokio::test]
async fn a_poll_that_breaks_off_on_the_way_ends_the_connection_as_it_does_here() {
    let redis = Redis::start().await;
    let (one, wire) = behind_a_wire(&redis).await;
    let two = Node::start(&redis).await;
    until_met(&[&one, &two]).await;
    let requests = tapped(one.address, wire).await;
    let mut notices = one.notices();
    let client = Polling::connect(&one).await;
    let mut stream = TcpStream::connect(two.address).await.unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", client.query);
    stream.write_all(request.as_bytes()).await.unwrap();
    until("the poll is relayed", async || {
        (!requests.lock().unwrap().is_empty()).then_some(())
    })
    .await;
    drop(stream);
    notice(&mut notices, "disconnect").await;
}

#[tokio::test]
async fn a_node_that_goes_away_lets_the_polls_go_that_are_held_by_way_of_it() {
    let (_redis, one, two) = two_nodes().await;
    let client = Polling::connect(&one).await;
    let before = one.dialled();
    let poll = client.get(&two);
    let drain = async {
        until("the poll is relayed", async || {
            (one.dialled() > before).then_some(())
        })
        .await;
        two.handle.drain(Duration::from_secs(1)).await;
    };
    let (poll, ()) = tokio::join!(poll, drain);
    assert_eq!(poll, (200, "6".to_owned()));
    client.echoes(&one, &one, "it goes on").await;
}

#[tokio::test]
async fn a_node_that_goes_away_leaves_no_tunnel() {
    let (_redis, one, two) = two_nodes().await;
    let client = Polling::connect(&one).await;
    let mut ws = upgrade(&two, &client).await;
    echoes(&mut ws, "a").await;
    two.handle.drain(Duration::from_secs(1)).await;
    assert_eq!(ws.until_closed().await, Some(1000));
    until("its connection is over", async || {
        (one.handle.count(To::All) == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_tunnels_of_a_node_that_goes_away_end_one_by_one_and_it_waits_for_them() {
    let (_redis, one, two) = two_nodes().await;
    let (first, second) = (Polling::connect(&one).await, Polling::connect(&one).await);
    let mut first = upgrade(&two, &first).await;
    let mut second = upgrade(&two, &second).await;
    echoes(&mut first, "a").await;
    echoes(&mut second, "a").await;

    let handle = two.handle.clone();
    let drain = tokio::spawn(async move { handle.drain(Duration::from_secs(3600)).await });
    assert_eq!(first.until_closed().await, Some(1000));
    for number in 0..100 {
        echoes(&mut second, &number.to_string()).await;
    }
    assert!(!drain.is_finished(), "the second one is still there");
    drop(second);
    drain.await.unwrap();
}

/// HTTP/2 opens a websocket in another way than the one that nodes speak with one another.
#[cfg(feature = "http2")]
#[tokio::test]
async fn an_upgrade_over_http2_may_go_by_way_of_another_node() {
    use hyper::{client, ext::Protocol, server::conn::http2, upgrade};
    use hyper_util::{
        rt::{TokioExecutor, TokioIo},
        service::TowerToHyperService,
    };

    let redis = Redis::start().await;
    let one = Node::start(&redis).await;
    let echo = service_fn(|_: Message| ready(Ok::<_, Infallible>(Reply::none())));
    let layer = layer(&redis).advertise("http://127.0.0.1:9").service(echo);
    let handle = layer.handle();
    let app = Router::new().route("/", get(async || "root")).layer(layer);
    let mut notices = one.notices();
    until("all nodes are known", async || {
        (handle.nodes().ok()?.len() == 2).then_some(())
    })
    .await;
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let app = app.map_request(|request: http::Request<hyper::body::Incoming>| {
        request.map(axum::body::Body::new)
    });
    let server = http2::Builder::new(TokioExecutor::new())
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(theirs), TowerToHyperService::new(app))
        .into_future();
    tokio::spawn(async move { drop(server.await) });
    let builder = client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut send, connection) = builder.handshake(TokioIo::new(ours)).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });

    let client = Polling::connect(&one).await;
    let query = client.query.replace("polling", "websocket");
    let request = http::Request::connect(format!("http://a{query}"))
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"))
        .body(String::new());
    let response = send.send_request(request.unwrap()).await.unwrap();

    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().get("upgrade").is_none());
    let mut stream = TokioIo::new(upgrade::on(response).await.unwrap());
    stream.write_all(b"\x81\x86\0\0\0\x002probe").await.unwrap();
    let mut probe = [0; 8];
    stream.read_exact(&mut probe).await.unwrap();
    assert_eq!(&probe, b"\x81\x063probe");
    stream.write_all(b"\x81\x81\0\0\0\x005").await.unwrap();
    notice(&mut notices, "upgrade").await;
}

#[tokio::test]
async fn no_client_can_let_a_poll_go() {
    let (_redis, one, two) = two_nodes().await;
    let client = Polling::connect(&one).await;
    let head = format!("DELETE {}", client.query);
    for node in [&one, &two] {
        assert_eq!(ask(node, &head, "", "").await.0, 400);
    }
}

#[tokio::test]
async fn a_body_by_way_of_another_node_may_be_as_large_as_any() {
    let (_redis, one, two) = two_nodes().await;
    let client = Polling::connect(&one).await;
    let text = "x".repeat(MAX_PAYLOAD - echo("").len());
    client.echoes(&two, &two, &text).await;

    let message = echo(&text);
    assert_eq!(message.len(), MAX_PAYLOAD);
    let (head, tail) = message.split_at(777);
    let chunked = |more: &str| {
        let last = format!("{tail}{more}");
        format!(
            "POST {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{head}\r\n{:x}\r\n{last}\r\n0\r\n\r\n",
            client.query,
            head.len(),
            last.len(),
        )
    };
    let (status, ..) = exchange(two.address, chunked("").as_bytes()).await;
    assert_eq!(status, 200);
    assert_eq!(client.get(&two).await, (200, message.clone()));
    let (status, _, body) = exchange(two.address, chunked("x").as_bytes()).await;
    assert_eq!(status, 413, "{body}");

    let client = Polling::connect(&one).await;
    let large = client.post(&two, &format!("{message}x")).await;
    assert_eq!(large.0, 413);
    client.echoes(&two, &two, "it goes on").await;
}

#[tokio::test]
async fn binary_bodies_and_other_methods_are_refused_as_they_are_here() {
    let (_redis, one, two) = two_nodes().await;
    for (head, headers) in [
        ("POST", "Content-Type: application/octet-stream\r\n"),
        ("PUT", ""),
    ] {
        let mut answers = Vec::new();
        for by_way_of in [&one, &two] {
            let client = Polling::connect(&one).await;
            let head = format!("{head} {}", client.query);
            answers.push(ask(by_way_of, &head, headers, "4x").await);
        }
        assert_eq!(answers[0].0, 400);
        assert_eq!(answers[0], answers[1]);
    }
    let client = Polling::connect(&one).await;
    let other = client.query.replace("EIO=4", "EIO=3");
    assert_eq!(ask(&two, &format!("GET {other}"), "", "").await.0, 400);
    client.echoes(&two, &two, "it goes on").await;
}

#[tokio::test]
async fn a_client_of_a_node_that_died_is_told_to_connect_anew() {
    let (_redis, mut one, two) = two_nodes().await;
    let mut notices = two.notices();
    let client = Polling::connect(&one).await;
    let before = one.dialled();
    let poll = client.get(&two);
    let kill = async {
        until("the poll is relayed", async || {
            (one.dialled() > before).then_some(())
        })
        .await;
        one.kill();
    };
    let (poll, ()) = tokio::join!(poll, kill);
    assert_eq!(poll, (400, UNKNOWN.to_owned()));
    notice(&mut notices, "reject").await;
    assert_eq!(client.get(&two).await, (400, UNKNOWN.to_owned()));
}

#[tokio::test]
async fn a_client_of_a_node_that_stands_still_is_told_when_that_is_dead() {
    let (_redis, one, two) = two_nodes().await;
    let client = Polling::connect(&one).await;
    let stands = one.stop().await;
    assert_eq!(client.get(&two).await, (400, UNKNOWN.to_owned()));
    drop(stands);
}

#[tokio::test]
async fn the_address_of_a_dead_node_is_not_dialled() {
    let (_redis, mut one, two) = two_nodes().await;
    let client = Polling::connect(&one).await;
    let address = one.address;
    one.kill();
    let listener = until("the port is free", async || {
        TcpListener::bind(address).await.ok()
    })
    .await;
    until("it is dead", async || {
        let nodes = two.handle.nodes().ok()?;
        (nodes.len() == 1).then_some(())
    })
    .await;
    assert_eq!(client.get(&two).await, (400, UNKNOWN.to_owned()));
    let dialled = tokio::time::timeout(ms(50), listener.accept()).await;
    assert!(dialled.is_err(), "nobody dials");
}

#[tokio::test]
async fn a_sid_that_nobody_gave_out_costs_nothing() {
    let (redis, one, two) = two_nodes().await;
    let client = Polling::connect(&one).await;
    let sid = &client.sid;
    let before = one.dialled();
    let mut forged = Vec::new();
    for index in 0..sid.len() {
        let other = if &sid[index..=index] == "x" { "y" } else { "x" };
        forged.push([&sid[..index], other, &sid[index + 1..]].concat());
    }
    let foreign = [&two.handle.node_id()[..8], &sid[8..]].concat();
    let others = [
        "x",
        "AAAAAAAAAAAAAAAAAAAAAA",
        &sid[1..],
        &sid[8..],
        &foreign,
    ];
    forged.extend(others.map(str::to_owned));
    forged.push(format!("{sid}x"));
    forged.push("%00".repeat(38));
    forged.push("é".repeat(19));
    for forged in forged {
        let query = client.query.replace(sid, &forged);
        let answer = ask(&two, &format!("GET {query}"), "", "").await;
        assert_eq!(answer, (400, UNKNOWN.to_owned()), "{forged}");
    }
    assert_eq!(one.dialled(), before);
    drop(redis);
}

#[tokio::test]
async fn a_sid_whose_connection_is_over_is_unknown_and_goes_no_further() {
    let (_redis, one, two) = two_nodes().await;
    let client = Polling::connect(&one).await;
    assert_eq!(client.post(&two, "1").await, (200, "ok".to_owned()));
    let mut notices = one.notices();
    let before = two.dialled();
    until("it is forgotten", async || {
        (client.get(&one).await == (400, UNKNOWN.to_owned())).then_some(())
    })
    .await;
    assert_eq!(client.get(&two).await, (400, UNKNOWN.to_owned()));
    notice(&mut notices, "reject").await;
    assert_eq!(two.dialled(), before + 1, "only this test has dialled");
}

#[tokio::test]
async fn the_account_is_decided_where_the_client_speaks_and_counts_everywhere() {
    let redis = Redis::start().await;
    let around = |app: Router| app;
    let start = || {
        Node::with(
            |address| {
                layer(&redis)
                    .account(login)
                    .advertise(&format!("http://{address}/"))
            },
            around,
        )
    };
    let (one, two) = (start().await, start().await);
    until_met(&[&one, &two]).await;
    let mut client = Polling::connect_as(&one, "", "login: ann\r\n").await;
    client.echoes(&two, &two, "a").await;

    for (headers, status) in [("login: bob\r\n", 403), ("", 401)] {
        let head = format!("GET {}", client.query);
        assert_eq!(ask(&two, &head, headers, "").await.0, status, "{headers}");
    }
    client.echoes(&two, &two, "it goes on").await;
    client.query.push_str("&account=bob");
    assert_eq!(client.get(&two).await.0, 403);
}

#[tokio::test]
async fn who_verifies_accounts_takes_no_word_of_a_node_that_does_not() {
    let redis = Redis::start().await;
    let advertising = |address: SocketAddr| layer(&redis).advertise(&format!("http://{address}"));
    let strict = Node::with(|address| advertising(address).account(login), |app| app).await;
    let lax = Node::start(&redis).await;
    until_met(&[&strict, &lax]).await;
    let client = Polling::connect_as(&strict, "", "login: ann\r\n").await;
    let claimed = format!("{}&account=ann", client.query);
    for query in [&client.query, &claimed] {
        for method in ["GET", "POST"] {
            let head = format!("{method} {query}");
            let (status, body) = ask(&lax, &head, "login: ann\r\n", "3").await;
            assert_eq!(status, 403, "{head}");
            assert!(body.contains("account is not verified"), "{body}");
        }
        let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let query = query.replace("polling", "websocket");
        let request =
            format!("GET {query} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n{upgrade}\r\n");
        let mut stream = TcpStream::connect(lax.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 403");
    }
    client.echoes(&strict, &strict, "it goes on").await;

    let theirs = Polling::connect_as(&lax, "&account=ann", "login: ann\r\n").await;
    theirs
        .echoes(&strict, &strict, "what is verified is enough")
        .await;
}

#[tokio::test]
async fn who_verifies_accounts_lets_the_polls_of_others_go() {
    let redis = Redis::start().await;
    let start = || {
        Node::with(
            |address| {
                layer(&redis)
                    .account(login)
                    .advertise(&format!("http://{address}"))
            },
            |app| app,
        )
    };
    let (one, two) = (start().await, start().await);
    until_met(&[&one, &two]).await;
    let client = Polling::connect_as(&one, "", "login: ann\r\n").await;
    let before = one.dialled();
    let drain = async {
        until("the poll is relayed", async || {
            (one.dialled() > before).then_some(())
        })
        .await;
        two.handle.drain(Duration::from_secs(1)).await;
    };
    let (poll, ()) = tokio::join!(client.get(&two), drain);
    assert_eq!(poll, (200, "6".to_owned()));
}

#[tokio::test]
async fn a_claim_that_says_otherwise_is_refused_by_way_of_another_node() {
    let (_redis, one, two) = two_nodes().await;
    let client = Polling::connect(&one).await;
    let claim = client.query.replace("account=ann", "account=bob");
    assert_eq!(ask(&two, &format!("GET {claim}"), "", "").await.0, 403);
    let without = client.query.replace("&account=ann", "");
    let head = format!("POST {without}");
    assert_eq!(ask(&two, &head, "", "3").await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn a_foreign_page_is_refused_where_the_client_speaks() {
    let (_redis, one, two) = two_nodes().await;
    let client = Polling::connect(&one).await;
    let before = one.dialled();
    let headers = "Origin: https://evil.example\r\nCookie: a=b\r\n";
    let answer = ask(&two, &format!("GET {}", client.query), headers, "").await;
    assert_eq!(answer.0, 403);
    assert_eq!(one.dialled(), before);
}

/// A wire to a node that writes down what it carries there.
async fn tapped(node: SocketAddr, listener: TcpListener) -> Arc<Mutex<Vec<Vec<u8>>>> {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let written = Arc::clone(&written);
            tokio::spawn(async move {
                let mut to = TcpStream::connect(node).await.unwrap();
                let mut request = vec![0; 100_000];
                let read = from.read(&mut request).await.unwrap();
                request.truncate(read);
                to.write_all(&request).await.unwrap();
                written.lock().unwrap().push(request);
                drop(tokio::io::copy_bidirectional(&mut from, &mut to).await);
            });
        }
    });
    requests
}

#[tokio::test]
async fn a_relay_is_proven_and_counts_once() {
    let redis = Redis::start().await;
    let wire = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let advertised = format!("http://{}", wire.local_addr().unwrap());
    let one = Node::with(|_| layer(&redis).advertise(&advertised), |app| app).await;
    let two = Node::start(&redis).await;
    until_met(&[&one, &two]).await;
    let requests = tapped(one.address, wire).await;
    let client = Polling::connect(&one).await;
    client.echoes(&two, &one, "a").await;
    let relayed = requests.lock().unwrap().remove(0);
    let relayed = String::from_utf8(relayed).unwrap();
    assert!(relayed.starts_with("POST /stream/relay?EIO=4"), "{relayed}");

    let headers = relayed.lines().collect::<Vec<_>>();
    let proof = headers
        .iter()
        .find(|line| line.to_ascii_lowercase().starts_with("primacron-relay: "))
        .unwrap();
    let closing = relayed.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    let doubled = closing.replacen(proof, &format!("{proof}\r\n{proof}"), 1);
    let bare = closing.replacen(&format!("{proof}\r\n"), "", 1);
    let forged = [
        ("it is replayed", closing.clone()),
        ("twice", doubled),
        ("not proven", bare),
        ("another method", closing.replacen("POST", "PUT", 1)),
        (
            "another claim",
            closing.replacen("account=ann", "account=bob", 1),
        ),
        (
            "an upgrade",
            closing.replacen(
                "\r\n",
                "\r\nupgrade: websocket\r\nconnection: upgrade\r\n",
                1,
            ),
        ),
        (
            "nonsense",
            closing.replacen(proof, "primacron-relay: 1.x.1.-.AAAA", 1),
        ),
        ("not text", closing.replacen(proof, "primacron-relay: é", 1)),
        ("another number", {
            let mut parts: Vec<&str> = proof.split('.').collect();
            parts[2] = "1000";
            closing.replacen(proof, &parts.join("."), 1)
        }),
    ];
    for (what, forged) in &forged {
        let (status, head, body) = exchange(one.address, forged.as_bytes()).await;
        assert_eq!(status, 403, "{what}: {body}");
        assert!(!head.contains("primacron-relay"), "{what}");
    }
    let (status, ..) = exchange(two.address, closing.as_bytes()).await;
    assert_eq!(status, 403, "it was for another node");
    client.echoes(&two, &two, "it goes on").await;
}

/// A node that is reached by way of a wire which keeps for itself what it is given.
async fn behind_a_wire(redis: &Redis) -> (Node, TcpListener) {
    let wire = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let advertised = format!("http://{}", wire.local_addr().unwrap());
    let stamp = async |request: Request, next: middleware::Next| {
        let mut response = next.run(request).await;
        let inside = http::HeaderValue::from_static("yes");
        response.headers_mut().insert("inside", inside);
        response
    };
    let node = Node::with(
        |_| layer(redis).advertise(&advertised),
        |app| app.layer(middleware::from_fn(stamp)),
    )
    .await;
    (node, wire)
}

#[tokio::test]
async fn one_proof_is_enough_and_two_are_too_many() {
    let redis = Redis::start().await;
    let (one, wire) = behind_a_wire(&redis).await;
    let two = Node::start(&redis).await;
    until_met(&[&one, &two]).await;
    let client = Polling::connect(&one).await;
    let caught = async {
        let (mut from, _) = wire.accept().await.unwrap();
        let mut request = vec![0; 100_000];
        let read = from.read(&mut request).await.unwrap();
        request.truncate(read);
        String::from_utf8(request).unwrap()
    };
    let message = echo("a");
    let (request, lost) = tokio::join!(caught, client.post(&two, &message));
    assert_eq!(lost, (400, UNKNOWN.to_owned()));
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let request = format!("{head}\r\nconnection: close\r\n\r\n{message}");
    let found = head.lines().find(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("primacron-relay: ")
    });
    let proof = found.unwrap();

    // It was never used.
    for both in [
        format!("{proof}\r\nprimacron-relay: x"),
        format!("primacron-relay: x\r\n{proof}"),
        format!("{proof}\r\n{proof}"),
    ] {
        let doubled = request.replacen(proof, &both, 1);
        let (status, ..) = exchange(one.address, doubled.as_bytes()).await;
        assert_eq!(status, 403, "{both}");
    }
    let (status, _, body) = exchange(one.address, request.as_bytes()).await;
    assert_eq!((status, &*body), (200, "ok"));
}

#[tokio::test]
async fn only_what_the_other_side_needs_to_know_is_relayed() {
    let redis = Redis::start().await;
    let (one, wire) = behind_a_wire(&redis).await;
    let two = Node::start(&redis).await;
    until_met(&[&one, &two]).await;
    let requests = tapped(one.address, wire).await;
    let client = Polling::connect(&one).await;
    let message = echo("a");
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: text/plain;charset=UTF-8\r\nCookie: secret=1\r\nAuthorization: secret\r\n\
         X-Other: secret\r\n\r\n{message}",
        client.query,
        message.len(),
    );
    let (status, ..) = exchange(two.address, request.as_bytes()).await;
    assert_eq!(status, 200);

    let relayed = String::from_utf8(requests.lock().unwrap().remove(0)).unwrap();
    assert!(relayed.contains("content-type: text/plain;charset=UTF-8\r\n"));
    assert!(!relayed.contains("secret"), "{relayed}");

    let headers = async |node: &Node| {
        client.post(&one, &message).await;
        let poll = format!(
            "GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            client.query
        );
        let (status, head, _) = exchange(node.address, poll.as_bytes()).await;
        assert_eq!(status, 200);
        let head = head.to_ascii_lowercase();
        let lines = head
            .lines()
            .skip(1)
            .filter(|line| !line.starts_with("date"));
        lines
            .map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(client.get(&one).await.0, 200);
    let mut here = headers(&one).await;
    assert!(
        here.iter()
            .any(|line| line.starts_with("content-type: text/plain"))
    );
    assert!(here.remove("inside: yes"), "the other node's own affair");
    assert_eq!(headers(&two).await, here);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_taken_for_a_whole_one() {
    let (_redis, one, two) = two_nodes().await;
    let message = echo("a");
    for node in [&one, &two] {
        let mut notices = one.notices();
        let client = Polling::connect(&one).await;
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{message}\r\nno length\r\n",
            client.query,
            message.len(),
        );
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        let answer = String::from_utf8(answer).unwrap();
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        notice(&mut notices, "disconnect").await;
    }
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_goes_nowhere() {
    let (_redis, one, two) = two_nodes().await;
    let client = Polling::connect(&one).await;
    let before = one.dialled();
    // It need not come to be refused.
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        client.query,
        MAX_PAYLOAD + 1,
    );
    let (status, ..) = exchange(two.address, request.as_bytes()).await;
    assert_eq!(status, 413);
    assert_eq!(one.dialled(), before);
    client.echoes(&two, &two, "it goes on").await;
}

#[tokio::test]
async fn the_body_of_a_poll_goes_nowhere() {
    let redis = Redis::start().await;
    let (one, wire) = behind_a_wire(&redis).await;
    let two = Node::start(&redis).await;
    until_met(&[&one, &two]).await;
    let requests = tapped(one.address, wire).await;
    let client = Polling::connect(&one).await;
    client.post(&one, &echo("a")).await;
    let head = format!("GET {}", client.query);
    assert_eq!(ask(&two, &head, "", "smuggled").await, (200, echo("a")));
    let relayed = String::from_utf8(requests.lock().unwrap().remove(0)).unwrap();
    assert!(relayed.ends_with("\r\n\r\n"), "{relayed}");
}

#[tokio::test]
async fn a_node_that_goes_away_lets_no_poll_go_before_it_can_have_closed_its_listener() {
    let (_redis, one, two) = two_nodes().await;
    let client = Polling::connect(&one).await;
    two.handle.drain(Duration::from_secs(1)).await;
    let start = tokio::time::Instant::now();
    assert_eq!(client.get(&two).await, (200, "6".to_owned()));
    assert!(start.elapsed() >= ms(100), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_tunnel_to_a_node_that_stands_still_ends_when_that_is_dead() {
    let redis = Redis::start().await;
    let start = || {
        Node::with(
            |address| {
                layer(&redis)
                    .ping_interval(ms(300))
                    .ping_timeout(ms(200))
                    .advertise(&format!("http://{address}"))
            },
            |app| app,
        )
    };
    let (one, two) = (start().await, start().await);
    until_met(&[&one, &two]).await;
    let client = Polling::connect(&one).await;
    let mut ws = upgrade(&two, &client).await;
    let stands = one.stop().await;
    let closed = tokio::time::timeout(Duration::from_secs(20), ws.until_closed()).await;
    assert_eq!(closed, Ok(None));
    drop(stands);
}

#[tokio::test]
async fn many_relays_at_once_are_all_answered() {
    let (_redis, one, two) = two_nodes().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Polling::connect(&one).await);
    }
    let all = clients.iter().map(|client| async {
        for number in 0..10 {
            client.echoes(&two, &two, &number.to_string()).await;
        }
    });
    futures_util::future::join_all(all).await;
}

#[tokio::test]
async fn something_in_front_of_a_node_does_not_answer_for_it() {
    let redis = Redis::start().await;
    let guard = async |request: Request, next: middleware::Next| {
        if request.uri().path() == "/stream/relay" {
            return (StatusCode::OK, "who are you?").into_response();
        }
        next.run(request).await
    };
    let one = Node::with(
        |address| layer(&redis).advertise(&format!("http://{address}")),
        |app| app.layer(middleware::from_fn(guard)),
    )
    .await;
    let two = Node::start(&redis).await;
    until_met(&[&one, &two]).await;
    let client = Polling::connect(&one).await;
    let (status, body) = client.get(&two).await;
    assert_eq!(status, 400);
    let error: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(error["code"], 1);
}

#[tokio::test]
async fn a_layer_below_a_path_is_reached_there() {
    let redis = Redis::start().await;
    let nested = || {
        Node::with(
            |address| {
                layer(&redis)
                    .path("/live")
                    .advertise(&format!("http://{address}/app"))
            },
            |app| Router::new().nest_service("/app", app),
        )
    };
    let (one, two) = (nested().await, nested().await);
    until_met(&[&one, &two]).await;
    let query = "/app/live/?EIO=4&transport=polling&account=ann";
    let (_, open) = ask(&one, &format!("GET {query}"), "", "").await;
    let open: Value = serde_json::from_str(&open[1..]).unwrap();
    let head = format!("POST {query}&sid={}", open["sid"].as_str().unwrap());
    assert_eq!(ask(&two, &head, "", "3").await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn who_does_not_advertise_is_not_relayed_to() {
    let redis = Redis::start().await;
    let one = Node::with(|_| layer(&redis), |app| app).await;
    let two = Node::start(&redis).await;
    until_met(&[&one, &two]).await;
    let client = Polling::connect(&one).await;
    let before = one.dialled();
    assert_eq!(client.get(&two).await, (400, UNKNOWN.to_owned()));
    assert_eq!(one.dialled(), before);
    let relay = ask(&one, "GET /stream/relay?x", "", "").await;
    assert_eq!(relay, (200, "inner".to_owned()), "there is no such path");

    let other = Polling::connect(&two).await;
    assert_eq!(
        other.get(&one).await,
        (400, UNKNOWN.to_owned()),
        "nor does it relay"
    );
}

#[tokio::test]
async fn an_address_that_makes_no_sense_is_refused_by_name() {
    for bad in [
        "",
        "10.0.0.1:3000",
        "https://a",
        "http://",
        "http://a?b",
        "http://a//",
        "http://u@a",
    ] {
        let set = std::panic::catch_unwind(|| PrimacronLayer::in_memory().advertise(bad));
        assert!(set.is_err(), "{bad}");
        let mut config = Config::default();
        config.advertise = Some(bad.to_owned());
        let error = PrimacronLayer::in_memory().configure(&config).unwrap_err();
        assert_eq!(error.setting(), "advertise");
    }
}
