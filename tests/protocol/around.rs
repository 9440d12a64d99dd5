//! Layers around the endpoint: what they add, and what they keep from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request as AxumRequest;
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode};
use primacron::To;

use crate::common::{Poller, Request, Server, Ws, upgrade_request};

async fn allow_origin(mut response: Response) -> Response {
    let everybody = HeaderValue::from_static("*");
    response
        .headers_mut()
        .insert("access-control-allow-origin", everybody);
    response
}

async fn need_key(request: AxumRequest, next: Next) -> Response {
    if request.headers().contains_key("x-key") {
        next.run(request).await
    } else {
        (StatusCode::IM_A_TEAPOT, "no key").into_response()
    }
}

fn with_headers(app: Router) -> Router {
    app.layer(map_response(allow_origin))
}

/// E80.
#[tokio::test]
async fn a_layer_around_adds_headers_to_every_answer_and_to_the_101() {
    let server = Server::echo_in(|layer| layer, with_headers).await;

    let handshake = Request::handshake().send(&server).await;
    let client = Poller::of(&handshake);
    let post = client.post(&server, "4a").await;
    let get = client.poll(&server).await;
    let mut upgrade = upgrade_request("EIO=4&transport=websocket")
        .begin(&server)
        .await;
    let upgrade = upgrade.answer().await;

    assert_eq!(upgrade.status(), 101);
    for answer in [handshake, post, get, upgrade] {
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
}

/// E80.
#[tokio::test]
async fn a_handshake_is_seen_once_a_connection() {
    let seen = Arc::new(AtomicUsize::new(0));
    let server = Server::echo(|layer| {
        let seen = Arc::clone(&seen);
        layer.on_handshake(move |_, _| {
            seen.fetch_add(1, Ordering::Relaxed);
        })
    })
    .await;

    let client = Poller::open(&server).await;
    client.assert_alive(&server).await;
    let mut ws = Ws::probed(&server, &client.sid).await;
    ws.send("5").await;
    ws.assert_alive().await;
    assert_eq!(seen.load(Ordering::Relaxed), 1);
    Ws::open(&server).await.assert_alive().await;

    assert_eq!(seen.load(Ordering::Relaxed), 2);
}

/// E81.
#[tokio::test]
async fn a_layer_around_may_end_a_request_early_on_both_transports() {
    let server = Server::echo_in(|layer| layer, |app| app.layer(from_fn(need_key))).await;

    let polling = Request::handshake();
    let websocket = upgrade_request("EIO=4&transport=websocket");
    polling.send(&server).await.assert(418, "no key");
    Ws::ask(&server, &websocket)
        .await
        .unwrap_err()
        .assert(418, "no key");

    assert_eq!(server.handle.count(To::All), 0);
    polling
        .header("x-key", "k")
        .send(&server)
        .await
        .open_packet();
    Ws::ask(&server, &websocket.header("x-key", "k"))
        .await
        .unwrap();
}

/// E81.
#[tokio::test]
async fn layers_around_are_asked_from_the_outside_in() {
    let both = |app: Router| {
        app.layer(from_fn(need_key))
            .layer(map_response(allow_origin))
    };
    let server = Server::echo_in(|layer| layer, both).await;

    let refused = Request::handshake().send(&server).await;

    refused.assert(418, "no key");
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
}

/// E82.
#[tokio::test]
async fn a_layer_around_adds_headers_to_errors_too() {
    let server = Server::echo_in(|layer| layer, with_headers).await;

    for request in [
        Request::to_stream("GET", "EIO=4&transport=x"),
        Request::to_stream("GET", "EIO=4&transport=polling&sid=x"),
        upgrade_request("EIO=3&transport=websocket"),
    ] {
        let refused = request.send(&server).await;
        assert_eq!(refused.status(), 400);
        assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    }
}
