//! HTTP/2: polling as ever, websockets by extended CONNECT (RFC 8441).

use std::{convert::Infallible, future::poll_fn, net::SocketAddr, time::Duration};

use ::axum::{Router, routing::get};
use ::hyper::{ext::Protocol, upgrade::Upgraded};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use primacron::{CloseReason, Handle, Message, Notice, Notices, PrimacronLayer, Reply, To};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};
use tower::{ServiceBuilder, service_fn};
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer, cors::CorsLayer,
    limit::RequestBodyLimitLayer, timeout::TimeoutLayer, trace::TraceLayer,
};

use crate::{
    client::{ECHO, Http, Poller, Ws, assert_it_echoes, assert_polling},
    serve, tcp, within,
};

const WEBSOCKET: &str = "/stream/?EIO=4&transport=websocket&account=ann";

struct Server {
    address: SocketAddr,
    handle: Handle,
    notices: Notices,
}

impl Server {
    async fn start() -> Self {
        Self::around(|app| app).await
    }

    async fn around(wrap: impl FnOnce(Router) -> Router) -> Self {
        let layer = PrimacronLayer::in_memory()
            .validate("echo", |_: &_, _: &_| true)
            .service(service_fn(async |message: Message| {
                Ok::<_, Infallible>(Reply::event("echo", message.args().clone()))
            }));
        let handle = layer.handle();
        let app = Router::new().route("/", get("inner")).layer(layer);
        Self {
            address: serve(wrap(app)).await,
            notices: handle.notices(),
            handle,
        }
    }

    async fn client(&self) -> Http {
        Http::two(tcp(self.address)().await.unwrap()).await
    }

    async fn notice(&mut self, name: &str) -> Notice {
        loop {
            let notice = within(self.notices.next()).await.expect("the node lives");
            if notice.name() == name {
                return notice;
            }
        }
    }

    async fn disconnected(&mut self) -> CloseReason {
        match self.notice("disconnect").await {
            Notice::Disconnect { reason, .. } => reason,
            other => panic!("a name of another notice: {other:?}"),
        }
    }
}

fn connect(target: &str, protocol: &'static str) -> Request<Full<Bytes>> {
    Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://localhost{target}"))
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .extension(Protocol::from_static(protocol))
        .body(Full::default())
        .unwrap()
}

async fn ask(http: &mut Http, request: Request<Full<Bytes>>) -> (StatusCode, HeaderMap, String) {
    let Http::Two(send) = http else {
        panic!("not over HTTP/1.1")
    };
    let response = within(send.send_request(request)).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        parts.status,
        parts.headers,
        String::from_utf8(body.into()).unwrap(),
    )
}

/// A stream that became a websocket, and the headers of the answer.
async fn open(http: &mut Http, target: &str) -> (Ws<TokioIo<Upgraded>>, HeaderMap) {
    let Http::Two(send) = http else {
        panic!("not over HTTP/1.1")
    };
    // The server offers extended CONNECT by a setting that it sends first.
    within(poll_fn(|cx| send.poll_ready(cx))).await.unwrap();
    let response = within(send.send_request(connect(target, "websocket"))).await;
    let response = response.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers().clone();
    let upgraded = within(::hyper::upgrade::on(response)).await.unwrap();
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None);
    (Ws(socket.await), headers)
}

/// A websocket over HTTP/2, on any server.
pub(crate) async fn assert_websocket(http: &mut Http) {
    assert_it_echoes(&mut websocket(http).await).await;
}

async fn websocket(http: &mut Http) -> Ws<TokioIo<Upgraded>> {
    open(http, WEBSOCKET).await.0
}

#[tokio::test]
async fn polling_works() {
    let server = Server::start().await;
    assert_polling(server.client().await, "").await;
}

#[tokio::test]
async fn a_held_poll_and_a_post_share_a_connection() {
    let server = Server::start().await;
    let mut http = server.client().await;
    let mut poller = Poller::connect(&mut http, "").await;

    let held = tokio::spawn(http.begin(Method::GET, &poller.target, ""));
    poller.post(&mut http, ECHO).await;
    let (status, headers, body) = within(held).await.unwrap();

    assert_eq!((status, &*body), (StatusCode::OK, ECHO));
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    assert!(!headers.contains_key(header::CONNECTION));
}

#[tokio::test]
async fn a_stream_becomes_a_websocket() {
    let server = Server::start().await;
    let mut http = server.client().await;

    let (mut ws, headers) = open(&mut http, WEBSOCKET).await;

    assert_it_echoes(&mut ws).await;
    for name in [
        header::CONNECTION,
        header::UPGRADE,
        header::SEC_WEBSOCKET_ACCEPT,
    ] {
        assert!(!headers.contains_key(&name), "{name}");
    }
}

