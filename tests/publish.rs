//! Publishing from outside: who may, what is said, and what is answered.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{
    convert::Infallible,
    future::ready,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use primacron::{
    Args, Config, Handle, Message, PrimacronLayer, Publisher, QueuePolicy, Raw, Reply, User,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::{ServiceExt, service_fn};

use self::support::{App, Polling, app, is_stuck, notice, settle};

const SECRET: &str = "a-secret-of-more-than-16-bytes";
const PATH: &str = "/stream/broadcast";

fn layer() -> PrimacronLayer {
    PrimacronLayer::in_memory().validate("echo", |_: &Args, _: &User| true)
}

fn served(layer: PrimacronLayer) -> (App, Handle) {
    let handler = service_fn(|_: Message| ready(Ok::<_, Infallible>(Reply::none())));
    let handle = layer.handle();
    (app(layer.service(handler)), handle)
}

fn server() -> (App, Handle) {
    served(layer().publish_secret(SECRET))
}

fn publish(body: impl Into<Body>) -> Request<Body> {
    Request::put(PATH)
        .header(header::AUTHORIZATION, format!("Bearer {SECRET}"))
        .body(body.into())
        .unwrap()
}

/// The answer: its status, its headers, and its document, which says the same.
async fn answer(app: &App, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    read(app.clone().oneshot(request).await.unwrap()).await
}

async fn read<B>(response: Response<B>) -> (StatusCode, HeaderMap, Value)
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(Body::new(body), usize::MAX);
    let document: Value = serde_json::from_slice(&bytes.await.unwrap()).unwrap();
    assert_eq!(parts.headers[header::CONTENT_TYPE], "application/json");
    assert_eq!(document["status"], parts.status.as_u16());
    assert!(document["description"].as_str().unwrap().ends_with('.'));
    (parts.status, parts.headers, document)
}

/// Status and type of the answer to a document.
async fn said(app: &App, document: &Value) -> (u16, String) {
    let (status, _, answer) = answer(app, publish(document.to_string())).await;
    (status.as_u16(), answer["type"].as_str().unwrap().to_owned())
}

fn to_session(client: &Polling, account: &str) -> Value {
    json!({"to": {"session": [account, client.session]}, "event": "news", "args": ["hello", 1]})
}

#[tokio::test(start_paused = true)]
async fn a_session_gets_what_is_published_for_it() {
    let (app, _) = server();
    let mut ann = Polling::connect(&app, "ann").await;
    let mut other = Polling::connect(&app, "ann").await;

    let (status, _, document) = answer(&app, publish(to_session(&ann, "ann").to_string())).await;

    assert_eq!(status, StatusCode::OK);
    assert_eq!(document["type"], "sending");
    assert_eq!(document["outcome"], "enqueued");
    let news = json!({"event": "news", "args": ["hello", 1]});
    assert_eq!(ann.message().await, news);
    assert!(is_stuck(other.message()).await);
}

