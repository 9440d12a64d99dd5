//! The way from the program to everybody who is connected.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{convert::Infallible, future::ready, time::Duration};

use http::{StatusCode, request::Parts};
use primacron::{
    Args, CloseReason, Handle, Handler, Message, Notice, Notices, PrimacronLayer, QueuePolicy,
    SendError, To, User,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use self::support::{App, Counter, Polling, Ws, app, get, is_stuck, notice, settle, soon, tasks};

const SECOND: Duration = Duration::from_secs(1);

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

/// The session id is what the query says.
fn chosen(parts: &Parts) -> Option<String> {
    let (_, session) = parts.uri.query()?.split_once("session=")?;
    Some(session.to_owned())
}

fn news(n: u32) -> Value {
    json!({"event": "news", "args": [n]})
}

async fn reason(notices: &mut Notices) -> CloseReason {
    match notice(notices, "disconnect").await {
        Notice::Disconnect { reason, .. } => reason,
        _ => unreachable!(),
    }
}

#[tokio::test(start_paused = true)]
async fn events_reach_a_session_an_account_or_everybody() {
    let (app, handle) = node(layer());
    let mut one = Ws::connect(&app, "ann").await;
    let mut two = Polling::connect(&app, "ann").await;
    let mut bob = Ws::connect(&app, "bob").await;
    settle().await;

    let session = To::session("ann", &two.session);
    assert_eq!(handle.try_send(session, "news", (1,)).unwrap().queued, 1);
    assert_eq!(
        handle
            .send(To::Account("ann"), "news", (2,))
            .await
            .unwrap()
            .queued,
        2
    );
    assert_eq!(handle.send(To::All, "news", (3,)).await.unwrap().queued, 3);
    assert_eq!(
        handle
            .try_send(To::Account("carl"), "news", (4,))
            .unwrap()
            .queued,
        0
    );
    assert_eq!(
        handle
            .try_send(To::session("bob", &one.session), "news", (5,))
            .unwrap()
            .queued,
        0
    );

    for n in [2, 3] {
        assert_eq!(one.message().await, news(n));
    }
    for n in [1, 2, 3] {
        assert_eq!(two.message().await, news(n));
    }
    assert_eq!(bob.message().await, news(3));
    assert!(is_stuck(bob.message()).await);
}

#[tokio::test(start_paused = true)]
async fn counts_and_users_follow_those_who_come_and_go() {
    let (app, handle) = node(layer());
    assert_eq!(handle.count(To::All), 0);

    let one = Ws::connect(&app, "ann").await;
    let mut two = Ws::connect(&app, "ann").await;
    let bob = Polling::connect(&app, "bob").await;
    settle().await;

    let counts = [To::All, To::Account("ann"), To::Account("bob")].map(|to| handle.count(to));
    assert_eq!(counts, [3, 2, 1]);
    assert_eq!(handle.count(To::session("ann", &one.session)), 1);
    assert_eq!(handle.count(To::session("ann", &bob.session)), 0);
    let mut sids: Vec<String> = handle
        .users(To::Account("ann"))
        .iter()
        .map(|user| user.sid().to_owned())
        .collect();
    sids.sort();
    let mut expected = [one.sid.clone(), two.sid.clone()];
    expected.sort();
    assert_eq!(sids, expected);
    assert_eq!(handle.users(To::All).len(), 3);

    two.send_packet("1").await;
    bob.post("1").await;
    drop(one);
    settle().await;
    assert_eq!((handle.count(To::All), handle.users(To::All).len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_socket_is_found_by_its_session_and_ends_with_it() {
    let (app, handle) = node(layer());
    let mut client = Ws::connect(&app, "ann").await;
    let socket = handle
        .socket("ann", &client.session)
        .expect("ann is connected");
    assert!(handle.socket("bob", &client.session).is_none());

    socket.try_send("news", (1,)).unwrap();
    socket.try_send_volatile("news", (2,)).unwrap();
    socket.send("news", (3,)).await.unwrap();
    for n in [1, 2, 3] {
        assert_eq!(client.message().await, news(n));
    }

    assert!(socket.is_open());
    socket.close("enough");
    assert!(!socket.is_open());
    assert!(matches!(
        socket.try_send("news", (4,)),
        Err(SendError::Closed)
    ));
    assert!(matches!(
        socket.send("news", (4,)).await,
        Err(SendError::Closed)
    ));
    assert_eq!(client.until_closed().await, Some(1000));
    assert!(handle.socket("ann", &client.session).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_depth_of_queues_is_visible() {
    let (app, handle) = node(layer());
    let mut client = Polling::connect(&app, "ann").await;
    let _other = Polling::connect(&app, "bob").await;
    assert_eq!(handle.queued_bytes(To::All), 0);

    handle
        .try_send(To::Account("ann"), "news", ("x".repeat(1000),))
        .unwrap();
    let one = handle.queued_bytes(To::Account("ann"));
    assert!((1000..1100).contains(&one), "{one}");
    handle
        .try_send(To::All, "news", ("x".repeat(1000),))
        .unwrap();
    assert_eq!(handle.queued_bytes(To::Account("ann")), 2 * one);
    assert_eq!(handle.queued_bytes(To::Account("bob")), one);
    assert_eq!(handle.queued_bytes(To::All), 3 * one);
    let socket = handle.socket("ann", &client.session).unwrap();
    assert_eq!(socket.queued_bytes(), 2 * one);

    client.message().await;
    assert_eq!(
        handle.queued_bytes(To::Account("ann")),
        0,
        "one GET takes it all"
    );
}

#[tokio::test(start_paused = true)]
async fn close_tells_how_many_and_why_after_what_is_queued() {
    let (app, handle) = node(layer());
    let mut notices = handle.notices();
    let mut one = Ws::connect(&app, "ann").await;
    let mut two = Polling::connect(&app, "ann").await;
    let _bob = Ws::connect(&app, "bob").await;
    settle().await;

    handle.try_send(To::Account("ann"), "news", (1,)).unwrap();
    let closed = handle.close(To::Account("ann"), "signed out").await;
    assert_eq!(closed.nodes[0].result, Ok(2));

    for _ in 0..2 {
        assert_eq!(
            reason(&mut notices).await,
            CloseReason::Application("signed out".into())
        );
    }
    assert_eq!(one.message().await, news(1));
    assert_eq!(one.until_closed().await, Some(1000));
    assert_eq!(two.message().await, news(1));
    assert_eq!(two.packet().await, "1");
    assert_eq!(two.poll_once().await.0, StatusCode::BAD_REQUEST);
    assert_eq!(handle.count(To::All), 1, "bob stays");
}

#[tokio::test(start_paused = true)]
async fn send_goes_on_when_the_client_reads() {
    let (app, handle) = node(layer().queue_limit(1024));
    let mut client = Polling::connect(&app, "ann").await;
    let other = Polling::connect(&app, "bob").await;
    let large = ("x".repeat(700),);
    assert_eq!(
        handle
            .send(To::Account("ann"), "news", large.clone())
            .await
            .unwrap()
            .queued,
        1
    );

    let waiting = handle.send(To::All, "news", large);
    tokio::pin!(waiting);
    assert!(is_stuck(&mut waiting).await, "ann does not read");
    assert!(
        other.poll_once().await.1.len() > 700,
        "nobody waits for somebody else"
    );

    client.message().await;
    let sent = waiting.await.unwrap();
    assert_eq!((sent.queued, sent.refused), (2, 0));
    client.message().await;
}

#[tokio::test(start_paused = true)]
async fn send_goes_on_when_a_websocket_takes_bytes_again() {
    let (app, handle) = node(layer().queue_limit(4096));
    let mut client = Ws::connect_with(&app, "account=ann", 1024).await;
    let socket = handle.socket("ann", &client.session).unwrap();
    let sending = tokio::spawn(async move {
        for n in 0..50 {
            socket.send("news", (n, "x".repeat(1000))).await.unwrap();
        }
    });
    settle().await;
    assert!(!sending.is_finished());
    assert!(handle.queued_bytes(To::All) <= 4096, "the limit holds");

    for n in 0..50 {
        assert_eq!(client.message().await["args"][0], n);
    }
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_to_send_hears_that_the_connection_closed() {
    let (app, handle) = node(layer().queue_limit(1024));
    let client = Polling::connect(&app, "ann").await;
    let socket = handle.socket("ann", &client.session).unwrap();
    socket.send("news", ("x".repeat(700),)).await.unwrap();

    let waiting = socket.send("news", ("x".repeat(700),));
    tokio::pin!(waiting);
    assert!(is_stuck(&mut waiting).await);
    handle.close(To::All, "enough").await;

    assert!(matches!(waiting.await, Err(SendError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_closes_by_default() {
    let (app, handle) = node(layer().queue_limit(1024));
    let mut notices = handle.notices();
    let client = Polling::connect(&app, "ann").await;
    let socket = handle.socket("ann", &client.session).unwrap();
    let large = || ("x".repeat(700),);

    socket.try_send("news", large()).unwrap();
    assert!(matches!(
        socket.try_send_volatile("news", large()),
        Err(SendError::Full)
    ));
    assert!(socket.is_open(), "what is volatile closes nobody");

    let sent = handle.try_send(To::All, "news", large()).unwrap();
    assert_eq!((sent.queued, sent.refused), (0, 1));
    assert_eq!(reason(&mut notices).await, CloseReason::QueueFull);
}

#[tokio::test(start_paused = true)]
async fn what_is_volatile_goes_first_and_then_the_message() {
    let layer = layer()
        .queue_limit(1024)
        .queue_policy(QueuePolicy::DropVolatile);
    let (app, handle) = node(layer);
    let mut notices = handle.notices();
    let mut client = Polling::connect(&app, "ann").await;
    let socket = handle.socket("ann", &client.session).unwrap();
    let padding = "x".repeat(400);

    socket.try_send("news", (1, &padding)).unwrap();
    socket.try_send_volatile("news", (2, &padding)).unwrap();
    socket.try_send("news", (3, &padding)).unwrap();
    assert!(matches!(
        socket.try_send("news", (4, &padding)),
        Err(SendError::Full)
    ));
    assert!(socket.is_open());
    notice(&mut notices, "limit::queue").await;

    assert_eq!(client.message().await["args"][0], 1);
    assert_eq!(
        client.message().await["args"][0],
        3,
        "the volatile one made room"
    );
    socket.try_send("news", (5, &padding)).unwrap();
    assert_eq!(
        client.message().await["args"][0],
        5,
        "and the connection lives on"
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_larger_than_the_queue_is_refused() {
    let (app, handle) = node(layer().queue_limit(1024));
    let client = Polling::connect(&app, "ann").await;
    let socket = handle.socket("ann", &client.session).unwrap();
    let large = || ("x".repeat(2000),);

    assert!(matches!(
        socket.try_send("news", large()),
        Err(SendError::TooLarge)
    ));
    assert!(matches!(
        socket.send("news", large()).await,
        Err(SendError::TooLarge)
    ));
    assert_eq!(
        handle.try_send(To::All, "news", large()).unwrap().refused,
        1
    );
    assert_eq!(
        handle.send(To::All, "news", large()).await.unwrap().refused,
        1
    );
    assert!(socket.is_open());
}

#[tokio::test(start_paused = true)]
async fn reserved_names_and_what_cannot_be_encoded_are_errors_even_if_nobody_is_there() {
    let (app, handle) = node(layer());
    let impossible = || (std::collections::HashMap::from([((1, 2), 3)]),);
    let reserved = |sent| matches!(sent, Err(SendError::ReservedEvent));
    assert!(reserved(handle.try_send(To::All, "error::mine", ())));
    assert!(reserved(handle.send(To::All, "error::mine", ()).await));

    let _client = Polling::connect(&app, "ann").await;

    assert!(reserved(handle.try_send(To::All, "error::mine", ())));
    assert!(matches!(
        handle.try_send(To::All, "e", impossible()),
        Err(SendError::Encode(_))
    ));
    assert!(matches!(
        handle.send(To::All, "e", impossible()).await,
        Err(SendError::Encode(_))
    ));
    assert_eq!(handle.queued_bytes(To::All), 0);
}

#[tokio::test(start_paused = true)]
async fn a_newer_connection_of_a_session_takes_the_place_of_the_older() {
    let (app, handle) = node(layer().session_id(chosen));
    let mut notices = handle.notices();
    let mut older = Ws::connect_with(&app, "account=ann&session=s", 1024).await;
    let _bob = Polling::connect_with(&app, "account=bob&session=s").await;

    let mut newer = Polling::connect_with(&app, "account=ann&session=s").await;

    assert_eq!(reason(&mut notices).await, CloseReason::Superseded);
    assert_eq!(older.until_closed().await, Some(1008));
    settle().await;
    assert_eq!(handle.count(To::Account("ann")), 1);
    assert_eq!(
        handle.count(To::All),
        2,
        "the same session of another account is another"
    );
    handle
        .try_send(To::session("ann", "s"), "news", (1,))
        .unwrap();
    assert_eq!(newer.message().await, news(1));

    let mut newest = Ws::connect_with(&app, "account=ann&session=s", 1024).await;
    assert_eq!(reason(&mut notices).await, CloseReason::Superseded);
    assert_eq!(newer.packet().await, "1");
    handle
        .try_send(To::session("ann", "s"), "news", (2,))
        .unwrap();
    assert_eq!(newest.message().await, news(2));
}

#[tokio::test(start_paused = true)]
async fn a_session_id_that_is_none_is_refused() {
    let (app, handle) = node(layer().session_id(chosen));

    for session in ["", "&session=", &format!("&session={}", "x".repeat(257))] {
        let uri = format!("/stream/?EIO=4&transport=polling&account=ann{session}");
        assert_eq!(
            get(&app, &uri).await.0,
            StatusCode::BAD_REQUEST,
            "{session}"
        );
    }
    assert_eq!(handle.count(To::All), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_refuses_new_clients_and_lets_go_of_all_within_its_window() {
    let before = tasks();
    let (app, handle) = node(layer());
    let mut notices = handle.notices();
    let mut sockets = Vec::new();
    for n in 0..5 {
        sockets.push(Ws::connect(&app, &format!("ws-{n}")).await);
    }
    let mut held = Vec::new();
    for n in 0..5 {
        let mut client = Polling::connect(&app, &format!("polling-{n}")).await;
        held.push(tokio::spawn(async move { client.packet().await }));
    }
    settle().await;
    let start = Instant::now();

    let drain = tokio::spawn({
        let handle = handle.clone();
        async move { handle.drain(10 * SECOND).await }
    });
    settle().await;
    let (status, body) = get(&app, "/stream/?EIO=4&transport=polling&account=eve").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert_eq!(
        get(&app, "/").await.1,
        "inner",
        "others are served all the same"
    );

    let mut times = Vec::new();
    for _ in 0..10 {
        assert_eq!(reason(&mut notices).await, CloseReason::Shutdown);
        times.push(start.elapsed().as_millis() / 750);
    }
    assert_eq!(
        times,
        (0..10).collect::<Vec<_>>(),
        "spread over three quarters of the window"
    );
    for mut socket in sockets {
        assert_eq!(socket.until_closed().await, Some(1001));
    }
    for client in held {
        assert_eq!(client.await.unwrap(), "1");
    }
    drain.await.unwrap();
    assert!(start.elapsed() < 10 * SECOND, "ready when all are gone");
    assert_eq!(handle.count(To::All), 0);
    settle().await;
    assert_eq!(tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn a_drain_sends_what_is_queued() {
    let (app, handle) = node(layer());
    let mut client = Ws::connect_with(&app, "account=ann", 1024).await;
    for n in 0..20 {
        handle
            .try_send(To::All, "news", (n, "x".repeat(1000)))
            .unwrap();
    }

    let drain = tokio::spawn(async move { handle.drain(10 * SECOND).await });
    settle().await;

    for n in 0..20 {
        assert_eq!(client.message().await["args"][0], n);
    }
    assert_eq!(client.until_closed().await, Some(1001));
    drop(client);
    drain.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_longer_than_its_window() {
    let (app, handle) = node(layer());
    let _gone = Polling::connect(&app, "ann").await;
    let start = Instant::now();

    handle.drain(2 * SECOND).await;

    assert_eq!(start.elapsed(), 2 * SECOND);
    assert_eq!(handle.count(To::All), 0);
}

#[tokio::test(start_paused = true)]
async fn an_empty_node_drains_at_once() {
    let (_app, handle) = node(layer());
    let start = Instant::now();

    handle.drain(10 * SECOND).await;

    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_was_being_asked_for_its_account_when_the_drain_began_is_refused() {
    let layer = layer().account(|_: &Parts| async {
        sleep(SECOND).await;
        "ann"
    });
    let (app, handle) = node(layer);
    let asking = tokio::spawn({
        let app = app.clone();
        async move { get(&app, "/stream/?EIO=4&transport=polling").await.0 }
    });
    settle().await;

    handle.drain(10 * SECOND).await;

    assert_eq!(asking.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(handle.count(To::All), 0);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_is_through_only_after_the_drain_is_closed() {
    use tokio::io::AsyncWriteExt;

    let (app, handle) = node(layer());
    // The answer does not fit: the server is not through before somebody reads.
    let mut io = Ws::dial(&app, 64);
    let request = "GET /stream/?EIO=4&transport=websocket&account=ann HTTP/1.1\r\nHost: a\r\n\
                   Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    io.write_all(request.as_bytes()).await.unwrap();
    settle().await;
    handle.drain(SECOND).await;

    let mut answer = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut io, &mut answer);
    assert!(!is_stuck(read).await, "the server closes");
    settle().await;
    assert_eq!(handle.count(To::All), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_ends_with_the_last_of_its_layers_services_and_handles() {
    let before = tasks();
    let layer = layer().service(nothing());
    let handle = layer.handle();
    let mut notices = handle.notices();
    let one = app(layer.clone());
    let two = app(layer);
    let mut client = Ws::connect(&one, "ann").await;
    settle().await;

    drop(one);
    drop(two);
    assert!(is_stuck(client.next()).await, "a handle is left");
    drop(handle);

    assert_eq!(reason(&mut notices).await, CloseReason::Shutdown);
    assert_eq!(client.until_closed().await, Some(1001));
    drop(client);
    assert!(notices.next().await.is_none());
    settle().await;
    assert_eq!(tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_is_through_only_after_the_node_has_ended_is_closed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let before = tasks();
    let (app, handle) = node(layer());
    let mut io = Ws::dial(&app, 64);
    let request = "GET /stream/?EIO=4&transport=websocket&account=ann HTTP/1.1\r\nHost: a\r\n\
                   Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    io.write_all(request.as_bytes()).await.unwrap();
    settle().await;
    drop((app, handle));

    let mut answer = Vec::new();
    assert!(
        !is_stuck(io.read_to_end(&mut answer)).await,
        "the server closes"
    );
    drop(io);
    settle().await;
    assert_eq!(tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn a_layer_built_outside_of_a_runtime_works_inside() {
    let layer = std::thread::spawn(|| layer().service(nothing()))
        .join()
        .unwrap();
    let handle = layer.handle();
    let app = app(layer);

    let mut client = Ws::connect(&app, "ann").await;
    handle.send(To::All, "news", (1,)).await.unwrap();

    assert_eq!(client.message().await, news(1));
    assert_eq!(handle.node_id().len(), 22);
    assert_ne!(handle.node_id(), node(self::layer()).1.node_id());
}

#[tokio::test(start_paused = true)]
async fn a_message_for_all_is_serialized_once() {
    struct Counted(Counter);
    impl serde::Serialize for Counted {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u64(self.0.raise() as u64)
        }
    }
    let (app, handle) = node(layer());
    let mut socket = Ws::connect(&app, "ann").await;
    let mut polling = Polling::connect(&app, "bob").await;
    let _third = Polling::connect(&app, "bob").await;
    settle().await;

    let sent = handle
        .try_send(To::All, "news", (Counted(Counter::default()),))
        .unwrap();

    assert_eq!(sent.queued, 3);
    assert_eq!(socket.message().await, news(1));
    assert_eq!(polling.message().await, news(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_senders_on_many_threads_lose_nothing() {
    const SENDERS: u32 = 4;
    const MESSAGES: u32 = 500;
    let (app, handle) = node(layer().queue_limit(2048));
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut socket = Ws::connect_with(&app, "account=ann", 512).await;
        readers.push(tokio::spawn(async move {
            let mut next = [0; SENDERS as usize];
            for _ in 0..SENDERS * MESSAGES {
                in_order(&mut next, &soon(socket.message()).await);
            }
            drop(socket);
        }));
        let mut polling = Polling::connect(&app, "ann").await;
        readers.push(tokio::spawn(async move {
            let mut next = [0; SENDERS as usize];
            for _ in 0..SENDERS * MESSAGES {
                in_order(&mut next, &soon(polling.message()).await);
            }
        }));
    }
    soon(async {
        while handle.count(To::All) < 8 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    for sender in 0..SENDERS {
        let handle = handle.clone();
        tokio::spawn(async move {
            for n in 0..MESSAGES {
                let sent = handle.send(To::Account("ann"), "news", (sender, n, "x".repeat(200)));
                assert_eq!(soon(sent).await.unwrap().queued, 8);
            }
        });
    }

    for reader in readers {
        reader.await.unwrap();
    }
}

/// What one sender sent arrives in its order.
#[track_caller]
fn in_order(next: &mut [u64], message: &Value) {
    let sender = message["args"][0].as_u64().unwrap() as usize;
    assert_eq!(message["args"][1], next[sender]);
    next[sender] += 1;
}
