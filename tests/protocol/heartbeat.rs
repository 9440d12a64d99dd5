//! Pings, pongs and what silence means. Time passes for real here: a test knows how early a thing
//! may happen at most, and only the protocol says how late.

use std::time::Duration;

use primacron::{CloseReason, QueuePolicy, To};
use tokio::time::{Instant, sleep_until};

use crate::common::{Frame, Poller, RS, Server, TEXT, WS_PING, Ws, frame, within};

const INTERVAL: Duration = Duration::from_millis(300);

const TIMEOUT: Duration = Duration::from_millis(200);

/// A pong may take so long where its lateness is not the question.
const LONG: u64 = 60_000;

/// A timer this late tells of a machine that was busy with something else.
const PROMPT: Duration = Duration::from_millis(10);

/// T16.
#[tokio::test]
async fn polling_lives_by_its_pongs() {
    let asked = Instant::now();
    let server = Server::beating(300, LONG).await;
    let client = Poller::open(&server).await;

    for round in 1..=3 {
        client.poll(&server).await.assert(200, "2");
        assert!(asked.elapsed() >= INTERVAL * round);
        client.post(&server, "3").await.assert(200, "ok");
    }
}

/// T17.
#[tokio::test]
async fn polling_without_pongs_is_over_exactly_after_interval_and_timeout() {
    for _ in 0..10 {
        let server = Server::quick().await;
        let asked = Instant::now();
        let client = Poller::open(&server).await;
        let answered = Instant::now();

        // The server's ping is due when this is. A host that stalls gives its clients their time
        // back, so that only a try in which the timers ran can tell.
        sleep_until(answered + INTERVAL).await;
        let was_prompt = asked.elapsed() < INTERVAL + PROMPT;
        sleep_until(answered + INTERVAL + TIMEOUT).await;
        let answer = client.poll(&server).await;

        if was_prompt {
            answer.assert_error(400, 1);
            return;
        }
    }
}

/// T18.
#[tokio::test]
async fn a_websocket_lives_by_its_pongs() {
    let asked = Instant::now();
    let server = Server::beating(300, LONG).await;
    let mut ws = Ws::open(&server).await;

    for round in 1..=3 {
        assert_eq!(ws.text().await, "2");
        assert!(asked.elapsed() >= INTERVAL * round);
        ws.send("3").await;
    }
}

/// T19.
#[tokio::test]
async fn a_websocket_without_pongs_is_closed() {
    let asked = Instant::now();
    let mut server = Server::quick().await;
    let mut ws = Ws::open(&server).await;

    let closed = ws.closed().await;

    assert_eq!(closed, (vec![Frame::Text("2".into())], Some(1000)));
    assert!(asked.elapsed() >= INTERVAL + TIMEOUT);
    assert_eq!(server.disconnected().await, CloseReason::PingTimeout);
}

#[tokio::test]
async fn a_held_get_hears_that_the_time_is_over() {
    let mut server = Server::quick().await;
    let client = Poller::open(&server).await;

    client.poll(&server).await.assert(200, "2");
    client.poll(&server).await.assert(200, "1");

    assert_eq!(server.disconnected().await, CloseReason::PingTimeout);
    client.assert_gone(&server).await;
}

/// E38.
#[tokio::test]
async fn silence_without_any_get_is_noticed() {
    let mut server = Server::quick().await;
    let client = Poller::open(&server).await;

    assert_eq!(server.disconnected().await, CloseReason::PingTimeout);

    assert_eq!(server.handle.count(To::All), 0);
    client.assert_gone(&server).await;
}

/// E45.
#[tokio::test]
async fn unasked_pongs_bring_no_ping_forward() {
    let asked = Instant::now();
    let server = Server::beating(300, LONG).await;
    let mut ws = Ws::open(&server).await;

    for round in 1..=3 {
        for _ in 0..10 {
            ws.send("3").await;
        }
        assert_eq!(ws.text().await, "2");
        assert!(asked.elapsed() >= INTERVAL * round, "ping {round}");
        ws.send("3").await;
    }
}

/// E46.
#[tokio::test]
async fn a_websocket_ping_is_no_sign_of_life() {
    let mut server = Server::quick().await;
    let mut ws = Ws::open(&server).await;

    let ping = frame(true, WS_PING, b"");
    let code = within(async {
        loop {
            ws.try_bytes(&ping).await;
            match ws.next().await {
                Frame::Close(code) => return code,
                Frame::End => return None,
                _ => {}
            }
        }
    })
    .await;

    assert_eq!(code, Some(1000));
    assert_eq!(server.disconnected().await, CloseReason::PingTimeout);
}

