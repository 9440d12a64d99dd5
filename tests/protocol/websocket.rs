//! Messages over a websocket, and what closes a connection there.

use primacron::{CloseReason, DecodeError, SendError, To};

use crate::common::{
    BINARY, Frame, Heard, Http, Server, TEXT, WS_PING, Ws, frame, upgrade_request,
};

/// Continues a fragmented message.
const CONTINUATION: u8 = 0;

/// T13.
#[tokio::test]
async fn text_is_echoed() {
    let server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    ws.send("4hello").await;

    assert_eq!(ws.text().await, "4hello");
}

/// T14.
#[tokio::test]
async fn binary_is_echoed_as_binary() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    ws.send_binary(&[1, 2, 3, 4]).await;

    assert_eq!(ws.next().await, Frame::Binary(vec![1, 2, 3, 4]));
    assert_eq!(server.heard().await, Heard::Binary(vec![1, 2, 3, 4]));
}

/// T15.
#[tokio::test]
async fn text_that_is_no_packet_closes() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    ws.send("abc").await;

    ws.assert_closed(1002).await;
    let malformed = CloseReason::Malformed(DecodeError::UnknownType(b'a'));
    assert_eq!(server.disconnected().await, malformed);
}

/// E10.
#[tokio::test]
async fn an_invalid_frame_right_after_the_upgrade_closes_that_socket_only() {
    let server = Server::calm().await;
    let mut other = Ws::open(&server).await;

    for invalid in [
        frame(true, TEXT | 0x40, b"4a"),
        frame(true, 3, b""),
        frame(true, CONTINUATION, b"4a"),
        frame(false, WS_PING, b""),
        vec![0x81, 0x02, b'4', b'a'],
    ] {
        let mut bytes = upgrade_request("EIO=4&transport=websocket").bytes();
        bytes.extend(invalid);
        let mut http = Http::connect(&server).await;
        http.send(bytes).await;
        let mut ws = Ws::accepted(http).await.unwrap();

        let (before, code) = ws.closed().await;
        assert_eq!(code, Some(1002));
        let open = |frame: &Frame| matches!(frame, Frame::Text(text) if text.starts_with("0{"));
        assert!(before.iter().all(open), "{before:?}");
    }

    other.assert_alive().await;
}

/// E40.
#[tokio::test]
async fn an_empty_text_frame_closes() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    ws.send("").await;

    ws.assert_closed(1002).await;
    assert_eq!(
        server.disconnected().await,
        CloseReason::Malformed(DecodeError::Empty)
    );
}

/// E40.
#[tokio::test]
async fn an_empty_binary_frame_is_an_empty_message() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    ws.send_binary(&[]).await;

    assert_eq!(ws.next().await, Frame::Binary(Vec::new()));
    assert_eq!(server.heard().await, Heard::Binary(Vec::new()));
}

/// E40.
#[tokio::test]
async fn base64_in_a_text_frame_is_binary() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    ws.send("bAQID").await;

    assert_eq!(ws.next().await, Frame::Binary(vec![1, 2, 3]));
    assert_eq!(server.heard().await, Heard::Binary(vec![1, 2, 3]));
}

/// E27.
#[tokio::test]
async fn invalid_base64_in_a_text_frame_closes() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    ws.send("bAQI").await;

    ws.assert_closed(1002).await;
    assert_eq!(
        server.disconnected().await,
        CloseReason::Malformed(DecodeError::Base64)
    );
}

/// E28.
#[tokio::test]
async fn invalid_utf8_in_a_text_frame_closes() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    ws.bytes(&frame(true, TEXT, b"4\xff")).await;

    ws.assert_closed(1007).await;
    assert_eq!(
        server.disconnected().await,
        CloseReason::Malformed(DecodeError::Utf8)
    );
    assert_eq!(server.heard_so_far(), []);
}

/// E41.
#[tokio::test]
async fn a_separator_inside_a_frame_is_data() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    ws.send("4a\x1e4b\x1e1").await;

    assert_eq!(ws.text().await, "4a\x1e4b\x1e1");
    assert_eq!(server.heard().await, Heard::text("a\x1e4b\x1e1"));
    assert_eq!(server.heard_so_far(), []);
}

/// E42.
#[tokio::test]
async fn an_unknown_packet_type_closes() {
    for packet in ["7", "x", "9a", " 4a", "\u{e9}", "B", "-1"] {
        let mut server = Server::calm().await;
        let mut ws = Ws::open(&server).await;

        ws.send(packet).await;

        ws.assert_closed(1002).await;
        let reason = server.disconnected().await;
        let unknown = matches!(reason, CloseReason::Malformed(DecodeError::UnknownType(_)));
        assert!(unknown, "{packet}: {reason:?}");
    }
}

