//! Opening a connection, on either transport.

use serde_json::{Value, json};

use crate::common::{Frame, Heard, Poller, Request, Server, TEXT, Ws, frame, upgrade_request};

/// The five standard keys, in the order in which a client gets them.
const KEYS: [&str; 5] = [
    "sid",
    "upgrades",
    "pingInterval",
    "pingTimeout",
    "maxPayload",
];

fn assert_standard(packet: &str, upgrades: &Value) {
    let open: Value = packet
        .strip_prefix('0')
        .and_then(|content| serde_json::from_str(content).ok())
        .expect("an open packet");
    assert_eq!(
        open.as_object().map(serde_json::Map::len),
        Some(KEYS.len()),
        "{packet}"
    );
    let places = KEYS.map(|key| packet.find(&format!("\"{key}\":")));
    assert!(places.is_sorted() && places[0].is_some(), "{packet}");
    assert!(
        open["sid"].as_str().is_some_and(|sid| sid.len() >= 20),
        "{packet}"
    );
    assert_eq!(open["upgrades"], *upgrades);
    assert_eq!(open["pingInterval"], 300);
    assert_eq!(open["pingTimeout"], 200);
    assert_eq!(open["maxPayload"], 1_000_000);
}

/// T1.
#[tokio::test]
async fn polling_opens_with_exactly_the_five_standard_keys() {
    let server = Server::quick().await;

    let answer = Request::handshake().send(&server).await;

    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=UTF-8")
    );
    assert_standard(answer.text(), &json!(["websocket"]));
}

/// T2.
#[tokio::test]
async fn polling_is_refused_without_protocol_4() {
    let server = Server::calm().await;

    for eio in [
        "", "EIO=abc&", "EIO=3&", "EIO=5&", "EIO=04&", "EIO=4.0&", "EIO=&", "eio=4&",
    ] {
        let request = Request::to_stream("GET", &format!("{eio}transport=polling"));
        request.send(&server).await.assert_error(400, 5);
    }
}

/// T3.
#[tokio::test]
async fn polling_is_refused_without_a_known_transport() {
    let server = Server::calm().await;

    for transport in ["", "&transport=abc", "&transport=", "&transport=Polling"] {
        let request = Request::to_stream("GET", &format!("EIO=4{transport}"));
        request.send(&server).await.assert_error(400, 0);
    }
}

/// T4.
#[tokio::test]
async fn a_handshake_is_no_post_and_no_put() {
    let server = Server::calm().await;

    for method in ["POST", "PUT"] {
        let request = Request::to_stream(method, "EIO=4&transport=polling").body("");
        request.send(&server).await.assert_error(400, 2);
    }
}

/// T5.
#[tokio::test]
async fn a_websocket_opens_with_the_same_keys_and_no_upgrades() {
    let server = Server::quick().await;

    let mut ws = Ws::connect(&server).await;

    assert_standard(&ws.text().await, &json!([]));
}

/// T6.
#[tokio::test]
async fn a_websocket_is_refused_without_protocol_4() {
    let server = Server::calm().await;

    for eio in ["", "EIO=abc&"] {
        let request = upgrade_request(&format!("{eio}transport=websocket"));
        let refused = Ws::ask(&server, &request).await.unwrap_err();
        refused.assert_error(400, 5);
    }
}

/// T7.
#[tokio::test]
async fn a_websocket_is_refused_without_a_known_transport() {
    let server = Server::calm().await;

    for transport in ["", "&transport=abc"] {
        let request = upgrade_request(&format!("EIO=4{transport}"));
        let refused = Ws::ask(&server, &request).await.unwrap_err();
        refused.assert_error(400, 0);
    }
}

/// E3.
#[tokio::test]
async fn names_with_a_meaning_elsewhere_mean_nothing_here() {
    let server = Server::calm().await;

    for name in [
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "webtransport",
    ] {
        let request = Request::to_stream("GET", &format!("EIO=4&transport={name}"));
        request.send(&server).await.assert_error(400, 0);
        let request = Request::to_stream("GET", &format!("EIO=4&transport=polling&sid={name}"));
        request.send(&server).await.assert_error(400, 1);
    }

    Poller::open(&server).await.assert_alive(&server).await;
}

/// E4.
#[tokio::test]
async fn an_empty_sid_is_a_handshake() {
    let server = Server::calm().await;

    let answer = Request::to_stream("GET", "EIO=4&transport=polling&sid=")
        .send(&server)
        .await;

    Poller::of(&answer).assert_alive(&server).await;
}

