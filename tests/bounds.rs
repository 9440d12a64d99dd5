//! What a connection may hold and for how long, when its client, its handler or its codec misbehaves.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use http::{Request, StatusCode};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use primacron::{
    Args, Codec, DecodeFailure, EncodeError, Envelope, Json, Message, Outgoing, PrimacronLayer,
    QueuePolicy, RawInput, Reply, To, User, WireKind,
};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, BufWriter, DuplexStream, ReadBuf},
    sync::Semaphore,
    time::{Instant, timeout},
};
use tower::{ServiceExt, limit::ConcurrencyLimit, service_fn};

use self::support::{
    App, Counter, Incoming, Polling, Ws, app, asking, event, notice, settle, soon, tasks,
    until_tasks,
};

const SECOND: Duration = Duration::from_secs(1);

fn layer() -> PrimacronLayer {
    PrimacronLayer::in_memory()
        .validate("echo", |_: &Args, _: &User| true)
        .validate("never", |_: &Args, _: &User| false)
}

async fn echo(message: Message) -> Result<Reply, Infallible> {
    Ok(Reply::args(message.args().clone()))
}

/// A websocket that wants to take over, and what its client does first.
async fn candidate(app: &App, client: &Polling) -> Ws<DuplexStream> {
    let query = format!("EIO=4&transport=websocket&account=ann&sid={}", client.sid);
    Ws::over(Ws::dial(app, 1 << 16), &query).await
}

#[tokio::test(start_paused = true)]
async fn answers_to_refused_messages_wait_for_room() {
    let layer = layer().queue_limit(1024);
    let handle = layer.handle();
    let app = app(layer.service(service_fn(echo)));
    let client = Polling::connect(&app, "ann").await;
    let thousand: Vec<_> = (0..1000)
        .map(|id| format!("4{}", asking(id, "never", json!([]))))
        .collect();

    let posted = timeout(SECOND, client.post(thousand.join("\u{1e}"))).await;

    assert!(posted.is_err(), "the client is held until it reads");
    assert!(handle.queued_bytes(To::All) < 2048);
}

/// A stream that keeps what is written until it is flushed, as TLS does.
struct Buffering(BufWriter<DuplexStream>);

impl AsyncRead for Buffering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Buffering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_message_leaves_a_stream_that_buffers() {
    let layer = layer();
    let _node = layer.handle();
    let app = app(layer.service(service_fn(echo)));
    let (client, server) = tokio::io::duplex(4096);
    let server = Buffering(BufWriter::with_capacity(256 * 1024, server));
    let service = app.map_request(|request: Request<hyper::body::Incoming>| request.map(Body::new));
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(server), TowerToHyperService::new(service))
        .with_upgrades();
    tokio::spawn(async move { drop(connection.await) });
    let mut client = Ws::over(client, "EIO=4&transport=websocket&account=ann").await;
    client.read_open().await;

    let long = "x".repeat(100_000);
    client.emit("echo", json!([long])).await;

    let expected = json!({"event": "echo", "args": [long]});
    assert_eq!(soon(client.message()).await, expected);
}

