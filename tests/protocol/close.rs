//! How connections end, and what each side hears of it.

use primacron::{CloseReason, To};

use crate::common::{Frame, Heard, Poller, Server, Ws, frame, upgrade_request};

/// Goodbye, in the WebSocket protocol.
const WS_CLOSE: u8 = 8;

/// T20.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_that_races_with_the_clients_close_ends_with_a_noop() {
    for _ in 0..20 {
        let mut server = Server::calm().await;
        let client = Poller::open(&server).await;

        let (get, post) = tokio::join!(client.poll(&server), client.post(&server, "1"));

        get.assert(200, "6");
        post.assert(200, "ok");
        client.assert_gone(&server).await;
        assert_eq!(server.disconnected().await, CloseReason::TransportClose);
    }
}

/// T20, with the POST first.
#[tokio::test]
async fn a_get_that_comes_after_the_clients_close_ends_with_a_noop_once() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;

    client.post(&server, "1").await.assert(200, "ok");

    client.poll(&server).await.assert(200, "6");
    client.assert_gone(&server).await;
    client.post(&server, "4a").await.assert_error(400, 1);
}

/// T21.
#[tokio::test]
async fn a_close_packet_closes_a_websocket_at_once() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    ws.send("1").await;

    ws.assert_closed(1000).await;
    assert_eq!(server.disconnected().await, CloseReason::TransportClose);
}

#[tokio::test]
async fn what_stands_before_a_close_packet_is_handled_and_what_follows_is_not() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    let all: Vec<u8> = ["4a", "1", "4b"]
        .iter()
        .flat_map(|text| frame(true, 1, text.as_bytes()))
        .collect();
    ws.bytes(&all).await;

    assert_eq!(server.disconnected().await, CloseReason::TransportClose);
    assert_eq!(server.heard_so_far(), [Heard::text("a")]);
}

#[tokio::test]
async fn a_websocket_that_says_goodbye_gets_the_same_back() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    ws.bytes(&frame(true, WS_CLOSE, &1001_u16.to_be_bytes()))
        .await;

    let (before, code) = ws.closed().await;
    assert_eq!(before, []);
    assert!(code.is_some());
    assert_eq!(server.disconnected().await, CloseReason::TransportClose);
}

#[tokio::test]
async fn a_websocket_that_vanishes_is_noticed() {
    let mut server = Server::calm().await;

    drop(Ws::open(&server).await);
    assert_eq!(server.disconnected().await, CloseReason::TransportClose);
    Ws::open(&server).await.reset();
    assert_eq!(server.disconnected().await, CloseReason::TransportClose);

    assert_eq!(server.handle.count(To::All), 0);
}

#[tokio::test]
async fn a_held_get_hears_that_the_server_closes() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut poll = client.hold_poll(&server).await;

    let closed = server.handle.close(To::All, "enough").await;
    assert_eq!(closed.nodes[0].result, Ok(1));

    poll.answer().await.assert(200, "1");
    client.assert_gone(&server).await;
    assert_eq!(
        server.disconnected().await,
        CloseReason::Application("enough".into())
    );
}

/// E37.
#[tokio::test]
async fn the_next_get_hears_that_the_server_closed() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;

    server.handle.close(To::All, "enough").await;
    server.disconnected().await;

    client.post(&server, "4a").await.assert_error(400, 1);
    client.poll(&server).await.assert(200, "1");
    client.assert_gone(&server).await;
    assert_eq!(server.heard_so_far(), []);
}

/// E71.
#[tokio::test]
async fn what_is_queued_goes_out_before_the_server_closes() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut ws = Ws::open(&server).await;

    for text in ["a", "b"] {
        server.handle.try_send(To::All, "message", (text,)).unwrap();
    }
    let closed = server.handle.close(To::All, "enough").await;
    assert_eq!(closed.nodes[0].result, Ok(2));
    server.disconnected().await;
    server.disconnected().await;

    client.poll(&server).await.assert(200, "4a\x1e4b\x1e1");
    let queued = ["4a", "4b"].map(|text| Frame::Text(text.into()));
    assert_eq!(ws.closed().await, (queued.to_vec(), Some(1000)));
}

#[tokio::test]
async fn a_newer_connection_of_the_session_takes_the_place_of_the_older() {
    let mut server = Server::echo(|layer| layer.session_id(|_| Some("s".into()))).await;
    let client = Poller::open(&server).await;
    let mut poll = client.hold_poll(&server).await;

    let mut ws = Ws::open(&server).await;
    poll.answer().await.assert(200, "1");
    assert_eq!(server.disconnected().await, CloseReason::Superseded);
    let mut newest = Ws::open(&server).await;

    ws.assert_closed(1008).await;
    assert_eq!(server.disconnected().await, CloseReason::Superseded);
    newest.assert_alive().await;
    assert_eq!(server.handle.count(To::All), 1);
}

#[tokio::test]
async fn a_websocket_that_is_given_up_before_it_opens_leaves_nothing() {
    let server = Server::calm().await;

    for _ in 0..20 {
        let request = upgrade_request("EIO=4&transport=websocket");
        drop(request.begin(&server).await);
    }

    Ws::open(&server).await.assert_alive().await;
    crate::common::until(|| server.handle.count(To::All) == 0).await;
}
