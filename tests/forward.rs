//! How far a message for one session got, on a node of its own.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{convert::Infallible, future::ready, time::Duration};

use primacron::{
    Args, Handle, Handler, Message, Outcome, PrimacronLayer, QueuePolicy, Raw, Refused, SendError,
    To, User, Wait,
};
use serde_json::json;
use tokio::time::Instant;

use self::support::{App, Polling, Ws, app, is_stuck, serve, settle, soon};

const SECOND: Duration = Duration::from_secs(1);

/// More than a pipe of the tests holds.
const LARGE: usize = 4096;

fn layer() -> PrimacronLayer {
    PrimacronLayer::in_memory().validate("echo", |_: &Args, _: &User| true)
}

fn nothing() -> impl Handler + Clone + Sync {
    tower::service_fn(|_: Message| ready(Ok::<_, Infallible>(())))
}

fn node(layer: PrimacronLayer) -> (App, Handle) {
    let layer = layer.service(nothing());
    let handle = layer.handle();
    (app(layer), handle)
}

async fn forward(handle: &Handle, session: &str, text: &str, wait: Wait) -> Outcome {
    let forwarded = handle.forward("ann", session, "news", (text,), wait);
    soon(forwarded).await.unwrap()
}

/// A client that reads nothing, and a message that was begun and does not fit.
async fn stuffed(app: &App, handle: &Handle) -> Ws {
    let client = Ws::connect_with(app, "account=ann", 1024).await;
    let large = "x".repeat(LARGE);
    let wait = Wait::enqueued(SECOND);
    let outcome = forward(handle, &client.session, &large, wait).await;
    assert_eq!(outcome, Outcome::Enqueued);
    settle().await;
    client
}