#[tokio::test]
async fn a_ping_is_due_though_its_task_had_used_up_its_turn() {
    let tenth = SECOND / 10;
    let layer = layer().ping_interval(tenth).ping_timeout(tenth);
    let mut notices = layer.handle().notices();
    let busy = move |_: Message| async move {
        let start = Instant::now();
        while start.elapsed() < tenth * 3 / 2 {
            tokio::task::coop::consume_budget().await;
        }
        Ok::<_, Infallible>(())
    };
    let app = app(layer.service(service_fn(busy)));
    let mut client = Ws::connect(&app, "ann").await;

    client.emit("echo", json!([])).await;

    assert_eq!(client.packet().await, "2");
    notice(&mut notices, "disconnect").await;
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_tries_to_take_over_is_closed_with_its_connection() {
    let app = app(layer().service(service_fn(echo)));
    for probed in [false, true] {
        let client = Polling::connect(&app, "ann").await;
        let mut candidate = candidate(&app, &client).await;
        if probed {
            candidate.send_packet("2probe").await;
            assert_eq!(candidate.next().await, Incoming::Text("3probe".into()));
        }
        settle().await;
        let start = Instant::now();

        client.post("zzz").await;

        candidate.until_closed().await;
        assert_eq!(start.elapsed(), Duration::ZERO, "probed: {probed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_in_the_handler_is_taken_by_a_client_that_does_not_read() {
    let gate = Arc::new(Semaphore::new(0));
    let waiting = Arc::clone(&gate);
    let handler = service_fn(move |message: Message| {
        let gate = Arc::clone(&waiting);
        async move {
            if message.user().account() == "slow" {
                gate.acquire().await.unwrap().forget();
            }
            Ok::<_, Infallible>(Reply::args(message.args().clone()))
        }
    });
    let layer = layer()
        .queue_limit(1024)
        .queue_policy(QueuePolicy::DropVolatile);
    let handle = layer.handle();
    let app = app(layer.service(ConcurrencyLimit::new(handler, 1)));
    let slow = Polling::connect(&app, "slow").await;
    let deaf = Polling::connect(&app, "deaf").await;
    let mut good = Polling::connect(&app, "good").await;

    slow.emit("echo", json!([1])).await;
    tokio::spawn(async move {
        deaf.emit("echo", json!([2])).await;
        std::future::pending::<()>().await;
        drop(deaf);
    });
    settle().await;
    while handle
        .try_send(To::Account("deaf"), "x", ())
        .unwrap()
        .queued
        > 0
    {}
    gate.add_permits(1);
    settle().await;

    good.emit("echo", json!([3])).await;
    let answer = json!({"event": "echo", "args": [3]});
    assert_eq!(soon(good.message()).await, answer);
}

#[tokio::test(start_paused = true)]
async fn room_that_a_message_makes_is_room_for_the_handler_too() {
    let layer = layer().queue_limit(1024);
    let handle = layer.handle();
    let calls = Counter::default();
    let counter = calls.clone();
    let handler = move |_: Message| {
        counter.raise();
        async { Ok::<_, Infallible>(()) }
    };
    let app = app(layer.service(service_fn(handler)));
    let client = Arc::new(Polling::connect(&app, "ann").await);
    let socket = handle.socket("ann", &client.session).unwrap();
    for size in (0..900).rev() {
        while socket.try_send_volatile("x", ("y".repeat(size),)).is_ok() {}
    }
    let poster = Arc::clone(&client);
    let post = tokio::spawn(async move { poster.emit("echo", json!([1])).await });
    settle().await;
    let start = Instant::now();

    socket.try_send("now", ("room",)).unwrap();

    soon(post).await.unwrap();
    assert_eq!((calls.get(), start.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_post_is_read_no_longer_than_its_connection_lives() {
    let layer = layer();
    let handle = layer.handle();
    let app = app(layer.service(service_fn(echo)));
    let client = Polling::connect(&app, "ann").await;
    let uri = format!(
        "/stream/?EIO=4&transport=polling&account=ann&sid={}",
        client.sid
    );
    let never = futures_util::stream::pending::<Result<Vec<u8>, Infallible>>();
    let request = Request::post(uri).body(Body::from_stream(never)).unwrap();
    let post = tokio::spawn(app.clone().oneshot(request));
    settle().await;

    handle.close(To::All, "enough").await;

    let answer = soon(post).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn a_post_that_was_given_up_during_an_upgrade_is_not_in_the_way_of_the_next() {
    let gate = Arc::new(Semaphore::new(0));
    let waiting = Arc::clone(&gate);
    let handler = move |_: Message| {
        let gate = Arc::clone(&waiting);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok::<_, Infallible>(())
        }
    };
    let app = app(layer().service(service_fn(handler)));
    let client = Polling::connect(&app, "ann").await;
    let mut candidate = candidate(&app, &client).await;
    candidate.send_packet("2probe").await;
    assert_eq!(candidate.next().await, Incoming::Text("3probe".into()));
    let message = format!("4{}", event("echo", json!([])));
    let three = [&*message; 3].join("\u{1e}");
    assert!(timeout(SECOND, client.post(three)).await.is_err(), "held");

    drop(candidate);
    settle().await;
    gate.add_permits(4);
    settle().await;

    assert_eq!(client.post(message).await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_drain_takes_any_window() {
    for window in [Duration::ZERO, Duration::MAX] {
        let layer = layer();
        let handle = layer.handle();
        let app = app(layer.service(service_fn(echo)));
        let _client = Ws::connect(&app, "ann").await;
        handle.drain(window).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_validator_that_never_answers_keeps_no_task() {
    let asking = |_: Args, _: User| std::future::pending::<bool>();
    let layer = PrimacronLayer::in_memory().validate_async("echo", asking);
    let app = app(layer.service(service_fn(echo)));
    let before = tasks();
    let mut client = Ws::connect(&app, "ann").await;
    client.emit("echo", json!([])).await;
    settle().await;

    client.until_closed().await;

    drop(client);
    until_tasks(before).await;
}

/// JSON, until it is asked for something special.
struct Moody;

impl Codec for Moody {
    fn decode(&self, raw: &RawInput) -> Result<Envelope, DecodeFailure> {
        assert_ne!(raw.as_str(), Some("x"), "not today");
        Json.decode(raw)
    }

    fn encode(&self, message: &Outgoing<'_>, out: &mut Vec<u8>) -> Result<WireKind, EncodeError> {
        assert_ne!(message.event(), Some("x"), "not today");
        if message.event() == Some("clear") {
            out.clear();
        }
        Json.encode(message, out)
    }
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_fails_ends_nothing_but_the_message() {
    let layer = layer().codec(Moody);
    let handle = layer.handle();
    let mut notices = handle.notices();
    let app = app(layer.service(service_fn(echo)));
    let mut client = Polling::connect(&app, "ann").await;

    client.send("x").await;
    notice(&mut notices, "error::json").await;
    assert!(handle.try_send(To::All, "x", ()).is_err());
    assert!(handle.try_send(To::All, "clear", ((),)).is_err());

    client.emit("echo", json!([1])).await;
    assert_eq!(client.message().await["event"], "error::json");
    assert_eq!(client.message().await["event"], "echo");
}

#[tokio::test(start_paused = true)]
async fn a_notice_of_an_invalid_message_does_not_quote_it() {
    let layer = layer();
    let mut notices = layer.handle().notices();
    let app = app(layer.service(service_fn(echo)));
    let client = Polling::connect(&app, "ann").await;

    client.send(r#"{"event":"echo","id":"hunter2"}"#).await;

    let told = format!("{:?}", notice(&mut notices, "error::invalid").await);
    assert!(!told.contains("hunter2"), "{told}");
}
