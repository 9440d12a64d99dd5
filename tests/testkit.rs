//! The test kit as an application's tests use it.

#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use axum::{Router, body::Body as AxumBody, routing::get};
use http::{Request, Response, StatusCode};
use primacron::{
    AccountError, Args, Codec as _, Json, Message, Notice, PrimacronLayer, PublicError, Raw, Reply,
    SendError, Transport, User,
    testing::{Body, Client, ClientBuilder, Disconnected, Outbox, Received},
};
use serde_json::json;
use tower::{ServiceBuilder, ServiceExt, service_fn};

const BOTH: [Transport; 2] = [Transport::Polling, Transport::WebSocket];

const MINUTE: Duration = Duration::from_secs(60);

/// Echoes, greets twice, fails and closes.
async fn handle(message: Message) -> Result<Reply, PublicError> {
    let socket = message.socket();
    match message.event() {
        "greet" => {
            socket.send("one", (1,)).await.unwrap();
            socket.send("two", (2,)).await.unwrap();
            Ok(Reply::none())
        }
        "fail" => Err(PublicError::new("not today")),
        "close" => {
            socket.close("had enough");
            Ok(Reply::none())
        }
        "sleep" => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            Ok(Reply::args(("slept",)))
        }
        _ => Ok(Reply::args(message.args().clone())),
    }
}

fn layer() -> PrimacronLayer {
    let layer = PrimacronLayer::in_memory();
    let events = ["echo", "greet", "fail", "close", "sleep"];
    events.into_iter().fold(layer, |layer, event| {
        layer.validate(event, |args: &Args, _: &User| {
            match args.get::<String>(0).as_deref() {
                Ok("bad") => Err("that is bad"),
                _ => Ok(()),
            }
        })
    })
}

fn app() -> Router {
    Router::new().layer(layer().service(service_fn(handle)))
}

fn ann(app: &Router, transport: Transport) -> ClientBuilder {
    Client::builder(app).account("ann").transport(transport)
}

/// What a test would have said when it failed.
fn complaint(future: impl Future) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let failed = catch_unwind(AssertUnwindSafe(|| drop(runtime.block_on(future))));
    let panic = failed.expect_err("the test would have passed");
    panic.downcast_ref::<String>().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn a_client_has_the_account_and_session_that_the_server_gave_it() {
    for transport in BOTH {
        let layer = layer().service(service_fn(handle));
        let handle = layer.handle();
        let app = Router::new().layer(layer);

        let client = ann(&app, transport).connect().await;

        let users = handle.users(primacron::To::Account("ann"));
        assert_eq!(client.account(), "ann");
        assert_eq!(client.transport(), transport);
        assert_eq!(
            (client.session(), client.sid()),
            (users[0].session(), users[0].sid())
        );
        assert_eq!(client.handshake()["pingInterval"], 25_000);
    }
}

