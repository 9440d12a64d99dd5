//! Pages of foreign origins may not connect with the browser's cookies.

use primacron::To;

use crate::common::{Http, Poller, Request, Server, Ws, upgrade_request};

/// The same request on both transports, and whether it was let in.
async fn is_let_in(server: &Server, headers: &[(&str, &str)]) -> bool {
    let with = |request: Request| {
        headers.iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        })
    };
    let polling = with(Request::handshake()).send(server).await;
    let websocket = Ws::ask(server, &with(upgrade_request("EIO=4&transport=websocket"))).await;
    match &websocket {
        Ok(_) => polling.assert_open(),
        Err(refused) => {
            refused.assert_error(403, 4);
            polling.assert_error(403, 4);
        }
    }
    websocket.is_ok()
}

/// E9.
#[tokio::test]
async fn an_origin_that_is_no_text_is_a_bad_request() {
    let server = Server::calm().await;

    for origin in ["https://\u{e9}.example", "\u{a0}"] {
        let request = Request::handshake().header("origin", origin);
        request.send(&server).await.assert_error(400, 3);
        let upgrade = upgrade_request("EIO=4&transport=websocket").header("origin", origin);
        Ws::ask(&server, &upgrade)
            .await
            .unwrap_err()
            .assert_error(400, 3);
    }
    let control = Request::handshake().header("origin", "https://a\u{1}b.example");
    assert_eq!(control.send(&server).await.status(), 400);

    assert_eq!(server.handle.count(To::All), 0);
}

#[tokio::test]
async fn a_foreign_page_may_not_bring_cookies() {
    let server = Server::calm().await;

    for origin in [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "http://localhost:81",
        "localhost",
        "",
        "http://evil.example/localhost",
        "http://localhost@evil.example",
    ] {
        assert!(
            !is_let_in(&server, &[("origin", origin), ("cookie", "a=b")]).await,
            "{origin}"
        );
    }

    assert_eq!(server.handle.count(To::All), 0);
}

#[tokio::test]
async fn two_origins_are_none_that_is_trusted() {
    let server = Server::calm().await;
    let headers = [
        ("origin", "http://localhost"),
        ("origin", "https://evil.example"),
        ("cookie", "a=b"),
    ];

    assert!(!is_let_in(&server, &headers).await);
}

#[tokio::test]
async fn the_same_origin_may_bring_cookies() {
    let server = Server::calm().await;

    for (host, origin) in [
        ("localhost", "http://localhost"),
        ("localhost:3000", "http://localhost:3000"),
        ("chat.example", "https://chat.example"),
        ("chat.example:443", "https://chat.example"),
        ("Chat.Example", "https://chat.example"),
        ("[::1]:3000", "http://[::1]:3000"),
    ] {
        let headers = [("host", host), ("origin", origin), ("cookie", "a=b")];
        assert!(is_let_in(&server, &headers).await, "{host} {origin}");
    }
}

#[tokio::test]
async fn without_cookies_or_without_an_origin_anybody_may_connect() {
    let server = Server::calm().await;

    assert!(is_let_in(&server, &[("origin", "https://evil.example")]).await);
    assert!(is_let_in(&server, &[("cookie", "a=b")]).await);
}

#[tokio::test]
async fn a_listed_origin_may_bring_cookies() {
    let server = Server::echo(|layer| layer.allowed_origins(["https://app.example"])).await;

    let with = |origin| [("origin", origin), ("cookie", "a=b")];

    assert!(is_let_in(&server, &with("https://app.example")).await);
    assert!(is_let_in(&server, &with("http://localhost")).await);
    for other in [
        "http://app.example",
        "https://app.example:8443",
        "https://x.app.example",
    ] {
        assert!(!is_let_in(&server, &with(other)).await, "{other}");
    }
}

#[tokio::test]
async fn a_star_lets_everybody_in() {
    let server = Server::echo(|layer| layer.allowed_origins(["*"])).await;

    assert!(
        is_let_in(
            &server,
            &[("origin", "https://evil.example"), ("cookie", "a=b")]
        )
        .await
    );
}

#[tokio::test]
async fn later_requests_are_checked_too() {
    let mut server = Server::calm().await;
    let client = Poller::open(&server).await;
    let foreign = |request: Request| {
        request
            .header("origin", "https://evil.example")
            .header("cookie", "io=x")
    };

    foreign(client.request("GET"))
        .send(&server)
        .await
        .assert_error(403, 4);
    foreign(client.request("POST").body("4stolen"))
        .send(&server)
        .await
        .assert_error(403, 4);
    let query = format!("EIO=4&transport=websocket&sid={}", client.sid);
    let upgrade = foreign(upgrade_request(&query));
    Ws::ask(&server, &upgrade)
        .await
        .unwrap_err()
        .assert_error(403, 4);

    assert_eq!(server.heard_so_far(), []);
    client.assert_alive(&server).await;
}

#[tokio::test]
async fn the_rule_is_not_for_the_application() {
    let server = Server::calm().await;
    let mut http = Http::connect(&server).await;

    let head = "host: localhost\r\norigin: https://evil.example\r\ncookie: a=b\r\n\r\n";
    http.send(format!("GET / HTTP/1.1\r\n{head}")).await;

    http.answer().await.assert(200, "the application");
}