/// E5.
#[tokio::test]
async fn a_handshake_is_a_get() {
    let server = Server::calm().await;

    for method in ["OPTIONS", "DELETE", "PATCH", "BREW"] {
        let request = Request::to_stream(method, "EIO=4&transport=polling");
        request.send(&server).await.assert_error(400, 2);
    }
    let head = Request::to_stream("HEAD", "EIO=4&transport=polling").header("connection", "close");
    let mut head = head.begin(&server).await;
    let status = head.status_alone().await;

    assert_eq!(status, 400);
    assert_eq!(server.handle.count(primacron::To::All), 0);
}

/// E6.
#[tokio::test]
async fn a_websocket_by_a_plain_get_is_a_bad_request() {
    let server = Server::calm().await;

    let request = Request::to_stream("GET", "EIO=4&transport=websocket");

    request.send(&server).await.assert_error(400, 3);
}

/// E7.
#[tokio::test]
async fn of_a_repeated_key_the_last_counts() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;

    let known_last = format!(
        "EIO=3&EIO=4&transport=x&transport=polling&sid=x&sid={}",
        client.sid
    );
    let unknown_last = format!("EIO=4&transport=polling&sid={}&sid=x", client.sid);

    let post = Request::to_stream("POST", &known_last).body("4a");
    post.send(&server).await.assert(200, "ok");
    let post = Request::to_stream("POST", &unknown_last).body("4a");
    post.send(&server).await.assert_error(400, 1);
}

/// E8.
#[tokio::test]
async fn unknown_keys_are_kept_for_the_application() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::echo(|layer| {
        layer.on_handshake(move |parts, _| {
            tell.send(parts.uri.query().unwrap_or_default().to_owned())
                .unwrap();
        })
    })
    .await;

    let query = "EIO=4&transport=polling&theme=dark%20blue&t=1&__proto__=x";
    Request::to_stream("GET", query)
        .send(&server)
        .await
        .open_packet();

    assert_eq!(told.recv().await.unwrap(), format!("account=ann&{query}"));
}

/// E14.
#[tokio::test]
async fn without_a_session_id_there_is_no_session() {
    let server = Server::echo(|layer| {
        layer.session_id(|parts| {
            let query = parts.uri.query().unwrap_or_default();
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix("as="))
                .map(str::to_owned)
        })
    })
    .await;
    let too_long = format!("&as={}", "x".repeat(257));

    for session in ["", "&as=", &too_long] {
        let polling = Request::to_stream("GET", &format!("EIO=4&transport=polling{session}"));
        polling.send(&server).await.assert_error(400, 3);
        let websocket = upgrade_request(&format!("EIO=4&transport=websocket{session}"));
        let refused = Ws::ask(&server, &websocket).await.unwrap_err();
        refused.assert_error(400, 3);
    }

    assert_eq!(server.handle.count(primacron::To::All), 0);
    let chosen = Request::to_stream("GET", "EIO=4&transport=polling&as=mine");
    chosen.send(&server).await.open_packet();
    assert!(server.handle.socket("ann", "mine").is_some());
}

/// E15.
#[tokio::test]
async fn a_websocket_of_protocol_3_is_refused_before_it_is_one() {
    let server = Server::calm().await;

    let request = upgrade_request("EIO=3&transport=websocket");

    let refused = Ws::ask(&server, &request).await.unwrap_err();
    refused.assert_error(400, 5);
}

/// E48.
#[tokio::test]
async fn what_follows_the_upgrade_in_the_same_packet_is_not_lost() {
    let mut server = Server::calm().await;
    let texts = ["4a", "4b", "4c"];
    let mut bytes = upgrade_request("EIO=4&transport=websocket").bytes();
    for text in texts {
        bytes.extend(frame(true, TEXT, text.as_bytes()));
    }

    let mut http = crate::common::Http::connect(&server).await;
    http.send(bytes).await;
    let mut ws = Ws::accepted(http).await.unwrap();

    assert!(ws.text().await.starts_with("0{"));
    for text in texts {
        assert_eq!(ws.text().await, text);
        assert_eq!(server.heard().await, Heard::text(&text[1..]));
    }
}

/// E48.
#[tokio::test]
async fn what_is_sent_at_once_follows_the_open_packet_in_order() {
    let mut server = Server::calm().await;
    let send_three = |server: &Server| {
        for text in ["1", "2", "3"] {
            server
                .handle
                .try_send(primacron::To::All, "message", (text,))
                .unwrap();
        }
    };

    let mut ws = Ws::connect(&server).await;
    server.notice("connect").await;
    send_three(&server);
    let open = ws.text().await;

    assert!(open.starts_with("0{"), "{open}");
    for text in ["41", "42", "43"] {
        assert_eq!(ws.next().await, Frame::Text(text.to_owned()));
    }
}
