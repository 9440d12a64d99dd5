//! From long polling to a websocket.

use std::time::Duration;

use primacron::To;
use serde_json::json;

use crate::common::{Heard, Poller, Request, Server, Ws, upgrade_request};

/// The request of a candidate, to be changed.
fn candidate_of(client: &Poller, eio: &str) -> Request {
    upgrade_request(&format!("EIO={eio}&transport=websocket&sid={}", client.sid))
}

/// T22.
#[tokio::test]
async fn probe_and_upgrade_packet_make_a_websocket_of_a_poller() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut ws = Ws::candidate(&server, &client.sid).await;

    ws.send("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    client.poll(&server).await.assert(200, "6");
    ws.send("5").await;
    ws.send("4hello").await;

    assert_eq!(ws.text().await, "4hello");
}

/// T23.
#[tokio::test]
async fn after_the_upgrade_polling_is_a_bad_request_and_does_no_harm() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut ws = Ws::probed(&server, &client.sid).await;
    ws.send("5").await;
    server.notice("upgrade").await;

    client.poll(&server).await.assert_error(400, 3);
    client.post(&server, "4a").await.assert_error(400, 3);

    ws.assert_alive().await;
    assert_eq!(server.heard_so_far(), [Heard::text("alive?")]);
}

/// T24.
#[tokio::test]
async fn a_websocket_after_the_upgrade_is_closed_and_the_first_goes_on() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut ws = Ws::probed(&server, &client.sid).await;
    ws.send("5").await;

    let mut second = Ws::candidate(&server, &client.sid).await;

    second.assert_closed(1000).await;
    ws.assert_alive().await;
}

/// E11.
#[tokio::test]
async fn a_reset_during_a_refused_upgrade_does_no_harm() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;

    for request in [
        upgrade_request("EIO=4&transport=websocket&sid=unknown"),
        upgrade_request("EIO=3&transport=websocket"),
        candidate_of(&client, "3"),
    ] {
        let http = request.begin(&server).await;
        http.stream.get_ref().set_zero_linger().unwrap();
    }

    client.assert_alive(&server).await;
}

/// E13.
#[tokio::test]
async fn without_its_upgrade_header_a_candidate_is_refused_and_polling_goes_on() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;

    let query = format!("EIO=4&transport=websocket&sid={}", client.sid);
    let stripped = Request::to_stream("GET", &query).header("connection", "close");

    stripped.send(&server).await.assert_error(400, 3);
    client.assert_alive(&server).await;
}

/// E16.
#[tokio::test]
async fn a_candidate_of_another_protocol_version_is_refused_before_it_is_one() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;

    for eio in ["3", "", "5"] {
        let refused = Ws::ask(&server, &candidate_of(&client, eio))
            .await
            .unwrap_err();
        refused.assert_error(400, 3);
    }

    client.assert_alive(&server).await;
    Ws::probed(&server, &client.sid).await;
}

#[tokio::test]
async fn a_handshake_that_is_no_websocket_is_refused() {
    let server = Server::calm().await;
    let query = "EIO=4&transport=websocket";
    let bare = |name: &str, value: &str| {
        Request::to_stream("GET", query)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header(name, value)
    };

    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    for request in [
        bare("sec-websocket-version", "13"),
        bare("sec-websocket-key", key),
        bare("sec-websocket-version", "12").header("sec-websocket-key", key),
        bare("sec-websocket-version", "13").header("sec-websocket-key", "c2hvcnQ="),
        bare("sec-websocket-version", "13").header("sec-websocket-key", "not base64, not at all.."),
    ] {
        let refused = Ws::ask(&server, &request).await.unwrap_err();
        refused.assert_error(400, 3);
    }
    assert_eq!(server.handle.count(To::All), 0);
}