#[tokio::test(start_paused = true)]
async fn nobody_is_there() {
    let (app, handle) = node(layer());
    let client = Ws::connect(&app, "bob").await;
    for wait in [Wait::enqueued(SECOND), Wait::written(SECOND)] {
        let outcome = forward(&handle, &client.session, "hello", wait).await;
        assert_eq!(outcome, Outcome::NoSession, "the session is not ann's");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_of_the_library_is_not_forwarded() {
    let (_app, handle) = node(layer());
    let wait = Wait::enqueued(SECOND);
    let refused = handle.forward("ann", "s", "error::json", (), wait).await;
    assert!(matches!(refused, Err(SendError::ReservedEvent)));
}

#[tokio::test]
async fn what_a_socket_took_is_written() {
    let (app, handle) = node(layer());
    let mut client = Ws::connect_tcp(serve(&app).await, "ann").await;
    soon(async {
        while handle.socket("ann", &client.session).is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let texts = ["a".repeat(10), "b".repeat(LARGE * 4)];
    for text in texts {
        let outcome = forward(&handle, &client.session, &text, Wait::written(SECOND * 60)).await;
        assert_eq!(outcome, Outcome::Written);
        let heard = soon(client.message()).await;
        assert_eq!(heard, json!({"event": "news", "args": [text]}));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_client_does_not_read_is_in_its_queue_and_written_when_it_does() {
    let (app, handle) = node(layer());
    let mut client = stuffed(&app, &handle).await;
    let session = client.session.clone();

    let start = Instant::now();
    let outcome = forward(&handle, &session, "late", Wait::written(5 * SECOND)).await;
    assert_eq!((outcome, start.elapsed()), (Outcome::Enqueued, 5 * SECOND));

    let written = forward(&handle, &session, "in time", Wait::written(5 * SECOND));
    tokio::pin!(written);
    assert!(is_stuck(&mut written).await);
    for _ in 0..3 {
        client.message().await;
    }
    assert_eq!(written.await, Outcome::Written);
}

#[tokio::test(start_paused = true)]
async fn each_of_many_is_written_as_soon_as_it_is_with_the_transport() {
    let (app, handle) = node(layer());
    let mut client = stuffed(&app, &handle).await;
    let session = client.session.clone();
    let large = "y".repeat(LARGE * 2);
    let first = forward(&handle, &session, "first", Wait::written(5 * SECOND));
    let second = forward(&handle, &session, &large, Wait::written(5 * SECOND));
    tokio::pin!(first, second);
    assert!(is_stuck(&mut first).await);
    assert!(is_stuck(&mut second).await);

    client.message().await;
    assert_eq!(client.message().await["args"][0], "first");

    assert!(!is_stuck(&mut first).await, "the other one is still begun");
    assert!(is_stuck(&mut second).await);
}

#[tokio::test(start_paused = true)]
async fn on_polling_it_is_written_when_a_poll_takes_it() {
    let (app, handle) = node(layer());
    let mut client = Polling::connect(&app, "ann").await;
    let session = client.session.clone();
    let written = forward(&handle, &session, "hello", Wait::written(5 * SECOND));
    tokio::pin!(written);
    assert!(is_stuck(&mut written).await);
    client.message().await;
    assert_eq!(written.await, Outcome::Written);

    let held = tokio::spawn(async move { client.message().await });
    settle().await;
    let outcome = forward(&handle, &session, "again", Wait::written(Duration::MAX)).await;
    assert_eq!(outcome, Outcome::Written, "a poll was waiting");
    assert_eq!(held.await.unwrap()["args"][0], "again");
}

#[tokio::test(start_paused = true)]
async fn what_waits_on_polling_is_written_by_the_websocket_that_takes_over() {
    let (app, handle) = node(layer());
    let client = Polling::connect(&app, "ann").await;
    let written = forward(&handle, &client.session, "hello", Wait::written(5 * SECOND));
    tokio::pin!(written);
    assert!(is_stuck(&mut written).await);
    let mut client = Ws::upgrade(&app, "ann", &client.sid).await;
    assert_eq!(client.message().await["args"][0], "hello");
    assert_eq!(written.await, Outcome::Written);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_begun_when_the_client_left_is_refused() {
    let (app, handle) = node(layer());
    let client = Polling::connect(&app, "ann").await;
    let session = client.session.clone();
    let waiting = forward(&handle, &session, "hello", Wait::written(5 * SECOND));
    tokio::pin!(waiting);
    assert!(is_stuck(&mut waiting).await);
    client.post("1").await;
    assert_eq!(waiting.await, Outcome::Refused(Refused::Closing));
    let outcome = forward(&handle, &session, "late", Wait::enqueued(SECOND)).await;
    assert_eq!(outcome, Outcome::NoSession);
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_when_the_client_left_nobody_knows() {
    let (app, handle) = node(layer());
    let client = Ws::connect_with(&app, "account=ann", 1024).await;
    let session = client.session.clone();
    let large = "x".repeat(LARGE);
    let begun = forward(&handle, &session, &large, Wait::written(5 * SECOND));
    let behind = forward(&handle, &session, "behind", Wait::written(5 * SECOND));
    tokio::pin!(begun, behind);
    assert!(is_stuck(&mut begun).await);
    assert!(is_stuck(&mut behind).await);
    drop(client);
    assert_eq!(begun.await, Outcome::Unknown);
    assert_eq!(behind.await, Outcome::Refused(Refused::Closing));
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_when_the_server_closes_is_written_all_the_same() {
    let (app, handle) = node(layer());
    let mut client = stuffed(&app, &handle).await;
    let session = client.session.clone();
    let written = forward(&handle, &session, "hello", Wait::written(5 * SECOND));
    tokio::pin!(written);
    assert!(is_stuck(&mut written).await);
    handle.close(To::All, "enough").await;
    let outcome = forward(&handle, &session, "late", Wait::enqueued(SECOND)).await;
    assert_eq!(outcome, Outcome::Refused(Refused::Closing));
    client.message().await;
    client.message().await;
    assert_eq!(written.await, Outcome::Written);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_treated_by_its_policy() {
    for policy in [QueuePolicy::Close, QueuePolicy::DropVolatile] {
        let (app, handle) = node(layer().queue_limit(1024).queue_policy(policy));
        let client = Polling::connect(&app, "ann").await;
        let text = "x".repeat(700);
        let outcomes = [
            forward(&handle, &client.session, &text, Wait::enqueued(SECOND)).await,
            forward(&handle, &client.session, &text, Wait::written(SECOND)).await,
        ];
        let full = Outcome::Refused(Refused::QueueFull);
        assert_eq!(outcomes, [Outcome::Enqueued, full]);
        settle().await;
        let stays = policy == QueuePolicy::DropVolatile;
        assert_eq!(handle.count(To::All) == 1, stays, "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_polling_cannot_carry_is_refused() {
    let layer = PrimacronLayer::in_memory().codec(Raw);
    let (app, handle) = node(layer);
    let client = Polling::connect(&app, "ann").await;
    let text = Args::text("one\u{1e}4two");
    let wait = Wait::written(SECOND);
    let forwarded = handle.forward("ann", &client.session, "message", text, wait);
    let unsendable = Outcome::Refused(Refused::Unsendable);
    assert_eq!(forwarded.await.unwrap(), unsendable);
}
