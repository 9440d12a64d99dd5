//! What the endpoint answers, row by row, and what it leaves to the application.

use primacron::{To, Transport};
use serde_json::json;

use crate::common::{Http, Poller, Request, Server, Ws, upgrade_request};

const HANDSHAKE: &str = "account=ann&EIO=4&transport=polling";

/// E1.
#[tokio::test]
async fn the_path_is_served_with_and_without_its_last_slash() {
    let server = Server::calm().await;

    for path in ["/stream/", "/stream"] {
        let request = Request::new("GET", format!("{path}?{HANDSHAKE}"));
        request.send(&server).await.open_packet();
    }
}

/// E2.
#[tokio::test]
async fn every_other_path_is_the_applications() {
    let server = Server::calm().await;

    for path in [
        "/stream//",
        "/stream/x",
        "/stream/index.html",
        "/Stream/",
        "/streaming",
        "//stream/",
        "/stream.",
        "/%73tream/",
        "/stream%2F",
        "/x/stream/",
        "/stream;a=b",
    ] {
        let request = Request::new("GET", format!("{path}?{HANDSHAKE}"));
        assert_eq!(request.send(&server).await.status(), 404, "{path}");
    }
    for path in ["/", "/streams"] {
        let request = Request::new("GET", format!("{path}?{HANDSHAKE}"));
        request.send(&server).await.assert(200, "the application");
    }

    assert_eq!(server.handle.count(To::All), 0);
}

#[tokio::test]
async fn another_path_can_be_chosen() {
    let server = Server::echo(|layer| layer.path("/live/socket")).await;

    for path in ["/live/socket/", "/live/socket"] {
        let request = Request::new("GET", format!("{path}?{HANDSHAKE}"));
        request.send(&server).await.open_packet();
    }
    for path in ["/stream/", "/live/", "/live/socket/x"] {
        let request = Request::new("GET", format!("{path}?{HANDSHAKE}"));
        assert_eq!(request.send(&server).await.status(), 404, "{path}");
    }
}

/// E12.
#[tokio::test]
async fn an_upgrade_on_another_path_is_the_applications() {
    let server = Server::calm().await;
    let elsewhere = |path: &str| {
        Request::new(
            "GET",
            format!("{path}?account=ann&EIO=4&transport=websocket"),
        )
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };

    assert_eq!(elsewhere("/other/").send(&server).await.status(), 404);
    elsewhere("/")
        .send(&server)
        .await
        .assert(200, "the application");
}