#[tokio::test]
async fn the_offered_extensions_and_protocols_are_declined() {
    let server = Server::calm().await;
    let request = upgrade_request("EIO=4&transport=websocket")
        .header("sec-websocket-extensions", "permessage-deflate")
        .header("sec-websocket-protocol", "chat");

    let mut http = request.begin(&server).await;
    let answer = http.answer().await;

    assert_eq!(answer.status(), 101);
    assert_eq!(answer.header("sec-websocket-extensions"), None);
    assert_eq!(answer.header("sec-websocket-protocol"), None);
}

#[tokio::test]
async fn every_probe_is_answered() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut ws = Ws::probed(&server, &client.sid).await;

    for _ in 0..3 {
        ws.send("2probe").await;
        assert_eq!(ws.text().await, "3probe");
    }
}

#[tokio::test]
async fn an_upgrade_packet_without_a_probe_is_accepted() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut ws = Ws::candidate(&server, &client.sid).await;

    ws.send("5").await;

    ws.assert_alive().await;
}

#[tokio::test]
async fn anything_but_probe_and_upgrade_drops_the_candidate_alone() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;

    for packet in ["4x", "1", "2", "3", "6", "0", "abc", ""] {
        let mut ws = Ws::probed(&server, &client.sid).await;
        ws.send(packet).await;
        ws.assert_closed(1000).await;
    }

    client.assert_alive(&server).await;
    assert_eq!(server.heard_so_far(), [Heard::text("alive?")]);
    let mut ws = Ws::probed(&server, &client.sid).await;
    ws.send("5").await;
    ws.assert_alive().await;
}

#[tokio::test]
async fn polling_goes_on_while_a_candidate_is_probed() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let _ws = Ws::probed(&server, &client.sid).await;

    client.post(&server, "4a").await.assert(200, "ok");
    client.post(&server, "4b").await.assert(200, "ok");

    client.poll(&server).await.assert(200, "4a\x1e4b");
}

#[tokio::test]
async fn a_candidate_that_vanishes_leaves_polling_alone() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;

    drop(Ws::candidate(&server, &client.sid).await);
    client.assert_alive(&server).await;
    Ws::probed_at_last(&server, &client.sid).await.reset();
    client.assert_alive(&server).await;

    let mut ws = Ws::probed_at_last(&server, &client.sid).await;
    ws.send("5").await;
    ws.assert_alive().await;
}

/// E60.
#[tokio::test]
async fn of_two_candidates_the_second_is_closed() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut first = Ws::probed(&server, &client.sid).await;

    let mut second = Ws::candidate(&server, &client.sid).await;

    second.assert_closed(1000).await;
    first.send("5").await;
    first.assert_alive().await;
}

/// E61.
#[tokio::test]
async fn a_candidate_that_takes_too_long_is_closed_and_another_may_try() {
    let server = Server::echo(|layer| layer.upgrade_timeout(Duration::from_millis(200))).await;
    let client = Poller::open(&server).await;
    let mut ws = Ws::candidate(&server, &client.sid).await;

    ws.assert_closed(1000).await;

    client.assert_alive(&server).await;
    let mut another = Ws::candidate(&server, &client.sid).await;
    another.send("5").await;
    another.assert_alive().await;
}

/// E62.
#[tokio::test]
async fn every_get_during_a_probe_is_ended_by_a_noop() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut before = client.hold_poll(&server).await;

    let mut ws = Ws::probed(&server, &client.sid).await;

    before.answer().await.assert(200, "6");
    for _ in 0..3 {
        client.poll(&server).await.assert(200, "6");
    }
    ws.send("5").await;
    ws.assert_alive().await;
}

/// E62.
#[tokio::test]
async fn a_noop_is_for_a_pending_get_and_is_never_queued() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;

    let mut ws = Ws::probed(&server, &client.sid).await;
    ws.send("5").await;

    ws.assert_alive().await;
    assert_eq!(server.handle.queued_bytes(To::All), 0);
}