#[tokio::test(start_paused = true)]
async fn an_account_or_everybody_gets_what_is_published_for_them() {
    let (app, handle) = server();
    let mut clients = Vec::new();
    for account in ["ann", "ann", "bob"] {
        clients.push(Polling::connect(&app, account).await);
    }
    for (to, receivers) in [(json!({"account": "ann"}), 2), (json!("all"), 3)] {
        let document = json!({"to": to, "event": "news"});

        let (status, _, document) = answer(&app, publish(document.to_string())).await;

        assert_eq!(status, StatusCode::OK);
        assert_eq!(document["queued"], receivers);
        assert_eq!(document["refused"], 0);
        assert_eq!(document["complete"], true);
        let node = json!({"node": handle.node_id(), "queued": receivers, "refused": 0});
        assert_eq!(document["nodes"], json!([node]));
        for client in &mut clients[..receivers] {
            let news = json!({"event": "news", "args": []});
            assert_eq!(client.message().await, news);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_an_error_for_a_session_only() {
    let (app, _) = server();
    let session = json!({"to": {"session": ["ann", "phone"]}, "event": "news"});
    assert_eq!(
        said(&app, &session).await,
        (404, "unknown session".to_owned())
    );
    for to in [json!({"account": "ann"}), json!("all")] {
        let document = json!({"to": to, "event": "news"});
        assert_eq!(said(&app, &document).await, (200, "sending".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_of_another_account_is_unknown() {
    let (app, _) = server();
    let ann = Polling::connect(&app, "ann").await;
    let stolen = to_session(&ann, "bob");
    assert_eq!(said(&app, &stolen).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn what_is_published_does_not_pass_the_validators() {
    let (app, _) = served(
        layer()
            .publish_secret(SECRET)
            .validate("news", |_: &Args, _: &User| false),
    );
    let mut ann = Polling::connect(&app, "ann").await;
    assert_eq!(said(&app, &to_session(&ann, "ann")).await.0, 200);
    assert_eq!(ann.message().await["event"], "news");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_full_is_not_delivered_to_and_may_be_tried_again() {
    let (app, _) = served(
        layer()
            .publish_secret(SECRET)
            .queue_limit(1024)
            .queue_policy(QueuePolicy::DropVolatile),
    );
    let ann = Polling::connect(&app, "ann").await;
    let mut document = to_session(&ann, "ann");
    document["args"] = json!(["x".repeat(2000)]);

    let (status, headers, document) = answer(&app, publish(document.to_string())).await;

    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(headers[header::RETRY_AFTER], "1");
    assert_eq!(document["type"], "not delivered");
    assert_eq!(document["outcome"], "refused");
    assert_eq!(document["reason"], "queue full");
}

#[tokio::test(start_paused = true)]
async fn what_the_codec_cannot_say_is_invalid() {
    let (app, _) = served(
        PrimacronLayer::in_memory()
            .codec(Raw)
            .publish_secret(SECRET),
    );
    let _ann = Polling::connect(&app, "ann").await;
    let document = json!({"to": "all", "event": "news", "args": [1, 2]});
    assert_eq!(said(&app, &document).await, (400, "invalid".to_owned()));
}

#[tokio::test]
async fn without_a_secret_there_is_no_such_path() {
    let (app, _) = served(layer());
    let response = app.oneshot(publish(r#"{"to":"all","event":"x"}"#)).await;
    let body = axum::body::to_bytes(response.unwrap().into_body(), 100);
    assert_eq!(body.await.unwrap(), "inner");
}

#[tokio::test]
async fn the_path_is_right_below_the_endpoint_and_exact() {
    let (app, _) = served(layer().path("/live/").publish_secret(SECRET));
    let document = r#"{"to":"all","event":"x"}"#;
    for (path, own) in [
        ("/live/broadcast", true),
        ("/live/broadcast/", false),
        ("/live/broadcasts", false),
        ("/stream/broadcast", false),
        ("/broadcast", false),
    ] {
        let mut request = publish(document);
        *request.uri_mut() = path.parse().unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 1000)
            .await
            .unwrap();
        assert_eq!(body != "inner", own, "{path}");
    }
}

#[tokio::test]
async fn any_of_several_secrets_counts_and_nothing_else() {
    let (app, handle) = served(
        layer()
            .publish_secret("the-secret-of-today")
            .publish_secret("the-secret-of-yesterday"),
    );
    let mut notices = handle.notices();
    for (given, counts) in [
        (Some("Bearer the-secret-of-today"), true),
        (Some("bearer the-secret-of-yesterday"), true),
        (Some("BEARER  the-secret-of-today"), true),
        (Some("Bearer the-secret-of-tomorrow"), false),
        (Some("Bearer the-secret-of-toda"), false),
        (Some("Bearer the-secret-of-todayy"), false),
        (Some("Bearer "), false),
        (Some("Bearer"), false),
        (Some("Basic the-secret-of-today"), false),
        (Some("Digest the-secret-of-today"), false),
        (Some("Bearer-the-secret-of-today"), false),
        (Some("the-secret-of-today"), false),
        (Some(""), false),
        (None, false),
    ] {
        let mut request = Request::put(PATH);
        if let Some(given) = given {
            request = request.header(header::AUTHORIZATION, given);
        }
        let body = Body::from(r#"{"to":"all","event":"x"}"#);
        let (status, headers, _) = answer(&app, request.body(body).unwrap()).await;
        assert_eq!(status == StatusCode::OK, counts, "{given:?}");
        if !counts {
            assert_eq!(status, StatusCode::UNAUTHORIZED);
            let challenge = headers[header::WWW_AUTHENTICATE].to_str().unwrap();
            assert!(challenge.starts_with("Bearer "), "{challenge}");
            if given.is_none() {
                assert!(!challenge.contains("error"), "{challenge}");
            }
            notice(&mut notices, "reject").await;
        }
    }
}

#[tokio::test]
async fn two_secrets_in_one_request_are_none() {
    let (app, _) = server();
    let mut request = publish(r#"{"to":"all","event":"x"}"#);
    let again = request.headers()[header::AUTHORIZATION].clone();
    request.headers_mut().append(header::AUTHORIZATION, again);
    assert_eq!(answer(&app, request).await.0, StatusCode::UNAUTHORIZED);
}

/// Chunks, and whether they were asked for.
struct Watched {
    asked: Arc<AtomicUsize>,
    chunks: usize,
    chunk: Bytes,
    announced: u64,
    end: End,
}

enum End {
    Never,
    Broken,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.chunks > 0 {
            self.chunks -= 1;
            return Poll::Ready(Some(Ok(Frame::data(self.chunk.clone()))));
        }
        match self.end {
            End::Never => Poll::Pending,
            End::Broken => Poll::Ready(Some(Err("gone"))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.announced);
        hint
    }
}

impl Watched {
    fn new(chunks: usize, end: End) -> Self {
        Self {
            asked: Arc::default(),
            chunks,
            chunk: Bytes::from_static(&[b' '; 1000]),
            announced: 0,
            end,
        }
    }
}

fn watched(chunks: usize, end: End) -> (Body, Arc<AtomicUsize>) {
    let body = Watched::new(chunks, end);
    let asked = Arc::clone(&body.asked);
    (Body::new(body), asked)
}

#[tokio::test]
async fn who_may_not_publish_is_refused_before_the_body_is_read() {
    let (app, _) = server();
    let (body, asked) = watched(0, End::Never);
    let request = Request::put(PATH).body(body).unwrap();

    assert_eq!(answer(&app, request).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn only_put_publishes() {
    let (app, _) = server();
    for method in [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS] {
        let (body, asked) = watched(0, End::Never);
        let mut request = publish(body);
        *request.method_mut() = method;

        let (status, headers, document) = answer(&app, request).await;

        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(headers[header::ALLOW], "PUT");
        assert_eq!(document["type"], "method not allowed");
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn a_body_may_be_as_large_as_a_message() {
    let (app, _) = served(layer().publish_secret(SECRET).max_payload(5000));
    let fitting = |len: usize| {
        let frame = r#"{"to":"all","event":"x","args":[""]}"#.len();
        let text = "y".repeat(len - frame);
        json!({"to": "all", "event": "x", "args": [text]}).to_string()
    };
    assert_eq!(answer(&app, publish(fitting(5000))).await.0, StatusCode::OK);

    let announced = publish(fitting(5001));
    let (chunked, asked) = watched(100, End::Never);
    for request in [announced, publish(chunked)] {
        let (status, _, document) = answer(&app, request).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(document["type"], "too large");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 6, "no more than needed");
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_not_read() {
    let (app, _) = served(layer().publish_secret(SECRET).max_payload(5000));
    let body = Watched {
        announced: 5001,
        ..Watched::new(0, End::Never)
    };
    let asked = Arc::clone(&body.asked);
    let (status, ..) = answer(&app, publish(Body::new(body))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn what_came_of_a_body_that_breaks_off_is_not_published() {
    let (app, _) = server();
    let mut ann = Polling::connect(&app, "ann").await;
    let body = Watched {
        chunk: Bytes::from_static(br#"{"to": "all", "event": "news"}"#),
        ..Watched::new(1, End::Broken)
    };
    let (status, _, document) = answer(&app, publish(Body::new(body))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(document["type"], "broken");
    assert!(is_stuck(ann.message()).await);
}

#[tokio::test(start_paused = true)]
async fn what_a_transport_cannot_carry_is_invalid() {
    let (app, _) = served(
        PrimacronLayer::in_memory()
            .codec(Raw)
            .publish_secret(SECRET),
    );
    let ann = Polling::connect(&app, "ann").await;
    let mut document = to_session(&ann, "ann");
    document["event"] = json!("message");
    document["args"] = json!(["one\u{1e}4two"]);
    assert_eq!(said(&app, &document).await, (400, "invalid".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn who_has_no_room_for_what_is_published_for_many_is_counted() {
    let (app, _) = served(
        layer()
            .publish_secret(SECRET)
            .queue_limit(1024)
            .queue_policy(QueuePolicy::DropVolatile),
    );
    let _ann = Polling::connect(&app, "ann").await;
    let document = json!({"to": "all", "event": "news", "args": ["x".repeat(2000)]});
    let (_, _, document) = answer(&app, publish(document.to_string())).await;
    assert_eq!(
        (&document["queued"], &document["refused"]),
        (&json!(0), &json!(1))
    );
}

#[tokio::test(start_paused = true)]
async fn it_is_said_when_a_node_may_be_missing() {
    let (app, _) = served(primacron::Cluster::new().layer().publish_secret(SECRET));
    let document = json!({"to": "all", "event": "news"}).to_string();
    let (status, _, answered) = answer(&app, publish(document)).await;
    assert_eq!(
        (status, &answered["complete"]),
        (StatusCode::OK, &json!(false))
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (app, _) = server();
    let start = tokio::time::Instant::now();
    let (status, _, document) = answer(&app, publish(watched(1, End::Never).0)).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(document["type"], "timeout");
    let waited = start.elapsed();
    assert!(waited <= Duration::from_secs(11), "{waited:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_broken() {
    let (app, _) = server();
    let (status, _, document) = answer(&app, publish(watched(1, End::Broken).0)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(document["type"], "broken");
}

#[tokio::test]
async fn what_is_not_json_is_broken() {
    let (app, _) = server();
    for bad in [
        &b""[..],
        b" ",
        b"{",
        b"nonsense",
        b"{\"to\":\"all\",\"event\":\"x\"",
        b"{\"to\":\"all\",\"event\":\"x\"}}",
        b"{\"to\":\"all\",\"event\":\"x\"} {}",
        b"{\"to\":\"all\",\"event\":\"x\",}",
        b"{\"to\":5,\"event\":\"x\"",
        b"{\"to\":\"all\",\"event\":\"\xff\"}",
        b"{\"to\":\"all\",\"event\":\"x\",\"args\":[\"\xc3\"]}",
        b"{\"to\":\"all\",\"event\":\"x\",\"args\":[\"\\x\"]}",
        b"\xef\xbb\xbf{\"to\":\"all\",\"event\":\"x\"}",
    ] {
        let (status, _, document) = answer(&app, publish(bad)).await;
        let text = String::from_utf8_lossy(bad);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
        assert_eq!(document["type"], "broken", "{text}");
    }
}

#[tokio::test]
async fn what_says_something_else_is_invalid() {
    let (app, _) = server();
    let long = format!(
        r#"{{"to":{{"account":"{}"}},"event":"x"}}"#,
        "x".repeat(257)
    );
    for bad in [
        "null",
        "5",
        "\"all\"",
        "[]",
        r#"["all","x",[],null]"#,
        r#"["all","x"]"#,
        "{}",
        r#"{"to":"all"}"#,
        r#"{"event":"x"}"#,
        r#"{"to":null,"event":"x"}"#,
        r#"{"to":"everybody","event":"x"}"#,
        r#"{"to":"All","event":"x"}"#,
        r#"{"to":5,"event":"x"}"#,
        r#"{"to":[],"event":"x"}"#,
        r#"{"to":{},"event":"x"}"#,
        r#"{"to":{"all":null},"event":"x"}"#,
        r#"{"to":{"all":true},"event":"x"}"#,
        r#"{"to":{"account":null},"event":"x"}"#,
        r#"{"to":{"account":5},"event":"x"}"#,
        r#"{"to":{"account":["ann"]},"event":"x"}"#,
        r#"{"to":{"account":""},"event":"x"}"#,
        r#"{"to":{"account":"a\u0000"},"event":"x"}"#,
        &long,
        r#"{"to":{"account":"ann","account":"ann"},"event":"x"}"#,
        r#"{"to":{"account":"ann","session":["ann","s"]},"event":"x"}"#,
        r#"{"to":{"session":["ann","s"],"account":"ann"},"event":"x"}"#,
        r#"{"to":{"session":"s"},"event":"x"}"#,
        r#"{"to":{"session":["s"]},"event":"x"}"#,
        r#"{"to":{"session":["ann","s","t"]},"event":"x"}"#,
        r#"{"to":{"session":["ann",""]},"event":"x"}"#,
        r#"{"to":{"session":{"ann":"s"}},"event":"x"}"#,
        r#"{"to":{"node":"n"},"event":"x"}"#,
        r#"{"to":"all","to":"all","event":"x"}"#,
        r#"{"to":"all","event":"x","event":"y"}"#,
        r#"{"to":"all","event":"x","args":[],"args":[]}"#,
        r#"{"to":"all","event":"x","args":null}"#,
        r#"{"to":"all","event":"x","args":{}}"#,
        r#"{"to":"all","event":"x","args":"text"}"#,
        r#"{"to":"all","event":5}"#,
        r#"{"to":"all","event":null}"#,
        r#"{"to":"all","event":"x","id":1}"#,
        r#"{"to":"all","event":"x","url":"http://127.0.0.1/"}"#,
        r#"{"to":"all","event":"error::json"}"#,
        r#"{"to":"all","event":"error::"}"#,
        r#"{"to":{"session":["ann","s"]},"event":"x","wait":null}"#,
        r#"{"to":{"session":["ann","s"]},"event":"x","wait":"forever"}"#,
        r#"{"to":{"session":["ann","s"]},"event":"x","wait":5}"#,
        r#"{"to":"all","event":"x","wait":"enqueued"}"#,
        r#"{"id":"sid","message":["http://127.0.0.1@sid"]}"#,
        r#"{"__proto__":{},"to":"all","event":"x"}"#,
    ] {
        let (status, _, document) = answer(&app, publish(bad.to_owned())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
        assert_eq!(document["type"], "invalid", "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn arguments_arrive_as_they_were_written() {
    let (app, _) = server();
    let mut ann = Polling::connect(&app, "ann").await;
    let args = r#"[ 1.50, {"a":1,"a":2}, "\u00e9\u001e", 12345678901234567890123, [[]] ]"#;
    let body = format!(r#"{{"to":{{"account":"ann"}},"args":{args},"event":"é\n"}}"#);

    assert_eq!(answer(&app, publish(body)).await.0, StatusCode::OK);

    let packet = ann.packet().await;
    assert_eq!(packet, format!(r#"4{{"event":"é\n","args":{args}}}"#));
}

#[tokio::test(start_paused = true)]
async fn a_publisher_is_a_service_of_its_own() {
    let (app, handle) = served(layer());
    let mut ann = Polling::connect(&app, "ann").await;
    let publisher: Publisher = handle.publisher(SECRET);
    let document = json!({"to": "all", "event": "news"}).to_string();
    let request = |path: &str| {
        Request::put(path)
            .header(header::AUTHORIZATION, format!("Bearer {SECRET}"))
            .body(document.clone())
            .unwrap()
    };

    let bare = read(
        publisher
            .clone()
            .oneshot(request("/any/where"))
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(bare.0, StatusCode::OK);
    assert_eq!(ann.message().await["event"], "news");

    let inside = Router::new()
        .route("/", get(async || "inside"))
        .route_service("/publish", publisher);
    let mounted = inside.oneshot(request("/publish")).await.unwrap();
    assert_eq!(mounted.status(), StatusCode::OK);
    assert_eq!(ann.message().await["event"], "news");
}

#[tokio::test]
async fn a_secret_that_makes_no_sense_is_refused_by_name() {
    let config: Config = serde_json::from_str(r#"{"publish_secrets": ["short"]}"#).unwrap();
    let refused = PrimacronLayer::in_memory().configure(&config).unwrap_err();
    assert_eq!(refused.setting(), "publish_secret");
    let refused = layer().handle().try_publisher(["fifteen-bytes-."]);
    let text = refused.unwrap_err().to_string();
    assert_eq!(text, "publish_secret must be at least 16 bytes");
    for bad in ["", "a secret with spaces"] {
        let set = std::panic::catch_unwind(|| layer().publish_secret(bad));
        assert!(set.is_err(), "{bad}");
        let made = std::panic::catch_unwind(|| layer().handle().publisher(bad));
        assert!(made.is_err(), "{bad}");
    }
}

#[tokio::test]
async fn secrets_come_from_outside_too_and_are_not_shown() {
    let config = format!(r#"{{"publish_secrets": ["{SECRET}", "another-secret-too"]}}"#);
    let config: Config = serde_json::from_str(&config).unwrap();
    assert!(!format!("{config:?}").contains(SECRET));
    let layer = layer().configure(&config).unwrap();
    assert!(!format!("{layer:?}").contains(SECRET));
    let publisher = layer.handle().publisher(SECRET);
    assert!(!format!("{publisher:?}").contains(SECRET));

    let (app, _) = served(layer);
    let document = json!({"to": "all", "event": "x"});
    assert_eq!(said(&app, &document).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_is_dropped_half_way_leaves_nothing() {
    let (app, handle) = server();
    let before = support::tasks();
    let request = publish(watched(1, End::Never).0);
    assert!(is_stuck(app.clone().oneshot(request)).await);
    settle().await;
    assert_eq!(support::tasks(), before);
    drop(handle);
}

#[cfg(feature = "testing")]
#[tokio::test(start_paused = true)]
async fn what_is_published_reaches_other_nodes() {
    let cluster = primacron::Cluster::new();
    let (here, _) = served(cluster.layer().publish_secret(SECRET));
    let (there, other) = served(cluster.layer());
    for app in [&here, &there] {
        support::get(app, "/").await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut ann = Polling::connect(&there, "ann").await;
    let mut document = to_session(&ann, "ann");

    assert_eq!(said(&here, &document).await, (200, "sending".to_owned()));
    assert_eq!(ann.message().await["event"], "news");
    document["wait"] = json!("written");
    let published = document.to_string();
    let (answer_to_it, message) = tokio::join!(answer(&here, publish(published)), ann.message());
    assert_eq!(answer_to_it.2["outcome"], "written");
    assert_eq!(message["event"], "news");

    // Nobody takes it: it is in the queue, and nobody knows whether it will be.
    let (status, _, late) = answer(&here, publish(document.to_string())).await;
    assert_eq!((status.as_u16(), &late["type"]), (504, &json!("unknown")));
    assert_eq!(ann.message().await["event"], "news");

    let all = json!({"to": "all", "event": "news"}).to_string();
    let (_, _, all) = answer(&here, publish(all)).await;
    assert_eq!(all["nodes"].as_array().unwrap().len(), 2, "{all}");
    assert_eq!(
        (&all["queued"], &all["complete"]),
        (&json!(1), &json!(true))
    );

    cluster.kill(&other);
    let (status, _, dead) = answer(&here, publish(document.to_string())).await;
    assert!([503, 504].contains(&status.as_u16()), "{dead}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(said(&here, &document).await.0, 404);
}

/// A document that is fine, from which others are made.
fn document() -> impl Strategy<Value = String> {
    let to = prop_oneof![
        Just(json!("all")),
        "[a-c]{0,2}".prop_map(|account| json!({"account": account})),
        ("[a-c]{0,2}", "[a-c]{0,2}").prop_map(|(a, s)| json!({"session": [a, s]})),
        Just(json!({})),
    ];
    let keys = proptest::sample::subsequence(vec!["to", "event", "args", "wait", "x"], 0..=5);
    (to, "[a-z:]{0,8}", keys).prop_map(|(to, event, keys)| {
        let values = json!({"to": to, "event": event, "args": [1], "wait": "enqueued", "x": 0});
        let fields = keys.iter().map(|key| format!("{key:?}:{}", values[*key]));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    })
}

/// Bytes without sense, or a document with some of its bytes exchanged.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let broken = (document(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(document, index, byte)| {
            let mut bytes = document.into_bytes();
            let index = index.index(bytes.len());
            bytes[index] = byte;
            bytes
        },
    );
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        document().prop_map(String::into_bytes),
        broken,
    ]
}

/// Whether a body may be published, said in another way.
fn is_valid(body: &[u8]) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
        return false;
    };
    let is_name = |name: &str| !name.is_empty() && !name.chars().any(char::is_control);
    let name = |value: &Value| value.as_str().is_some_and(is_name);
    let to = &fields.get("to");
    let one = to.and_then(|to| to.get("session")).is_some();
    let to_is_valid = match to {
        Some(Value::String(to)) => to == "all",
        Some(Value::Object(to)) if to.len() == 1 => {
            to.get("account").is_some_and(name)
                || to
                    .get("session")
                    .and_then(Value::as_array)
                    .is_some_and(|names| names.len() == 2 && names.iter().all(name))
        }
        _ => false,
    };
    let event = fields.get("event").and_then(Value::as_str);
    to_is_valid
        && event.is_some_and(|event| !event.starts_with("error::"))
        && fields.get("args").is_none_or(Value::is_array)
        && fields
            .get("wait")
            .is_none_or(|wait| one && wait == "enqueued")
        && fields
            .keys()
            .all(|key| ["to", "event", "args", "wait"].contains(&&**key))
}

proptest! {
    #[test]
    fn any_bytes_are_answered_and_published_only_if_valid(body in body()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (status, _, document) = runtime.block_on(async {
            let (app, _) = server();
            answer(&app, publish(body.clone())).await
        });
        let broken = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err();
        prop_assert_eq!(document["type"] == "broken", broken || std::str::from_utf8(&body).is_err());
        let expected: &[u16] = if is_valid(&body) { &[200, 404] } else { &[400] };
        prop_assert!(expected.contains(&status.as_u16()), "{status} to {:?}", String::from_utf8_lossy(&body));
    }
}