/// E50.
#[tokio::test]
async fn a_pong_before_any_ping_answers_none() {
    let mut server = Server::quick().await;
    let mut ws = Ws::open(&server).await;

    ws.send("3").await;

    assert_eq!(
        ws.closed().await,
        (vec![Frame::Text("2".into())], Some(1000))
    );
    assert_eq!(server.disconnected().await, CloseReason::PingTimeout);
}

/// E50.
#[tokio::test]
async fn unasked_pongs_put_no_ping_off() {
    let server = Server::beating(300, LONG).await;
    let mut ws = Ws::open(&server).await;
    let unasked = [frame(true, TEXT, b"3"), frame(true, WS_PING, b"")].concat();

    let pinged = within(async {
        loop {
            ws.bytes(&unasked).await;
            match ws.next().await {
                Frame::Pong(_) => {}
                other => return other,
            }
        }
    });

    assert_eq!(pinged.await, Frame::Text("2".into()));
}

/// E51.
#[tokio::test]
async fn a_late_pong_brings_nobody_back() {
    let mut server = Server::quick().await;
    let client = Poller::open(&server).await;
    assert_eq!(server.disconnected().await, CloseReason::PingTimeout);

    client.post(&server, "3").await.assert_error(400, 1);

    client.assert_gone(&server).await;
    assert_eq!(server.handle.count(To::All), 0);
}

/// E52.
#[tokio::test]
async fn one_heartbeat_goes_on_during_and_after_an_upgrade() {
    let asked = Instant::now();
    let server = Server::beating(300, LONG).await;
    let client = Poller::open(&server).await;
    let mut ws = Ws::probed(&server, &client.sid).await;

    let first = loop {
        let packets = client.packets(&server, 1).await;
        if packets.iter().any(|packet| packet == "2") {
            break packets;
        }
        assert_eq!(packets, ["6"]);
    };
    assert!(asked.elapsed() >= INTERVAL, "{first:?}");
    client.post(&server, "3").await.assert(200, "ok");
    ws.send("5").await;

    for round in 2..=4 {
        assert_eq!(ws.text().await, "2");
        assert!(asked.elapsed() >= INTERVAL * round, "ping {round}");
        ws.send("3").await;
    }
}

/// E53.
#[tokio::test]
async fn a_write_that_is_stuck_does_not_stop_the_clock() {
    let mut server = Server::echo(|layer| {
        layer
            .ping_interval(INTERVAL)
            .ping_timeout(TIMEOUT)
            .queue_limit(1 << 20)
            .queue_policy(QueuePolicy::DropVolatile)
    })
    .await;
    let ws = Ws::narrow(&server).await;

    let text = "x".repeat(100_000);
    let handle = server.handle.clone();
    let flood = tokio::spawn(async move {
        while handle.count(To::All) > 0 {
            handle.try_send(To::All, "message", (&text,)).unwrap();
            tokio::task::yield_now().await;
        }
    });

    assert_eq!(server.disconnected().await, CloseReason::PingTimeout);
    within(flood).await.unwrap();
    drop(ws);
}

/// E54.
#[tokio::test]
async fn messages_in_place_of_a_pong_buy_one_more_timeout() {
    let asked = Instant::now();
    let (interval, timeout) = (Duration::from_millis(100), Duration::from_millis(500));
    let mut server = Server::beating(100, 500).await;
    let mut ws = Ws::open(&server).await;
    assert_eq!(ws.text().await, "2");

    let code = within(async {
        loop {
            ws.try_bytes(&frame(true, TEXT, b"4busy")).await;
            match ws.next().await {
                Frame::Close(code) => return code,
                Frame::End => return None,
                _ => {}
            }
        }
    })
    .await;

    assert_eq!(code, Some(1000));
    assert!(asked.elapsed() >= interval + timeout * 2);
    assert_eq!(server.disconnected().await, CloseReason::PingTimeout);
}

#[tokio::test]
async fn a_pong_among_messages_counts() {
    let asked = Instant::now();
    let server = Server::beating(300, LONG).await;
    let client = Poller::open(&server).await;
    client.poll(&server).await.assert(200, "2");

    client
        .post(&server, ["4a", "3", "4b"].join(RS))
        .await
        .assert(200, "ok");

    client.poll(&server).await.assert(200, "4a\x1e4b");
    client.poll(&server).await.assert(200, "2");
    assert!(asked.elapsed() >= INTERVAL * 2);
}
