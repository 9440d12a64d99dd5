//! Messages over long polling, and what closes a connection there.

use primacron::{CloseReason, DecodeError, To};

use crate::common::{Heard, Http, Poller, RS, Request, Server, within};

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend(bytes);
    chunk.extend(b"\r\n");
    chunk
}

/// The head of a POST in chunks.
fn chunked(client: &Poller) -> Vec<u8> {
    client
        .request("POST")
        .header("transfer-encoding", "chunked")
        .bytes()
}

/// T8.
#[tokio::test]
async fn a_posted_message_is_answered_ok_and_echoed_by_the_next_get() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;

    let posted = client.post(&server, "4hello").await;

    posted.assert(200, "ok");
    assert_eq!(posted.header("content-length"), Some("2"));
    client.poll(&server).await.assert(200, "4hello");
}

/// T9.
#[tokio::test]
async fn three_packets_come_back_in_one_body_in_order() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;

    client
        .post(&server, "4test1\x1e4test2\x1e4test3")
        .await
        .assert(200, "ok");

    client
        .poll(&server)
        .await
        .assert(200, "4test1\x1e4test2\x1e4test3");
}

/// T10.
#[tokio::test]
async fn text_stays_text_and_binary_stays_binary() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;

    client
        .post(&server, "4hello\x1ebAQIDBA==")
        .await
        .assert(200, "ok");

    client
        .poll(&server)
        .await
        .assert(200, "4hello\x1ebAQIDBA==");
    assert_eq!(server.heard().await, Heard::text("hello"));
    assert_eq!(server.heard().await, Heard::Binary(vec![1, 2, 3, 4]));
}

/// T11.
#[tokio::test]
async fn a_body_that_is_no_packet_is_a_bad_request_and_closes() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;

    client.post(&server, "abc").await.assert_error(400, 3);

    client.assert_gone(&server).await;
    let malformed = CloseReason::Malformed(DecodeError::UnknownType(b'a'));
    assert_eq!(server.disconnected().await, malformed);
}

/// T12, E31.
#[tokio::test]
async fn a_second_get_closes_and_the_first_hears_so() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut first = client.hold_poll(&server).await;

    let second = client.poll(&server).await;

    first.answer().await.assert(200, "1");
    second.assert_error(400, 3);
    client.assert_gone(&server).await;
    let overlap = CloseReason::TransportError("overlap from client");
    assert_eq!(server.disconnected().await, overlap);
}

/// E16.
#[tokio::test]
async fn later_requests_speak_the_same_protocol_version() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;

    for eio in ["EIO=3&", "", "EIO=5&"] {
        let query = format!("{eio}transport=polling&sid={}", client.sid);
        Request::to_stream("GET", &query)
            .send(&server)
            .await
            .assert_error(400, 3);
        let post = Request::to_stream("POST", &query).body("4a");
        post.send(&server).await.assert_error(400, 3);
    }

    client.assert_alive(&server).await;
}

/// E20.
#[tokio::test]
async fn a_body_in_chunks_is_put_together_even_inside_a_character() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;
    let body = "4h\u{e9}llo \u{1f600}\x1e4b".as_bytes();

    let mut post = Http::connect(&server).await;
    post.send(chunked(&client)).await;
    for byte in body {
        post.send(chunk(&[*byte])).await;
    }
    post.send(chunk(b"")).await;

    post.answer().await.assert(200, "ok");
    assert_eq!(server.heard().await, Heard::text("h\u{e9}llo \u{1f600}"));
    assert_eq!(server.heard().await, Heard::text("b"));
}

/// E20.
#[tokio::test]
async fn a_body_in_many_segments_is_put_together() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;
    let request = client.request("POST").body("4h\u{e9}llo").bytes();

    let mut post = Http::connect(&server).await;
    for byte in request {
        post.send([byte]).await;
        tokio::task::yield_now().await;
    }

    post.answer().await.assert(200, "ok");
    assert_eq!(server.heard().await, Heard::text("h\u{e9}llo"));
}

/// E21.
#[tokio::test]
async fn the_limit_counts_bytes_and_one_more_is_too_large_for_the_request_alone() {
    let mut server = Server::echo(|layer| layer.max_payload(100)).await;
    let client = Poller::open(&server).await;
    let fits = format!("4{}\x1e4{}", "\u{e9}".repeat(24), "x".repeat(49));
    assert_eq!(fits.len(), 100);

    client.post(&server, &fits).await.assert(200, "ok");
    client
        .post(&server, format!("{fits}y"))
        .await
        .assert_error(413, 3);

    assert_eq!(server.heard().await, Heard::text(&"\u{e9}".repeat(24)));
    assert_eq!(server.heard().await, Heard::text(&"x".repeat(49)));
    client.packets(&server, 2).await;
    client.assert_alive(&server).await;
    assert_eq!(server.heard_so_far(), [Heard::text("alive?")]);
}