#[tokio::test]
async fn websockets_polls_and_pages_share_a_connection() {
    let server = Server::start().await;
    let mut http = server.client().await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(websocket(&mut http).await);
    }

    for ws in &mut sockets {
        assert_it_echoes(ws).await;
    }
    assert_eq!(http.get("/").await.2, "inner");
    assert_polling(http, "").await;
    assert_eq!(server.handle.count(To::All), 21);
}

#[tokio::test]
async fn layers_around_leave_a_stream_alone() {
    let server = Server::around(|app| {
        let hour = Duration::from_secs(3600);
        let all = ServiceBuilder::new()
            .layer(TraceLayer::new_for_http())
            .layer(CatchPanicLayer::new())
            .layer(CorsLayer::permissive())
            .layer(TimeoutLayer::with_status_code(
                StatusCode::REQUEST_TIMEOUT,
                hour,
            ))
            .layer(RequestBodyLimitLayer::new(1_000_000))
            .layer(CompressionLayer::new());
        app.layer(all)
    })
    .await;
    let mut http = server.client().await;

    assert_websocket(&mut http).await;
    assert_polling(http, "").await;
}

/// More than a stream's first window, both ways.
#[tokio::test]
async fn a_large_message_passes() {
    let server = Server::start().await;
    let mut http = server.client().await;
    let mut ws = websocket(&mut http).await;
    ws.text().await;
    let long = ECHO.replace(r#""a""#, &format!("{:?}", "long ".repeat(150_000)));

    ws.send(&long).await;

    assert!(ws.text().await == long, "another text came back");
}

#[tokio::test]
async fn a_client_on_polling_goes_over_to_a_stream() {
    let mut server = Server::start().await;
    let mut http = server.client().await;
    let poller = Poller::connect(&mut http, "").await;

    let target = format!("{WEBSOCKET}&sid={}", poller.sid);
    let (mut ws, _) = open(&mut http, &target).await;
    ws.send("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    ws.send("5").await;
    server.notice("upgrade").await;

    ws.send(ECHO).await;
    assert_eq!(ws.text().await, ECHO);
}

#[tokio::test]
async fn a_server_that_closes_says_so_and_ends_the_stream() {
    let mut server = Server::start().await;
    let mut http = server.client().await;
    let mut ws = websocket(&mut http).await;
    ws.text().await;

    drop(server.handle.close(To::All, "over").await);

    assert_eq!(ws.closed().await, Some(1000));
    assert_eq!(
        server.disconnected().await,
        CloseReason::Application("over".into())
    );
    assert_eq!(http.get("/").await.2, "inner");
}

#[tokio::test]
async fn a_client_that_resets_its_stream_is_gone_and_its_connection_is_not() {
    let mut server = Server::start().await;
    let mut http = server.client().await;
    let mut ws = websocket(&mut http).await;
    assert_it_echoes(&mut ws).await;

    drop(ws);

    assert_eq!(server.disconnected().await, CloseReason::TransportClose);
    assert_it_echoes(&mut websocket(&mut http).await).await;
}

#[tokio::test]
async fn what_is_no_opening_handshake_is_refused() {
    let server = Server::start().await;
    let mut http = server.client().await;
    drop(websocket(&mut http).await);
    let version = |value: Option<&'static str>| {
        let mut request = connect(WEBSOCKET, "websocket");
        request.headers_mut().remove(header::SEC_WEBSOCKET_VERSION);
        if let Some(value) = value {
            let value = header::HeaderValue::from_static(value);
            request
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_VERSION, value);
        }
        request
    };
    let no_account = "/stream/?EIO=4&transport=websocket";
    let polling = "/stream/?EIO=4&transport=polling&account=ann";
    let stranger = format!("{WEBSOCKET}&sid=unknown");

    for (request, code) in [
        (version(None), 3),
        (version(Some("8")), 3),
        (connect(WEBSOCKET, "connect-udp"), 2),
        (connect(polling, "websocket"), 2),
        (connect(no_account, "websocket"), 3),
        (connect(&stranger, "websocket"), 1),
    ] {
        let asked = format!("{request:?}");
        let (status, _, body) = ask(&mut http, request).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{asked}");
        assert!(
            body.starts_with(&format!(r#"{{"code":{code},"#)),
            "{asked} {body}"
        );
    }
    let (status, _, body) = http.get(WEBSOCKET).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
}