#[tokio::test]
async fn there_is_nothing_to_publish_to_without_a_secret() {
    let server = Server::calm().await;

    let put = Request::new("PUT", "/stream/broadcast").body(r#"{"to":"all","event":"x"}"#);

    assert_eq!(put.send(&server).await.status(), 404);
}

#[tokio::test]
async fn every_error_is_the_references_in_status_and_words() {
    let server = Server::calm().await;
    let known = Poller::open(&server).await.sid;
    let get = |query: &str| Request::to_stream("GET", query);

    for (request, body) in [
        (
            get("EIO=4&transport=x"),
            r#"{"code":0,"message":"Transport unknown"}"#,
        ),
        (
            get("EIO=4&transport=polling&sid=x"),
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            Request::to_stream("POST", "EIO=4&transport=polling").body("4a"),
            r#"{"code":2,"message":"Bad handshake method"}"#,
        ),
        (
            get("EIO=4&transport=websocket"),
            r#"{"code":3,"message":"Bad request"}"#,
        ),
        (
            get("EIO=3&transport=polling"),
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
        ),
    ] {
        let answer = request.send(&server).await;
        answer.assert(400, body);
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let mismatch = get(&format!("EIO=3&transport=polling&sid={known}"));
    mismatch.send(&server).await.assert_error(400, 3);
}

#[tokio::test]
async fn the_first_thing_wrong_is_what_is_said() {
    let server = Server::calm().await;

    for (method, query, code) in [
        ("PUT", "EIO=3&transport=x&sid=x", 0),
        ("PUT", "EIO=3&transport=polling&sid=x", 1),
        ("PUT", "EIO=3&transport=websocket", 2),
        ("GET", "EIO=3&transport=websocket", 3),
        ("GET", "EIO=3&transport=polling", 5),
    ] {
        let answer = Request::to_stream(method, query).send(&server).await;
        answer.assert_error(400, code);
    }
}

#[tokio::test]
async fn a_refused_websocket_gets_the_same_answer_as_polling() {
    let server = Server::calm().await;

    for (query, code) in [
        ("EIO=4&transport=x", 0),
        ("EIO=4&transport=websocket&sid=x", 1),
        ("EIO=3&transport=websocket", 5),
    ] {
        let mut http = upgrade_request(query).begin(&server).await;
        http.answer().await.assert_error(400, code);
    }
}

#[tokio::test]
async fn refusals_are_told_to_the_application() {
    let mut server = Server::calm().await;

    Request::to_stream("GET", "EIO=4&transport=x")
        .send(&server)
        .await;

    let notice = server.notice("reject").await;
    let rejected = format!("{notice:?}");
    assert!(
        rejected.contains("400") && rejected.contains("Transport unknown"),
        "{rejected}"
    );
}

#[tokio::test]
async fn a_transport_that_is_switched_off_is_unknown() {
    let server = Server::echo(|layer| layer.transports(&[Transport::Polling])).await;
    let handshake = Request::handshake().send(&server).await;
    assert_eq!(handshake.open_packet()["upgrades"], json!([]));
    let sid = Poller::of(&handshake).sid;
    for query in ["", &format!("&sid={sid}")] {
        let request = upgrade_request(&format!("EIO=4&transport=websocket{query}"));
        Ws::ask(&server, &request)
            .await
            .unwrap_err()
            .assert_error(400, 0);
    }

    let server = Server::echo(|layer| layer.transports(&[Transport::WebSocket])).await;
    Request::handshake()
        .send(&server)
        .await
        .assert_error(400, 0);
    Ws::open(&server).await.assert_alive().await;
}

#[tokio::test]
async fn the_open_packet_tells_session_and_account() {
    let server = Server::echo(|layer| layer.handshake_data(true)).await;

    let polling = Request::handshake().send(&server).await.open_packet();
    let websocket = Ws::connect(&server).await.text().await;
    let websocket: serde_json::Value = serde_json::from_str(&websocket[1..]).unwrap();

    for open in [polling, websocket] {
        assert_eq!(open.as_object().unwrap().len(), 7, "{open}");
        assert_eq!(open["account"], "ann");
        let session = open["session"].as_str().unwrap();
        assert!(server.handle.socket("ann", session).is_some());
        assert_ne!(
            open["sid"], session,
            "the one is a credential, the other is not"
        );
    }
}

#[tokio::test]
async fn the_cookie_is_set_by_a_handshake_on_polling_alone() {
    let server = Server::echo(|layer| layer.cookie("io")).await;

    let handshake = Request::handshake().send(&server).await;
    let client = Poller::of(&handshake);
    let post = client.post(&server, "4a").await;
    let get = client.poll(&server).await;
    let mut upgrade = upgrade_request("EIO=4&transport=websocket")
        .begin(&server)
        .await;
    let upgrade = upgrade.answer().await;
    let refused = Request::to_stream("GET", "EIO=3&transport=polling")
        .send(&server)
        .await;

    let cookie = format!("io={}; Path=/; HttpOnly; SameSite=Lax", client.sid);
    assert_eq!(handshake.header("set-cookie"), Some(&*cookie));
    for other in [post, get, upgrade, refused] {
        assert_eq!(other.header("set-cookie"), None);
    }
}

#[tokio::test]
async fn without_the_setting_there_is_no_cookie() {
    let server = Server::calm().await;

    let handshake = Request::handshake().send(&server).await;

    assert_eq!(handshake.header("set-cookie"), None);
}

#[tokio::test]
async fn the_initial_packet_follows_the_open_packet() {
    let server = Server::echo(|layer| layer.initial_packet("hello")).await;

    let polling = Request::handshake().send(&server).await;
    let mut ws = Ws::open(&server).await;

    let (open, initial) = polling.text().split_once('\u{1e}').unwrap();
    assert!(open.starts_with("0{") && initial == "4hello", "{initial}");
    assert_eq!(ws.text().await, "4hello");
    ws.assert_alive().await;
    Poller::of(&polling).assert_alive(&server).await;
}

#[tokio::test]
async fn upgrade_headers_mean_nothing_on_polling() {
    let server = Server::calm().await;

    let mut http = upgrade_request("EIO=4&transport=polling")
        .begin(&server)
        .await;
    let handshake = http.answer().await;

    Poller::of(&handshake).assert_alive(&server).await;
}

#[tokio::test]
async fn the_application_gets_its_requests_as_they_came() {
    let server = Server::calm().await;
    let mut http = Http::connect(&server).await;

    http.send("GET /?transport=polling&account=a&account=b HTTP/1.1\r\nhost: h\r\n\r\n")
        .await;
    http.answer().await.assert(200, "the application");
    http.send("POST /?EIO=4 HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n4a")
        .await;

    assert_eq!(http.answer().await.status(), 405);
}
