//! The end of a server, and its next life.

use std::time::Duration;

use primacron::{CloseReason, To};

use crate::common::{Frame, PATIENCE, Poller, Request, Server, Ws, upgrade_request, within};

/// E70.
#[tokio::test]
async fn draining_closes_everybody_in_every_state_and_lets_the_server_stop() {
    let mut server = Server::calm().await;
    let polling = Poller::open(&server).await;
    let mut poll = polling.hold_poll(&server).await;
    let upgrading = Poller::open(&server).await;
    let mut candidate = Ws::probed(&server, &upgrading.sid).await;
    let upgraded = Poller::open(&server).await;
    let mut upgraded = Ws::probed(&server, &upgraded.sid).await;
    upgraded.send("5").await;
    upgraded.assert_alive().await;
    let mut direct = Ws::open(&server).await;

    let drained = server.handle.clone();
    let drain = tokio::spawn(async move { drained.drain(PATIENCE / 5).await });

    poll.answer().await.assert(200, "1");
    candidate.assert_closed(1000).await;
    upgrading.poll(&server).await.assert(200, "1");
    upgraded.assert_closed(1001).await;
    direct.assert_closed(1001).await;
    drop((poll, candidate, upgraded, direct));
    within(drain).await.unwrap();
    for _ in 0..4 {
        assert_eq!(server.disconnected().await, CloseReason::Shutdown);
    }
    server.stop().await;
}

/// E70.
#[tokio::test]
async fn a_server_with_nobody_stops_at_once() {
    let server = Server::calm().await;

    within(server.handle.drain(Duration::from_secs(3600))).await;

    server.stop().await;
}

#[tokio::test]
async fn who_comes_while_the_server_drains_is_sent_elsewhere() {
    let server = Server::calm().await;
    server.handle.drain(Duration::ZERO).await;

    Request::handshake()
        .send(&server)
        .await
        .assert_error(503, 4);
    let upgrade = upgrade_request("EIO=4&transport=websocket");
    let refused = Ws::ask(&server, &upgrade).await.unwrap_err();

    refused.assert_error(503, 4);
    assert_eq!(server.handle.count(To::All), 0);
}

/// E71.
#[tokio::test]
async fn draining_sends_what_is_queued() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut ws = Ws::open(&server).await;
    server
        .handle
        .try_send(To::All, "message", ("last words",))
        .unwrap();

    let handle = server.handle.clone();
    let drain = tokio::spawn(async move { handle.drain(Duration::from_secs(1)).await });

    assert_eq!(ws.next().await, Frame::Text("4last words".into()));
    ws.assert_closed(1001).await;
    assert_eq!(client.packets(&server, 2).await, ["4last words", "1"]);
    drop(ws);
    within(drain).await.unwrap();
}

/// E72.
#[tokio::test]
async fn clients_come_back_to_a_server_that_was_restarted_on_its_port() {
    let server = Server::calm().await;
    let address = server.address;
    let client = Poller::open(&server).await;
    client.assert_alive(&server).await;
    server.handle.drain(Duration::ZERO).await;
    server.stop().await;

    let server = Server::echo_at(address).await;

    client.assert_gone(&server).await;
    Poller::open(&server).await.assert_alive(&server).await;
    Ws::open(&server).await.assert_alive().await;
}