/// E21.
#[tokio::test]
async fn an_announced_length_is_refused_before_the_body_comes() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let head = client
        .request("POST")
        .header("content-length", "1000001")
        .bytes();

    let mut post = Http::connect(&server).await;
    post.send(head).await;

    post.answer().await.assert_error(413, 3);
    client.assert_alive(&server).await;
}

/// E21.
#[tokio::test]
async fn a_body_of_unknown_length_is_refused_as_soon_as_it_is_too_large() {
    let server = Server::echo(|layer| layer.max_payload(100)).await;
    let client = Poller::open(&server).await;

    let mut post = Http::connect(&server).await;
    post.send(chunked(&client)).await;
    post.send(chunk(&[b'4'; 60])).await;
    post.send(chunk(&[b'4'; 41])).await;

    post.answer().await.assert_error(413, 3);
    client.assert_alive(&server).await;
}

/// E22.
#[tokio::test]
async fn an_empty_body_closes() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;

    client.post(&server, "").await.assert_error(400, 3);

    client.assert_gone(&server).await;
    assert_eq!(
        server.disconnected().await,
        CloseReason::Malformed(DecodeError::Empty)
    );
}

/// E23, E24.
#[tokio::test]
async fn what_stands_before_a_fault_is_delivered_and_the_rest_is_not() {
    for (body, fault) in [
        ("4a\x1e", DecodeError::Empty),
        ("4a\x1ezzz\x1e4b", DecodeError::UnknownType(b'z')),
        ("4a\x1ebAQI\x1e4b", DecodeError::Base64),
        ("4a\x1e\x1e4b", DecodeError::Empty),
    ] {
        let mut server = Server::calm().await;
        let client = Poller::open(&server).await;

        client.post(&server, body).await.assert_error(400, 3);

        assert_eq!(
            server.disconnected().await,
            CloseReason::Malformed(fault),
            "{body:?}"
        );
        assert_eq!(server.heard_so_far(), [Heard::text("a")], "{body:?}");
        client.assert_gone(&server).await;
    }
}

/// E25.
#[tokio::test]
async fn what_follows_a_close_packet_is_not_delivered() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;

    client
        .post(&server, "4a\x1e1\x1e4b")
        .await
        .assert(200, "ok");

    assert_eq!(server.disconnected().await, CloseReason::TransportClose);
    assert_eq!(server.heard_so_far(), [Heard::text("a")]);
}

/// E26.
#[tokio::test]
async fn a_packet_of_its_type_alone_is_an_empty_message() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;

    client.post(&server, "4\x1eb").await.assert(200, "ok");

    assert_eq!(server.heard().await, Heard::text(""));
    assert_eq!(server.heard().await, Heard::Binary(Vec::new()));
    client.poll(&server).await.assert(200, "4\x1eb");
}

/// E27.
#[tokio::test]
async fn invalid_base64_closes() {
    for body in ["b!", "bAQI", "bAQID BA==", "bAQIDBB==", "b===="] {
        let mut server = Server::calm().await;
        let client = Poller::open(&server).await;

        client.post(&server, body).await.assert_error(400, 3);

        let malformed = CloseReason::Malformed(DecodeError::Base64);
        assert_eq!(server.disconnected().await, malformed, "{body}");
        assert_eq!(server.heard_so_far(), [], "{body}");
    }
}

/// E28.
#[tokio::test]
async fn invalid_utf8_closes() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;

    client
        .post(&server, b"4a\x1e4\xff\x1e4b")
        .await
        .assert_error(400, 3);

    client.assert_gone(&server).await;
    assert_eq!(
        server.disconnected().await,
        CloseReason::Malformed(DecodeError::Utf8)
    );
    assert_eq!(server.heard_so_far(), [Heard::text("a")]);
}

/// E29.
#[tokio::test]
async fn a_binary_body_is_refused_and_closes_and_the_stream_goes_on() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;
    let post = client
        .request("POST")
        .header("content-type", "application/octet-stream");

    let mut http = post.body([4, 1, 2, 3]).begin(&server).await;
    http.answer().await.assert_error(400, 3);

    let invalid = CloseReason::TransportError("invalid content");
    assert_eq!(server.disconnected().await, invalid);
    http.send(client.request("GET").bytes()).await;
    http.answer().await.assert_error(400, 1);
}

/// E30.
#[tokio::test]
async fn a_get_and_a_post_may_overlap() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut poll = client.hold_poll(&server).await;

    client.post(&server, "4a").await.assert(200, "ok");

    poll.answer().await.assert(200, "4a");
    client.assert_alive(&server).await;
}

/// E30.
#[tokio::test]
async fn two_posts_may_not_overlap() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut first = Http::connect(&server).await;
    first.send(chunked(&client)).await;
    server.until_waiting(1).await;

    client.post(&server, "4b").await.assert_error(400, 3);

    let overlap = CloseReason::TransportError("data request overlap from client");
    assert_eq!(server.disconnected().await, overlap);
    assert_eq!(server.heard_so_far(), []);
    client.assert_gone(&server).await;
    drop(first);
}

