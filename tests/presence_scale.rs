//! A node with many sessions writes them all again.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]
#![cfg(feature = "redis")]

mod support_redis;

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use deadpool_redis::{Config, Runtime};
use futures_util::stream::{self, StreamExt};
use http::{Request, StatusCode};
use primacron::{Find, Handle, Message, PrimacronLayer};
use serde_json::Value;
use tokio::time::{Instant, interval};
use tower::ServiceExt;

use self::support_redis::{Redis, until};

const SESSIONS: usize = 100_000;

/// Sessions of an account.
const EACH: usize = 2;

/// How soon they are promised to be found again, which is reported.
const PROMISED: Duration = Duration::from_secs(5);

/// When a machine that is only slow counts as failed.
const TOO_SLOW: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_sessions_are_found_again_after_a_flush() {
    let redis = Redis::start().await;
    let (_, observer) = node(&redis);
    let (app, home) = node(&redis);
    until_synced(&home).await;
    until_synced(&observer).await;
    let start = Instant::now();
    let sessions = connect(&app).await;
    println!("{SESSIONS} sessions connected in {:?}", start.elapsed());
    assert_all_are_found(&observer, &home, &sessions).await;

    redis.flush().await;
    let flushed = Instant::now();
    let (account, session) = &sessions[SESSIONS / 2];
    let mut look = interval(Duration::from_millis(1));
    let mut lost = 0;
    while home.presence_state().name() == "synced" || !is_found(&observer, account, session).await {
        look.tick().await;
        lost += 1;
        assert!(flushed.elapsed() < TOO_SLOW, "looked {lost} times");
    }
    until_synced(&home).await;
    let written = flushed.elapsed();
    assert_all_are_found(&observer, &home, &sessions).await;

    println!("{SESSIONS} sessions: written again after {written:?}, promised are {PROMISED:?}");
    assert!(written < TOO_SLOW);
}

fn node(redis: &Redis) -> (Router, Handle) {
    let config = Config::from_url(redis.url());
    let pool = config
        .create_pool(Some(Runtime::Tokio1))
        .expect("an address");
    let layer = PrimacronLayer::new(pool)
        .namespace("scale")
        .ping_interval(Duration::from_secs(3_600))
        .service(tower::service_fn(|_: Message| {
            ready(Ok::<_, Infallible>(()))
        }));
    let handle = layer.handle();
    (Router::new().layer(layer), handle)
}

/// Handshakes on polling: connections without a socket.
async fn connect(app: &Router) -> Vec<(String, String)> {
    let connect = async |number: usize| {
        let account = format!("account-{}", number / EACH);
        let uri = format!("/stream/?EIO=4&transport=polling&account={account}");
        let request = Request::get(uri).body(Body::empty()).expect("a request");
        let response = app.clone().oneshot(request).await.expect("never fails");
        assert_eq!(response.status(), StatusCode::OK);
        let body = axum::body::to_bytes(response.into_body(), 1_024)
            .await
            .expect("a body");
        let open: Value = serde_json::from_slice(&body[1..]).expect("an open packet");
        let session = open["session"].as_str().expect("a session");
        (account, session.to_owned())
    };
    let connecting = stream::iter((0..SESSIONS).map(connect));
    connecting.buffer_unordered(512).collect().await
}

async fn assert_all_are_found(observer: &Handle, home: &Handle, sessions: &[(String, String)]) {
    let found = Find::Found(home.node_id().into());
    let finds = sessions.iter().map(async |(account, session)| {
        until("an account is found", async || {
            let find = observer.find(account, session).await;
            assert_ne!(find, Find::NotFound, "{account}");
            (find == found).then_some(())
        })
        .await;
    });
    stream::iter(finds)
        .buffer_unordered(256)
        .collect::<()>()
        .await;
}

async fn is_found(observer: &Handle, account: &str, session: &str) -> bool {
    let find = observer.find(account, session).await;
    assert_ne!(find, Find::NotFound, "{account}");
    find != Find::Uncertain
}

async fn until_synced(node: &Handle) {
    until("presence is synced", async || {
        (node.presence_state().name() == "synced").then_some(())
    })
    .await;
}