/// E43.
#[tokio::test]
async fn a_ping_of_the_client_closes() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    ws.send("2").await;

    ws.assert_closed(1002).await;
    let wrong = CloseReason::TransportError("invalid heartbeat direction");
    assert_eq!(server.disconnected().await, wrong);
}

/// E44.
#[tokio::test]
async fn a_probe_on_a_connection_that_is_a_websocket_closes() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    ws.send("2probe").await;

    ws.assert_closed(1002).await;
    let wrong = CloseReason::TransportError("invalid heartbeat direction");
    assert_eq!(server.disconnected().await, wrong);
}

#[tokio::test]
async fn packets_of_the_server_mean_nothing_from_a_client() {
    let server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    for packet in ["0", "3", "5", "6", "0{}", "3x"] {
        ws.send(packet).await;
    }

    ws.assert_alive().await;
}

/// E46.
#[tokio::test]
async fn a_websocket_ping_is_answered_with_its_content() {
    let server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    ws.bytes(&frame(true, WS_PING, b"are you there")).await;

    assert_eq!(ws.next().await, Frame::Pong(b"are you there".to_vec()));
    ws.assert_alive().await;
}

/// E47.
#[tokio::test]
async fn the_limit_counts_the_bytes_of_a_message() {
    let mut server = Server::echo(|layer| layer.max_payload(100)).await;
    let mut ws = Ws::open(&server).await;
    let fits = format!("4{}", "x".repeat(99));

    ws.send(&fits).await;
    assert_eq!(ws.text().await, fits);
    ws.send(&format!("{fits}y")).await;

    ws.assert_closed(1009).await;
    assert_eq!(server.disconnected().await, CloseReason::TooLarge);
}

/// E47.
#[tokio::test]
async fn a_frame_that_announces_too_much_closes_before_it_comes() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;
    let whole = frame(true, BINARY, &vec![0; 1_000_001]);

    ws.bytes(&whole[..14]).await;

    ws.assert_closed(1009).await;
    assert_eq!(server.disconnected().await, CloseReason::TooLarge);
}

/// E47.
#[tokio::test]
async fn fragments_count_together() {
    let mut server = Server::echo(|layer| layer.max_payload(100)).await;
    let mut ws = Ws::open(&server).await;

    ws.bytes(&frame(false, TEXT, b"4aa")).await;
    ws.bytes(&frame(true, CONTINUATION, &[b'a'; 97])).await;
    assert_eq!(ws.text().await.len(), 100);
    ws.bytes(&frame(false, TEXT, b"4aa")).await;
    ws.bytes(&frame(true, CONTINUATION, &[b'a'; 98])).await;

    ws.assert_closed(1009).await;
    assert_eq!(server.disconnected().await, CloseReason::TooLarge);
}

/// E48.
#[tokio::test]
async fn messages_stay_in_order() {
    let mut server = Server::calm().await;
    let mut ws = Ws::open(&server).await;
    let texts: Vec<String> = (0..500).map(|number| format!("4{number}")).collect();

    let all: Vec<u8> = texts
        .iter()
        .flat_map(|text| frame(true, TEXT, text.as_bytes()))
        .collect();
    ws.bytes(&all).await;

    for text in &texts {
        assert_eq!(ws.text().await, *text);
        assert_eq!(server.heard().await, Heard::text(&text[1..]));
    }
}

/// E49.
#[tokio::test]
async fn nothing_can_be_sent_after_the_close() {
    let mut server = Server::echo(|layer| layer.session_id(|_| Some("s".into()))).await;
    let mut ws = Ws::open(&server).await;
    let socket = server.handle.socket("ann", "s").unwrap();

    ws.send("1").await;
    server.disconnected().await;

    assert!(matches!(
        socket.try_send("message", ("late",)),
        Err(SendError::Closed)
    ));
    assert!(matches!(
        socket.send("message", ("late",)).await,
        Err(SendError::Closed)
    ));
    assert_eq!(server.handle.count(To::All), 0);
    ws.assert_closed(1000).await;
}

#[tokio::test]
async fn text_and_binary_keep_their_order_towards_the_client() {
    let server = Server::calm().await;
    let mut ws = Ws::open(&server).await;

    let mut all = frame(true, TEXT, b"4a");
    all.extend(frame(true, BINARY, &[1]));
    all.extend(frame(true, TEXT, b"4b"));
    ws.bytes(&all).await;

    assert_eq!(ws.next().await, Frame::Text("4a".into()));
    assert_eq!(ws.next().await, Frame::Binary(vec![1]));
    assert_eq!(ws.next().await, Frame::Text("4b".into()));
}

#[tokio::test]
async fn a_large_message_comes_back_whole() {
    let server = Server::calm().await;
    let mut ws = Ws::open(&server).await;
    let large: Vec<u8> = (0..1_000_000_u32)
        .map(|index| (index * 7 % 251) as u8)
        .collect();

    ws.send_binary(&large).await;

    assert_eq!(ws.next().await, Frame::Binary(large));
}