/// E63.
#[tokio::test]
async fn what_is_sent_during_the_upgrade_arrives_exactly_once_and_in_order() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut ws = Ws::probed(&server, &client.sid).await;
    let send = |from: usize, to: usize| {
        for number in from..to {
            server
                .handle
                .try_send(To::All, "message", (number.to_string(),))
                .unwrap();
        }
    };

    send(0, 10);
    let mut arrived = client.packets(&server, 1).await;
    send(10, 20);
    ws.send("5").await;
    send(20, 30);
    ws.send("4end").await;
    while arrived.last().map(String::as_str) != Some("4end") {
        arrived.push(ws.text().await);
    }
    arrived.retain(|packet| packet != "6" && packet != "4end");

    let expected: Vec<String> = (0..30).map(|number| format!("4{number}")).collect();
    assert_eq!(arrived, expected);
}

/// E63.
#[tokio::test]
async fn a_get_that_is_held_at_the_upgrade_takes_nothing_with_it() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut ws = Ws::candidate(&server, &client.sid).await;
    let mut poll = client.hold_poll(&server).await;

    ws.send("5").await;
    server.notice("upgrade").await;
    server
        .handle
        .try_send(To::All, "message", ("late",))
        .unwrap();

    poll.answer().await.assert(200, "6");
    assert_eq!(ws.text().await, "4late");
}

/// E64.
#[tokio::test]
async fn a_close_during_the_upgrade_closes_both() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut ws = Ws::probed(&server, &client.sid).await;

    server.handle.close(To::All, "enough").await;

    ws.assert_closed(1000).await;
    client.poll(&server).await.assert(200, "1");
    client.assert_gone(&server).await;
}

/// E64.
#[tokio::test]
async fn a_client_that_closes_during_the_upgrade_closes_both() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut ws = Ws::probed(&server, &client.sid).await;

    client.post(&server, "1").await.assert(200, "ok");

    ws.assert_closed(1000).await;
    client.poll(&server).await.assert(200, "6");
    client.assert_gone(&server).await;
}

/// E65.
#[tokio::test]
async fn a_get_that_is_aborted_before_the_upgrade_does_no_harm() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut ws = Ws::candidate(&server, &client.sid).await;
    let poll = client.hold_poll(&server).await;

    drop(poll);
    server.until_waiting(0).await;
    ws.send("5").await;

    ws.assert_alive().await;
}

/// E65.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_that_is_aborted_during_the_upgrade_does_no_harm() {
    for _ in 0..20 {
        let server = Server::calm().await;
        let client = Poller::open(&server).await;
        let mut ws = Ws::candidate(&server, &client.sid).await;
        let poll = client.hold_poll(&server).await;

        ws.send("5").await;
        drop(poll);

        ws.assert_alive().await;
        server.until_waiting(0).await;
        ws.assert_alive().await;
    }
}

/// E66.
#[tokio::test]
async fn where_upgrades_are_not_allowed_none_happens() {
    let server = Server::echo(|layer| layer.allow_upgrades(false)).await;
    let handshake = Request::handshake().send(&server).await;
    assert_eq!(handshake.open_packet()["upgrades"], json!([]));
    let client = Poller::of(&handshake);

    let mut ws = Ws::candidate(&server, &client.sid).await;

    ws.assert_closed(1000).await;
    client.assert_alive(&server).await;
    Ws::open(&server).await.assert_alive().await;
}

/// E67.
#[tokio::test]
async fn a_connection_that_began_as_a_websocket_takes_no_other() {
    let server = Server::calm().await;
    let mut ws = Ws::connect(&server).await;
    let open = ws.text().await;
    let open: serde_json::Value = serde_json::from_str(&open[1..]).unwrap();
    let sid = open["sid"].as_str().unwrap();

    let mut second = Ws::candidate(&server, sid).await;

    second.assert_closed(1000).await;
    let client = Poller {
        sid: sid.to_owned(),
    };
    client.poll(&server).await.assert_error(400, 3);
    ws.assert_alive().await;
}
