//! What the application hears, and under which name.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{
    convert::Infallible,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::StatusCode;
use primacron::{
    Args, CloseReason, Handler, Message, Notice, Notices, PrimacronLayer, Reply, To, Transport,
    User,
};
use serde_json::json;

use self::support::{Incoming, Polling, Ws, app, event, get, is_stuck, notice, settle};

fn layer() -> PrimacronLayer {
    PrimacronLayer::in_memory().validate("echo", |_: &Args, _: &User| true)
}

fn echo() -> impl Handler + Clone + Sync {
    tower::service_fn(|message: Message| {
        assert!(!message.args().is_empty(), "on purpose");
        ready(Ok::<_, Infallible>(Reply::args(message.args().clone())))
    })
}

/// Names of notices, in the order in which a callback heard them.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<&'static str>>>);

impl Heard {
    fn hear(&self) -> impl Fn(&Notice) + Send + Sync + use<> {
        let heard = self.clone();
        move |notice| heard.0.lock().unwrap().push(notice.name())
    }

    fn names(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

async fn reason_of_the_end(notices: &mut Notices) -> CloseReason {
    let Notice::Disconnect { reason, user, .. } = notice(notices, "disconnect").await else {
        unreachable!()
    };
    assert_eq!(user.account(), "ann");
    reason
}

#[tokio::test(start_paused = true)]
async fn a_callback_hears_every_notice_by_its_name_and_in_order() {
    let heard = Heard::default();
    let layer = layer().on_notice(heard.hear()).service(echo());
    let handle = layer.handle();
    let app = app(layer);

    let polling = Polling::connect(&app, "ann").await;
    let mut client = Ws::upgrade(&app, "ann", &polling.sid).await;
    for message in [
        "not json",
        "[]",
        r#"{"event":"unknown"}"#,
        r#"{"event":"echo"}"#,
    ] {
        client.send(message).await;
        client.packet().await;
    }
    get(&app, "/stream/?EIO=3&transport=polling&account=ann").await;
    handle.close(To::All, "enough").await;
    client.until_closed().await;

    assert_eq!(
        heard.names(),
        [
            "account::unverified",
            "connect",
            "upgrade",
            "error::json",
            "error::invalid",
            "error::validation",
            "error::handler",
            "reject",
            "disconnect",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn streams_and_the_callback_hear_the_same() {
    let heard = Heard::default();
    let layer = layer().on_notice(heard.hear()).service(echo());
    let mut streams = [layer.handle().notices(), layer.handle().notices()];
    let app = app(layer);

    let mut client = Ws::connect(&app, "ann").await;
    client.send("not json").await;
    client.packet().await;

    for stream in &mut streams {
        for name in heard.names() {
            assert_eq!(stream.next().await.unwrap().name(), name);
        }
        assert!(is_stuck(stream.next()).await, "nothing else");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connect_says_who_came_and_how() {
    let layer = layer().service(echo());
    let mut notices = layer.handle().notices();
    let app = app(layer);

    let polling = Polling::connect(&app, "ann").await;
    let told = notice(&mut notices, "connect").await;
    let Notice::Connect {
        user, transport, ..
    } = &told
    else {
        unreachable!()
    };
    assert_eq!((user.account(), user.session()), ("ann", &*polling.session));
    assert_eq!(
        (user.sid(), *transport),
        (&*polling.sid, Transport::Polling)
    );
    assert_eq!(told.user(), Some(user));
    assert!(!format!("{told:?}").contains(&polling.sid), "a credential");

    let socket = Ws::connect(&app, "bob").await;
    let Notice::Connect {
        user, transport, ..
    } = notice(&mut notices, "connect").await
    else {
        unreachable!()
    };
    assert_eq!(
        (user.sid(), transport),
        (&*socket.sid, Transport::WebSocket)
    );

    Ws::upgrade(&app, "ann", &polling.sid).await;
    let Notice::Upgrade { user, .. } = notice(&mut notices, "upgrade").await else {
        unreachable!()
    };
    assert_eq!(user.sid(), polling.sid);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_says_why() {
    let layer = layer()
        .max_payload(100)
        .ping_timeout(Duration::from_secs(1))
        .service(echo());
    let handle = layer.handle();
    let mut notices = handle.notices();
    let app = app(layer);

    let mut client = Ws::connect(&app, "ann").await;
    client.send_packet("1").await;
    assert_eq!(
        reason_of_the_end(&mut notices).await,
        CloseReason::TransportClose
    );

    drop(Ws::connect(&app, "ann").await);
    assert_eq!(
        reason_of_the_end(&mut notices).await,
        CloseReason::TransportClose
    );

    let mut client = Ws::connect(&app, "ann").await;
    client.send_packet("z").await;
    assert_eq!(
        reason_of_the_end(&mut notices).await.as_str(),
        "parse error"
    );

    let mut client = Ws::connect(&app, "ann").await;
    client.send(&"x".repeat(200)).await;
    assert_eq!(reason_of_the_end(&mut notices).await, CloseReason::TooLarge);
    assert_eq!(client.until_closed().await, Some(1009));

    let mut client = Ws::connect(&app, "ann").await;
    client.send_packet("2").await;
    assert_eq!(
        reason_of_the_end(&mut notices).await.as_str(),
        "transport error"
    );

    let _silent = Ws::connect(&app, "ann").await;
    assert_eq!(
        reason_of_the_end(&mut notices).await,
        CloseReason::PingTimeout
    );

    let polling = Polling::connect(&app, "ann").await;
    assert_eq!(polling.post("1").await.0, StatusCode::OK);
    assert_eq!(
        reason_of_the_end(&mut notices).await,
        CloseReason::TransportClose
    );

    let _client = Polling::connect(&app, "ann").await;
    handle.close(To::Account("ann"), "signed out").await;
    let reason = reason_of_the_end(&mut notices).await;
    assert_eq!(reason, CloseReason::Application("signed out".into()));
    assert_eq!(
        (&*reason.to_string(), reason.as_str()),
        ("signed out", "application")
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_told_with_its_status() {
    let layer = layer().account(|_: &_| None::<String>).service(echo());
    let mut notices = layer.handle().notices();
    let app = app(layer);

    let (status, _) = get(&app, "/stream/?EIO=4&transport=polling").await;

    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let told = notice(&mut notices, "reject").await;
    assert!(matches!(
        &told,
        Notice::Reject {
            status: StatusCode::UNAUTHORIZED,
            ..
        }
    ));
    assert_eq!(told.user(), None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_knows_how_much_it_missed() {
    let layer = layer().service(echo());
    let handle = layer.handle();
    let mut slow = handle.notices();
    let app = app(layer);

    for _ in 0..2_000 {
        get(&app, "/stream/?transport=none").await;
    }

    let mut read = 0;
    while !is_stuck(slow.next()).await {
        read += 1;
    }
    assert!(read >= 1_024, "{read} were kept");
    assert_eq!(read + slow.missed(), 2_000);
    get(&app, "/stream/?transport=none").await;
    assert_eq!(
        slow.next().await.unwrap().name(),
        "reject",
        "and it goes on"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_keeps_up_misses_nothing() {
    let layer = layer().service(echo());
    let mut notices = layer.handle().notices();
    let app = app(layer);

    for _ in 0..2_000 {
        get(&app, "/stream/?transport=none").await;
        notices.next().await.unwrap();
    }

    assert_eq!(notices.missed(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_node() {
    let layer = layer().service(echo());
    let mut notices = layer.handle().notices();
    let app = app(layer);
    let mut client = Ws::connect(&app, "ann").await;
    assert_eq!(
        notice(&mut notices, "connect")
            .await
            .user()
            .unwrap()
            .account(),
        "ann"
    );

    drop(app);

    assert_eq!(reason_of_the_end(&mut notices).await, CloseReason::Shutdown);
    assert_eq!(client.until_closed().await, Some(1001));
    drop(client);
    assert!(notices.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_panics_harms_nobody() {
    let layer = layer()
        .on_notice(|notice| panic!("on purpose, about {}", notice.name()))
        .service(echo());
    let mut notices = layer.handle().notices();
    let app = app(layer);

    let polling = Polling::connect(&app, "ann").await;
    let mut client = Ws::upgrade(&app, "ann", &polling.sid).await;
    client.send("not json").await;
    assert!(client.packet().await.contains("error::json"));
    client.emit("echo", json!([1])).await;
    assert_eq!(
        client.message().await,
        json!({"event": "echo", "args": [1]})
    );
    client.send_packet("1").await;

    for name in ["connect", "upgrade", "error::json", "disconnect"] {
        notice(&mut notices, name).await;
    }
}

#[tokio::test(start_paused = true)]
async fn that_accounts_are_claims_is_told_once() {
    let heard = Heard::default();
    let layer = layer().on_notice(heard.hear()).service(echo());
    let (one, other) = (app(layer.clone()), app(layer));

    for app in [&one, &other, &one] {
        Polling::connect(app, "ann").await;
        Ws::connect(app, "bob").await;
    }
    settle().await;

    let told = heard
        .names()
        .iter()
        .filter(|name| **name == "account::unverified")
        .count();
    assert_eq!(told, 1);
}

#[tokio::test(start_paused = true)]
async fn that_accounts_are_claims_is_not_told_when_they_are_not() {
    let heard = Heard::default();
    let layer = layer()
        .account(|_: &_| "ann")
        .on_notice(heard.hear())
        .service(echo());

    Polling::connect_with(&app(layer), "").await;

    assert_eq!(heard.names(), ["connect"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_told() {
    let layer = layer().queue_limit(1024).service(echo());
    let handle = layer.handle();
    let mut notices = handle.notices();
    let app = app(layer);
    let _client = Polling::connect(&app, "ann").await;

    for _ in 0..2 {
        handle
            .try_send(To::Account("ann"), "news", ("x".repeat(700),))
            .unwrap();
    }

    let told = notice(&mut notices, "limit::queue").await;
    assert_eq!(told.user().unwrap().account(), "ann");
    assert_eq!(
        reason_of_the_end(&mut notices).await,
        CloseReason::QueueFull
    );
}

#[tokio::test(start_paused = true)]
async fn a_notice_can_be_kept_and_shows_no_message_in_debug() {
    let layer = layer().service(echo());
    let mut notices = layer.handle().notices();
    let app = app(layer);
    let mut client = Ws::connect(&app, "ann").await;
    client.send(&event("chat", json!(["a-secret"]))).await;
    assert_ne!(client.next().await, Incoming::End);

    let told = notice(&mut notices, "error::validation").await;
    let kept = told.clone();

    assert!(!format!("{kept:?}").contains("a-secret"), "{kept:?}");
}