#[tokio::test(start_paused = true)]
async fn events_come_in_their_order_and_an_answer_to_its_question() {
    for transport in BOTH {
        let mut ann = ann(&app(), transport).connect().await;

        ann.send("echo", ("first",));
        let answer = ann.ask("greet", ()).await;

        assert_eq!(answer, Ok(json!([])));
        assert_eq!(ann.expect_event("echo").await, json!(["first"]));
        assert_eq!(ann.expect_event("one").await, json!([1]));
        assert_eq!(ann.expect_event("two").await, json!([2]));
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_are_told_with_event_and_text() {
    for transport in BOTH {
        let mut ann = ann(&app(), transport).connect().await;

        ann.send("echo", ("bad",));
        let report = ann.expect_refusal("error::validation").await;
        assert_eq!(report.event.as_deref(), Some("echo"));
        assert_eq!(report.text.as_deref(), Some("that is bad"));

        ann.send("fail", ());
        let report = ann.expect_refusal("error::handler").await;
        assert_eq!(report.text.as_deref(), Some("not today"));

        ann.send_text("{");
        let report = ann.expect_refusal("error::json").await;
        assert_eq!(report.event, None);

        assert_eq!(ann.ask("fail", ()).await, Err("not today".to_owned()));
        ann.expect_refusal("error::handler").await;
    }
}

#[tokio::test(start_paused = true)]
async fn hours_of_heartbeats_pass_at_once() {
    for transport in BOTH {
        let mut ann = ann(&app(), transport).connect().await;
        let began = tokio::time::Instant::now();

        tokio::time::sleep(60 * MINUTE).await;

        assert_eq!(
            ann.ask("echo", ("still here",)).await,
            Ok(json!(["still here"]))
        );
        assert!(began.elapsed() >= 60 * MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ignores_pings_is_taken_for_dead() {
    for transport in BOTH {
        let layer = layer().service(service_fn(handle));
        let mut notices = layer.handle().notices();
        let mut ann = ann(&Router::new().layer(layer), transport)
            .patience(MINUTE)
            .connect()
            .await;

        ann.ignore_pings();

        ann.disconnected().await;
        let reason = loop {
            if let Some(Notice::Disconnect { reason, .. }) = notices.next().await {
                break reason;
            }
        };
        assert_eq!(reason.to_string(), "ping timeout");
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_closes_in_its_own_way() {
    let app = app();
    for (transport, how) in [
        (Transport::Polling, Disconnected::Packet),
        (Transport::WebSocket, Disconnected::Code(1000)),
    ] {
        let mut ann = ann(&app, transport).connect().await;

        ann.send("close", ());

        assert_eq!(ann.disconnected().await, how);
        assert_eq!(
            ann.receive().await,
            Received::Disconnected(how),
            "and stays so"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_closes_or_goes_away_in_the_middle() {
    for transport in BOTH {
        for closes in [true, false] {
            let layer = layer().service(service_fn(handle));
            let handle = layer.handle();
            let mut notices = handle.notices();
            let ann = ann(&Router::new().layer(layer), transport).connect().await;

            if closes {
                ann.close().await;
            } else {
                tokio::time::sleep(Duration::from_millis(1)).await;
                drop(ann);
            }

            let ended = loop {
                if let Some(Notice::Disconnect { reason, .. }) = notices.next().await {
                    break reason.to_string();
                }
            };
            let expected = if closes || transport == Transport::WebSocket {
                "transport close"
            } else {
                "transport error: poll connection closed prematurely"
            };
            assert_eq!(ended, expected);
            assert_eq!(handle.count(primacron::To::All), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_goes_over_to_a_websocket_and_nothing_is_lost() {
    let app = app();
    let mut ann = Client::builder(&app)
        .account("ann")
        .polling()
        .connect()
        .await;
    for number in 0..20 {
        ann.send("echo", (number,));
    }

    ann.upgrade().await;

    for number in 20..40 {
        ann.send("echo", (number,));
    }
    for number in 0..40 {
        assert_eq!(ann.expect_event("echo").await, json!([number]));
    }
    assert_eq!(ann.transport(), Transport::WebSocket);
    ann.close().await;
}

/// What an outer layer would say of a request.
#[derive(Clone)]
struct Login(&'static str);

fn with_accounts() -> Router {
    let layer = layer()
        .account(|parts: &http::request::Parts| {
            let login = parts
                .extensions
                .get::<Login>()
                .map(|login| login.0.to_owned());
            let header = parts.headers.get("x-account");
            let header = header.and_then(|value| value.to_str().ok().map(str::to_owned));
            login.or(header).ok_or(AccountError::Unauthorized)
        })
        .service(service_fn(handle));
    Router::new().layer(layer)
}

#[tokio::test(start_paused = true)]
async fn extensions_and_headers_of_the_handshake_reach_the_account_function() {
    let app = with_accounts();
    for transport in BOTH {
        let connect = || Client::builder(&app).transport(transport);

        let mut bob = connect().extension(Login("bob")).connect().await;
        let mut eve = connect().header("x-account", "eve").connect().await;

        assert_eq!((bob.account(), eve.account()), ("bob", "eve"));
        assert_eq!(bob.ask("echo", (1,)).await, Ok(json!([1])));
        assert_eq!(eve.ask("echo", (1,)).await, Ok(json!([1])));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_handshake_says_status_code_and_message() {
    let app = with_accounts();
    for transport in BOTH {
        let refused = Client::builder(&app).transport(transport).try_connect();
        let rejected = refused.await.unwrap_err();
        assert_eq!(rejected.status, StatusCode::UNAUTHORIZED);
        assert_eq!(rejected.code, Some(4));

        let elsewhere = Client::builder(&app).transport(transport).path("/nowhere");
        let rejected = elsewhere.try_connect().await.unwrap_err();
        assert_eq!(
            (rejected.status, rejected.code),
            (StatusCode::NOT_FOUND, None)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn middleware_around_the_layer_and_any_body_are_part_of_it() {
    let inner = service_fn(async |request: Request<AxumBody>| {
        Ok::<_, Infallible>(Response::new(AxumBody::from(request.uri().to_string())))
    });
    let layer = layer().service(service_fn(handle));
    let service = ServiceBuilder::new()
        .map_request(|mut request: Request<Body>| {
            request.extensions_mut().insert(Login("map"));
            request.map(AxumBody::new)
        })
        .concurrency_limit(8)
        .layer(layer)
        .service(inner);
    for transport in BOTH {
        let client = Client::builder(&service)
            .account("ann")
            .transport(transport);
        let mut ann = client.connect().await;
        assert_eq!(ann.ask("echo", (1,)).await, Ok(json!([1])));
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_is_a_refusal_that_says_why() {
    let service = service_fn(async |_: Request<Body>| {
        Err::<Response<AxumBody>, _>(std::io::Error::other("out of order"))
    });
    for transport in BOTH {
        let refused = Client::builder(&service).transport(transport).try_connect();
        let message = refused.await.unwrap_err().message;
        assert_eq!(message, "the service failed: out of order");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_other_codecs_come_as_text_and_bytes() {
    let layer = PrimacronLayer::in_memory()
        .codec(Raw)
        .validate("message", |_: &Args, _: &User| true)
        .service(service_fn(handle));
    let app = Router::new().layer(layer);
    for transport in BOTH {
        let mut ann = ann(&app, transport).connect().await;

        ann.send_text("hello");
        ann.send_binary(vec![1, 2, 3]);

        assert_eq!(ann.receive().await, Received::Text("hello".into()));
        assert_eq!(ann.receive().await, Received::Binary(vec![1, 2, 3].into()));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_expected_without_waiting() {
    let mut ann = ann(&app(), Transport::WebSocket).connect().await;

    ann.expect_nothing(10 * MINUTE).await;
    ann.send("echo", (1,));

    ann.expect_event("echo").await;
}

#[test]
fn a_failed_expectation_says_what_came_instead_and_where() {
    let said = complaint(async {
        let mut ann = ann(&app(), Transport::WebSocket).connect().await;
        ann.send("echo", ("hello",));
        ann.expect_event("joined").await;
    });
    let expected = r#"expected the event `joined`, received the event `echo` with ["hello"] (at tests/testkit.rs:"#;
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn an_expectation_that_cannot_be_met_does_not_hang() {
    let said = complaint(async {
        let mut ann = ann(&app(), Transport::Polling).connect().await;
        ann.expect_event("joined").await;
    });
    let expected = "expected the event `joined`, and nothing came within 10s (at tests/testkit.rs:";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn an_event_after_the_end_is_told_as_the_end() {
    let said = complaint(async {
        let mut ann = ann(&app(), Transport::WebSocket).connect().await;
        ann.send("close", ());
        ann.expect_event("joined").await;
    });
    assert!(
        said.contains("received the end of the connection: a close frame with code 1000"),
        "{said}"
    );
    let said = complaint(Client::builder(&with_accounts()).connect());
    assert!(
        said.starts_with("expected to connect, was refused with 401"),
        "{said}"
    );
    let said = complaint(async {
        let mut ann = ann(&app(), Transport::WebSocket).connect().await;
        ann.send("echo", (1,));
        ann.expect_nothing(MINUTE).await;
    });
    assert!(
        said.starts_with("expected nothing, received the event `echo`"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_its_time_takes_none_of_ours() {
    let mut ann = ann(&app(), Transport::Polling)
        .patience(MINUTE)
        .connect()
        .await;

    assert_eq!(ann.ask("sleep", ()).await, Ok(json!(["slept"])));
}

#[tokio::test]
async fn it_works_on_the_real_clock_too() {
    for transport in BOTH {
        let mut ann = ann(&app(), transport).connect().await;
        assert_eq!(ann.ask("echo", (1,)).await, Ok(json!([1])));
        ann.close().await;
    }
}

#[tokio::test]
async fn what_a_handler_sends_is_seen_in_the_outbox() {
    let outbox = Outbox::new();
    let message = Message::builder("greet", ()).outbox(&outbox).build();

    service_fn(handle).oneshot(message).await.unwrap();

    let expected = [
        ("one".to_owned(), json!([1])),
        ("two".to_owned(), json!([2])),
    ];
    assert_eq!(outbox.events(), expected);
    assert_eq!(outbox.take_events(), expected);
    assert_eq!(outbox.events(), []);

    let message = Message::builder("close", ()).outbox(&outbox).build();
    service_fn(handle).oneshot(message).await.unwrap();
    assert_eq!(outbox.closed().as_deref(), Some("had enough"));
}

#[tokio::test]
async fn a_full_outbox_refuses_and_lets_wait() {
    let outbox = Outbox::new();
    let socket = outbox.socket(User::new("ann", "session", "sid"));
    outbox.fill();

    assert!(matches!(socket.try_send("now", ()), Err(SendError::Full)));
    let waits = tokio::spawn(async move { socket.send("later", ()).await });
    tokio::task::yield_now().await;
    assert_eq!(outbox.events(), []);
    outbox.make_room();
    waits.await.unwrap().unwrap();

    assert_eq!(outbox.events(), [("later".to_owned(), json!([]))]);
    outbox.disconnect();
    let socket = outbox.socket(User::new("ann", "session", "sid"));
    assert!(matches!(
        socket.try_send("gone", ()),
        Err(SendError::Closed)
    ));
}

#[test]
fn the_raw_input_of_a_built_message_is_what_a_client_sends() {
    let message = Message::builder("say \"hi\"", ("a", 1)).id(7).build();

    let decoded = Json.decode(message.raw_input()).unwrap();

    assert_eq!(decoded.event(), "say \"hi\"");
    assert_eq!(decoded.id(), Some(7));
    assert_eq!(
        decoded.args().all::<(String, u8)>().unwrap(),
        ("a".into(), 1)
    );
}

#[tokio::test(start_paused = true)]
async fn requests_for_others_still_reach_the_inner_service() {
    let layer = layer().service(service_fn(handle));
    let app: Router = Router::new().route("/", get("hello")).layer(layer);
    let request = Request::get("/").body(Body::default()).unwrap();

    let response = app.oneshot(request).await.unwrap();

    assert_eq!(response.status(), StatusCode::OK);
}
