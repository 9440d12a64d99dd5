//! Whom a connection belongs to.

use primacron::{AccountError, To};

use crate::common::{Poller, Request, Server, Ws};

const HANDSHAKE: &str = "EIO=4&transport=polling";

fn polling(account: &str) -> Request {
    Request::new("GET", format!("/stream/?{account}{HANDSHAKE}"))
}

fn websocket(account: &str) -> Request {
    Request::new(
        "GET",
        format!("/stream/?{account}EIO=4&transport=websocket"),
    )
    .header("connection", "Upgrade")
    .header("upgrade", "websocket")
    .header("sec-websocket-version", "13")
    .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// The account is what the header says.
async fn with_logins() -> Server {
    Server::echo(|layer| {
        layer.account(|parts: &http::request::Parts| {
            let user = parts
                .headers
                .get("x-user")
                .map(|user| user.to_str().expect("text").to_owned());
            async move {
                match user.as_deref() {
                    None => Err(AccountError::Unauthorized),
                    Some("banned") => Err(AccountError::Forbidden),
                    Some("later") => Err(AccountError::Unavailable),
                    Some(user) => Ok(user.to_owned()),
                }
            }
        })
    })
    .await
}

#[tokio::test]
async fn an_account_that_is_none_is_a_bad_request_on_both_transports() {
    let server = Server::calm().await;
    let too_long = format!("account={}&", "x".repeat(257));
    let too_many_bytes = format!("account={}&", "%C3%A9".repeat(129));

    for account in [
        "",
        "account=&",
        "account&",
        "account=a%00b&",
        "account=a%0Ab&",
        "account=%7f&",
        "account=%C2%85&",
        "account=%FF&",
        "account=a&account=b&",
        "account=a&account=a&",
        "account=a&%61ccount=b&",
        &too_long,
        &too_many_bytes,
    ] {
        polling(account).send(&server).await.assert_error(400, 3);
        let refused = Ws::ask(&server, &websocket(account)).await.unwrap_err();
        refused.assert_error(400, 3);
    }

    assert_eq!(server.handle.count(To::All), 0);
}

#[tokio::test]
async fn any_other_text_is_an_account() {
    let server = Server::calm().await;
    let longest = "x".repeat(256);

    for (query, account) in [
        ("account=a&", "a"),
        ("account=%20&", " "),
        ("account=a+b%2B%C3%A9&", "a b+\u{e9}"),
        ("account=__proto__&", "__proto__"),
        ("account=a%3A%7B%7D&", "a:{}"),
        (&format!("account={longest}&"), &longest),
    ] {
        polling(query).send(&server).await.open_packet();
        assert_eq!(server.handle.count(To::Account(account)), 1, "{account:?}");
    }
}

#[tokio::test]
async fn a_claim_may_be_left_out_later_and_may_not_change() {
    let server = Server::calm().await;
    let client = Poller::open(&server).await;
    let later = format!("{HANDSHAKE}&sid={}", client.sid);

    let other = Request::new("POST", format!("/stream/?account=bob&{later}")).body("4a");
    other.send(&server).await.assert_error(403, 4);
    let twice =
        Request::new("POST", format!("/stream/?account=ann&account=ann&{later}")).body("4a");
    twice.send(&server).await.assert_error(400, 3);
    let none = Request::new("POST", format!("/stream/?{later}")).body("4a");
    none.send(&server).await.assert(200, "ok");

    client.poll(&server).await.assert(200, "4a");
}

#[tokio::test]
async fn the_account_function_refuses_with_its_own_status() {
    let server = with_logins().await;

    polling("").send(&server).await.assert_error(401, 4);
    for (user, status) in [("banned", 403), ("later", 503)] {
        polling("")
            .header("x-user", user)
            .send(&server)
            .await
            .assert_error(status, 4);
        let upgrade = websocket("").header("x-user", user);
        Ws::ask(&server, &upgrade)
            .await
            .unwrap_err()
            .assert_error(status, 4);
    }

    assert_eq!(server.handle.count(To::All), 0);
}

#[tokio::test]
async fn the_account_function_decides_and_a_claim_otherwise_is_forbidden() {
    let server = with_logins().await;

    polling("account=bob&")
        .header("x-user", "ann")
        .send(&server)
        .await
        .assert_error(403, 4);
    let upgrade = websocket("account=bob&").header("x-user", "ann");
    Ws::ask(&server, &upgrade)
        .await
        .unwrap_err()
        .assert_error(403, 4);
    polling("account=ann&")
        .header("x-user", "ann")
        .send(&server)
        .await
        .open_packet();
    polling("")
        .header("x-user", "ann")
        .send(&server)
        .await
        .open_packet();
    polling("")
        .header("x-user", "a\tb")
        .send(&server)
        .await
        .assert_error(400, 3);

    assert_eq!(server.handle.count(To::Account("ann")), 2);
    assert_eq!(server.handle.count(To::All), 2);
}

#[tokio::test]
async fn every_later_request_belongs_to_the_same_account() {
    let mut server = with_logins().await;
    let open = polling("").header("x-user", "ann").send(&server).await;
    let sid = Poller::of(&open).sid;
    let later = |method| Request::new(method, format!("/stream/?{HANDSHAKE}&sid={sid}"));

    for (user, status) in [("bob", 403), ("banned", 403), ("later", 503)] {
        later("GET")
            .header("x-user", user)
            .send(&server)
            .await
            .assert_error(status, 4);
        let post = later("POST").header("x-user", user).body("4stolen");
        post.send(&server).await.assert_error(status, 4);
        let upgrade = websocket(&format!("sid={sid}&")).header("x-user", user);
        Ws::ask(&server, &upgrade)
            .await
            .unwrap_err()
            .assert_error(status, 4);
    }
    later("GET").send(&server).await.assert_error(401, 4);

    assert_eq!(server.heard_so_far(), []);
    let post = later("POST").header("x-user", "ann").body("4mine");
    post.send(&server).await.assert(200, "ok");
    let get = later("GET").header("x-user", "ann");
    get.send(&server).await.assert(200, "4mine");
}

#[tokio::test]
async fn an_unknown_sid_is_unknown_to_everybody() {
    let server = with_logins().await;

    let unknown = Request::new("GET", format!("/stream/?{HANDSHAKE}&sid=x"));

    unknown.send(&server).await.assert_error(400, 1);
}