/// E32.
#[tokio::test]
async fn an_aborted_get_closes() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;
    let poll = client.hold_poll(&server).await;

    drop(poll);

    let aborted = CloseReason::TransportError("poll connection closed prematurely");
    assert_eq!(server.disconnected().await, aborted);
    client.assert_gone(&server).await;
}

/// E32.
#[tokio::test]
async fn an_aborted_post_closes() {
    for head in ["content-length: 10", "transfer-encoding: chunked"] {
        let mut server = Server::calm().await;
        let client = Poller::open(&server).await;
        let (name, value) = head.split_once(": ").unwrap();
        let mut post = client
            .request("POST")
            .header(name, value)
            .begin(&server)
            .await;
        post.send("4").await;
        server.until_waiting(1).await;

        drop(post);

        let reason = server.disconnected().await;
        assert!(
            matches!(reason, CloseReason::TransportError(_)),
            "{reason:?}"
        );
        client.assert_gone(&server).await;
    }
}

/// E33.
#[tokio::test]
async fn what_was_sent_before_the_first_get_comes_out_together_and_in_order() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;

    for text in ["a", "b", "c"] {
        server.handle.try_send(To::All, "message", (text,)).unwrap();
    }

    client.poll(&server).await.assert(200, "4a\x1e4b\x1e4c");
}

/// E33.
#[tokio::test]
async fn a_body_of_many_messages_keeps_to_the_limit_that_the_client_was_told() {
    let server = Server::echo(|layer| layer.max_payload(100)).await;
    let client = Poller::open(&server).await;
    let texts: Vec<String> = (10..50)
        .map(|number| format!("{number}{}", "x".repeat(20)))
        .collect();
    for text in &texts {
        server.handle.try_send(To::All, "message", (text,)).unwrap();
    }

    let mut packets = Vec::new();
    while packets.len() < texts.len() {
        let body = client.poll(&server).await;
        assert!(body.body.len() <= 100, "{}", body.body.len());
        packets.extend(body.text().split(RS).map(|packet| packet[1..].to_owned()));
    }

    assert_eq!(packets, texts);
}

/// E34.
#[tokio::test]
async fn one_stream_carries_all_requests() {
    let server = Server::calm().await;
    let mut http = Request::handshake().begin(&server).await;
    let client = Poller::of(&http.answer().await);

    for text in ["4a", "4b"] {
        http.send(client.request("POST").body(text).bytes()).await;
        http.answer().await.assert(200, "ok");
        http.send(client.request("GET").bytes()).await;
        http.answer().await.assert(200, text);
    }
}

/// E34.
#[tokio::test]
async fn a_stream_a_request_works_too() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;

    let post = client
        .request("POST")
        .header("connection", "close")
        .body("4a");
    let mut post = post.begin(&server).await;
    post.answer().await.assert(200, "ok");
    assert!(post.is_closed().await);
    let mut get = client
        .request("GET")
        .header("connection", "close")
        .begin(&server)
        .await;

    get.answer().await.assert(200, "4a");
    assert!(get.is_closed().await);
}

/// E35.
#[tokio::test]
async fn no_answer_may_be_stored() {
    let server = Server::calm().await;
    let handshake = Request::handshake().send(&server).await;
    let client = Poller::of(&handshake);
    let post = client.post(&server, "4a").await;
    let get = client.poll(&server).await;

    for answer in [handshake, post, get] {
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn a_connection_knows_only_get_and_post() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;

    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        client
            .request(method)
            .send(&server)
            .await
            .assert_error(400, 2);
    }

    client.assert_alive(&server).await;
}

#[tokio::test]
async fn a_ping_of_the_client_closes() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;

    client.post(&server, "2").await.assert(200, "ok");

    let wrong = CloseReason::TransportError("invalid heartbeat direction");
    assert_eq!(server.disconnected().await, wrong);
    client.assert_gone(&server).await;
}

#[tokio::test]
async fn too_many_packets_are_refused_before_any_is_delivered() {
    let mut server = Server::echo(|layer| layer.max_packets(3)).await;
    let client = Poller::open(&server).await;

    client
        .post(&server, "4a\x1e4b\x1e4c")
        .await
        .assert(200, "ok");
    client
        .post(&server, "4d\x1e4e\x1e4f\x1e4g")
        .await
        .assert_error(400, 3);

    let malformed = CloseReason::Malformed(DecodeError::TooManyPackets);
    assert_eq!(server.disconnected().await, malformed);
    assert_eq!(server.heard_so_far().len(), 3);
}

#[tokio::test]
async fn a_get_is_held_until_there_is_something_to_say() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let mut poll = client.hold_poll(&server).await;

    server
        .handle
        .try_send(To::All, "message", ("now",))
        .unwrap();

    poll.answer().await.assert(200, "4now");
    within(async { server.until_waiting(0).await }).await;
}
