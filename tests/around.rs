//! Layers of tower-http and tower around the endpoint, in axum, over real sockets: what they see of a
//! held poll and of a websocket, and what they may refuse.

#[path = "common/mod.rs"]
mod common;

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::extract::Request as AxumRequest;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::read::GzDecoder;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use primacron::{CloseReason, Notice, PrimacronLayer, To};
use tokio::io::AsyncReadExt as _;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::{BoxError, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{
    MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use tower_http::validate_request::{ValidateRequest, ValidateRequestHeaderLayer};

use self::common::{Frame, Poller, Request, Server, WS_PING, Ws, frame, upgrade_request, within};

const HOUR: Duration = Duration::from_secs(3600);

/// What the page of the application says.
const PAGE: &str = "the application";

/// So short that every held poll meets it.
const SHORT: Duration = Duration::from_millis(50);

fn as_it_is(layer: PrimacronLayer) -> PrimacronLayer {
    layer
}

async fn in_app(wrap: impl FnOnce(Router) -> Router) -> Server {
    Server::echo_in(as_it_is, wrap).await
}

/// Both transports echo.
async fn assert_it_serves(server: &Server) {
    Poller::open(server).await.assert_alive(server).await;
    assert_it_echoes(&mut Ws::open(server).await).await;
    Request::new("GET", "/")
        .send(server)
        .await
        .assert(200, PAGE);
}

async fn assert_it_echoes(ws: &mut Ws) {
    ws.send("4a").await;
    assert_eq!(ws.text().await, "4a");
}

/// A websocket that is opened by a request of the test's own.
async fn websocket(server: &Server, set: impl FnOnce(Request) -> Request) -> Ws {
    let request = set(upgrade_request("EIO=4&transport=websocket"));
    let mut ws = Ws::ask(server, &request).await.expect("101");
    assert!(ws.text().await.starts_with("0{"));
    ws
}

#[tokio::test]
async fn a_trace_sees_a_held_poll_until_its_answer_and_a_websocket_until_its_101() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let server = in_app(|app| {
        let trace = TraceLayer::new_for_http().on_response(
            move |response: &Response, _: Duration, _: &_| {
                let mut seen = sees.lock().unwrap_or_else(PoisonError::into_inner);
                seen.push(response.status().as_u16());
            },
        );
        app.layer(trace)
    })
    .await;
    let all = || std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));

    let client = Poller::open(&server).await;
    let mut held = client.hold_poll(&server).await;
    let mut ws = Ws::open(&server).await;
    assert_it_echoes(&mut ws).await;
    assert_eq!(all(), [200, 101]);

    client.post(&server, "4a").await.assert(200, "ok");
    held.answer().await.assert(200, "4a");
    let mut seen = all();
    seen.sort_unstable();
    assert_eq!(seen, [200, 200]);
    assert_it_echoes(&mut ws).await;
}

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin([HeaderValue::from_static("https://page.example")])
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION])
        .allow_credentials(true)
}

fn from_page(request: Request) -> Request {
    request.header("origin", "https://page.example")
}

#[tokio::test]
async fn a_page_of_another_origin_connects_through_cors() {
    let server = in_app(|app| app.layer(cors())).await;

    let preflight = Request::to_stream("OPTIONS", "EIO=4&transport=polling&sid=x")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type");
    let preflight = from_page(preflight).send(&server).await;
    assert_eq!((preflight.status(), preflight.text()), (200, ""));
    let methods = preflight.header("access-control-allow-methods");
    assert_eq!(methods, Some("GET,POST"));

    let handshake = from_page(Request::handshake()).send(&server).await;
    let client = Poller::of(&handshake);
    let post = from_page(client.request("POST")).body("4a");
    let post = post.send(&server).await;
    let poll = from_page(client.request("GET")).send(&server).await;
    let error = Request::to_stream("GET", "EIO=4&transport=polling&sid=x");
    let error = from_page(error).send(&server).await;
    assert_eq!((post.text(), poll.text()), ("ok", "4a"));
    error.assert_error(400, 1);
    for answer in [&preflight, &handshake, &post, &poll, &error] {
        let origin = answer.header("access-control-allow-origin");
        assert_eq!(origin, Some("https://page.example"), "{answer:?}");
        let credentials = answer.header("access-control-allow-credentials");
        assert_eq!(credentials, Some("true"), "{answer:?}");
    }
    assert_it_echoes(&mut websocket(&server, from_page).await).await;
}

#[tokio::test]
async fn cors_does_not_open_the_endpoint_to_cookies_and_the_list_of_origins_does() {
    let with_cookie = |request| from_page(request).header("cookie", "login=1");
    let server = in_app(|app| app.layer(cors())).await;
    let refused = with_cookie(Request::handshake()).send(&server).await;
    refused.assert_error(403, 4);

    let listed = |layer: PrimacronLayer| layer.allowed_origins(["https://page.example"]);
    let server = Server::echo_in(listed, |app| app.layer(cors())).await;
    let handshake = with_cookie(Request::handshake()).send(&server).await;
    handshake.assert_open();
    assert_it_echoes(&mut websocket(&server, with_cookie).await).await;
}

#[tokio::test]
async fn what_is_polled_is_compressed_for_who_asks_for_it() {
    let server = in_app(|app| app.layer(CompressionLayer::new())).await;
    let client = Poller::open(&server).await;
    let long = format!("4{}", "again and ".repeat(1_000));
    let zipped = |request: Request| request.header("accept-encoding", "gzip");

    let post = zipped(client.request("POST")).body(&long);
    let post = post.send(&server).await;
    assert_eq!((post.text(), post.header("content-encoding")), ("ok", None));
    let poll = zipped(client.request("GET")).header("connection", "close");
    let mut answer = Vec::new();
    let mut http = poll.begin(&server).await;
    let read = within(http.stream.read_to_end(&mut answer)).await;
    read.expect("the server answers and closes");

    assert!(answer.len() < long.len() / 10, "{} bytes", answer.len());
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.expect("a head") + 4);
    let head = str::from_utf8(head).expect("a head of text");
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut plain = String::new();
    let unzipped = GzDecoder::new(&*without_chunks(body)).read_to_string(&mut plain);
    unzipped.expect("a body of gzip");
    assert_eq!(plain, long);
    let mut ws = websocket(&server, zipped).await;
    assert_it_echoes(&mut ws).await;
}

/// The content of a chunked body.
fn without_chunks(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n");
        let (size, rest) = body.split_at(end.expect("the size of a chunk"));
        let size = str::from_utf8(size).expect("a number");
        let size = usize::from_str_radix(size, 16).expect("a number");
        if size == 0 {
            return content;
        }
        content.extend(&rest[2..2 + size]);
        body = &rest[2 + size + 2..];
    }
}

fn timeout(after: Duration) -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, after)
}

#[tokio::test]
async fn a_timeout_below_the_ping_interval_loses_whoever_polls_and_no_websocket() {
    let mut server = in_app(|app| app.layer(timeout(SHORT))).await;
    let mut ws = Ws::open(&server).await;

    let client = Poller::open(&server).await;
    let answer = client.poll(&server).await;

    assert_eq!((answer.status(), answer.text()), (408, ""));
    let reason = server.disconnected().await;
    let broke_off = CloseReason::TransportError("poll connection closed prematurely");
    assert_eq!(reason, broke_off);
    client.assert_gone(&server).await;
    assert_it_echoes(&mut ws).await;
}

#[tokio::test]
async fn a_timeout_above_the_ping_interval_meets_no_poll() {
    let often = |layer: PrimacronLayer| layer.ping_interval(SHORT);
    let server = Server::echo_in(often, |app| app.layer(timeout(HOUR))).await;
    let client = Poller::open(&server).await;

    client.poll(&server).await.assert(200, "2");
}

#[tokio::test]
async fn a_timeout_of_the_routes_alone_leaves_polls_in_peace() {
    let layer = PrimacronLayer::in_memory()
        .validate("echo", |_: &_, _: &_| true)
        .service(tower::service_fn(async |_| Ok::<_, BoxError>(())));
    let handle = layer.handle();
    let server = in_app(|_| {
        Router::new()
            .route("/slow", get(std::future::pending::<()>))
            .layer(timeout(SHORT))
            .layer(layer)
    })
    .await;
    let client = Poller::open(&server).await;
    let mut held = client.hold_poll(&server).await;

    let slow = Request::new("GET", "/slow").send(&server).await;

    assert_eq!(slow.status(), 408);
    drop(handle.broadcast(To::All, "news", ("x",)).await);
    let heard = r#"4{"event":"news","args":["x"]}"#;
    held.answer().await.assert(200, heard);
}

#[tokio::test]
async fn a_body_limit_refuses_a_post_and_counts_no_message_of_a_websocket() {
    let server = in_app(|app| app.layer(RequestBodyLimitLayer::new(100))).await;
    let client = Poller::open(&server).await;
    let long = format!("4{}", "x".repeat(100));

    assert_eq!(client.post(&server, &long).await.status(), 413);
    client.assert_alive(&server).await;

    let mut ws = Ws::open(&server).await;
    ws.send(&long).await;
    assert_eq!(ws.text().await, long);

    let chunked = client
        .request("POST")
        .header("transfer-encoding", "chunked");
    let mut http = chunked.begin(&server).await;
    http.send(format!("65\r\n{long}\r\n0\r\n\r\n")).await;
    http.answer().await.assert_error(400, 3);
    client.assert_gone(&server).await;
}

#[derive(Clone)]
struct Bearer;

impl<B> ValidateRequest<B> for Bearer {
    type ResponseBody = Body;

    fn validate(&mut self, request: &mut http::Request<B>) -> Result<(), Response> {
        let given = request.headers().get(header::AUTHORIZATION);
        if given.is_some_and(|given| given == "Bearer open sesame") {
            return Ok(());
        }
        Err(StatusCode::UNAUTHORIZED.into_response())
    }
}

#[tokio::test]
async fn a_bearer_is_asked_of_every_request() {
    let server = in_app(|app| app.layer(ValidateRequestHeaderLayer::custom(Bearer))).await;
    let bearer = |request: Request| request.header("authorization", "Bearer open sesame");

    assert_eq!(Request::handshake().send(&server).await.status(), 401);
    let request = upgrade_request("EIO=4&transport=websocket");
    let refused = Ws::ask(&server, &request).await.expect_err("no 101");
    assert_eq!(refused.status(), 401);

    let client = Poller::of(&bearer(Request::handshake()).send(&server).await);
    assert_eq!(client.post(&server, "4a").await.status(), 401);
    let post = bearer(client.request("POST")).body("4a");
    post.send(&server).await.assert(200, "ok");
    let poll = bearer(client.request("GET"));
    poll.send(&server).await.assert(200, "4a");
    assert_it_echoes(&mut websocket(&server, bearer).await).await;
}

#[tokio::test]
async fn a_panic_of_the_account_function_is_an_answer() {
    let fragile = |layer: PrimacronLayer| {
        layer.account(|parts: &Parts| {
            assert!(!parts.headers.contains_key("x-fuse"), "on purpose");
            "ann"
        })
    };
    let server = Server::echo_in(fragile, |app| app.layer(CatchPanicLayer::new())).await;
    let blown = |request: Request| request.header("x-fuse", "blown");
    let client = Poller::open(&server).await;

    for request in [
        blown(Request::handshake()),
        blown(upgrade_request("EIO=4&transport=websocket")),
        blown(client.request("GET")),
        blown(client.request("POST")).body("4a"),
    ] {
        assert_eq!(request.send(&server).await.status(), 500);
    }
    client.assert_alive(&server).await;
    assert_it_serves(&server).await;
}

#[tokio::test]
async fn the_id_of_a_request_reaches_the_handshake_and_its_answer() {
    const NAME: HeaderName = HeaderName::from_static("x-request-id");
    let kept = |layer: PrimacronLayer| {
        layer.on_handshake(|parts, _| {
            assert!(parts.extensions.get::<RequestId>().is_some());
        })
    };
    let server = Server::echo_in(kept, |app| {
        let ids = ServiceBuilder::new()
            .layer(SetRequestIdLayer::new(NAME, MakeRequestUuid))
            .layer(PropagateRequestIdLayer::new(NAME));
        app.layer(ids)
    })
    .await;

    let handshake = Request::handshake().send(&server).await;
    let client = Poller::of(&handshake);
    let post = client.post(&server, "4a").await;
    let upgrade = upgrade_request("EIO=4&transport=websocket").header("x-request-id", "mine");
    let upgrade = upgrade.begin(&server).await.answer().await;

    let id = |answer: &common::Answer| answer.header("x-request-id").map(str::to_owned);
    assert!(id(&handshake).is_some_and(|id| id.len() == 36));
    assert_ne!(id(&handshake), id(&post));
    assert_eq!(
        (upgrade.status(), id(&upgrade).as_deref()),
        (101, Some("mine"))
    );
    client.assert_alive(&server).await;
}

async fn busy(_: BoxError) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

#[tokio::test]
async fn a_concurrency_limit_counts_a_poll_while_it_is_held_and_a_websocket_until_its_101() {
    let server = in_app(|app| {
        let limit = ServiceBuilder::new()
            .layer(HandleErrorLayer::new(busy))
            .layer(LoadShedLayer::new())
            .layer(GlobalConcurrencyLimitLayer::new(1));
        app.layer(limit)
    })
    .await;

    let mut first = Ws::open(&server).await;
    let mut second = Ws::open(&server).await;
    let client = Poller::open(&server).await;
    let mut held = client.hold_poll(&server).await;
    assert_eq!(client.post(&server, "4a").await.status(), 503);
    assert_eq!(Request::new("GET", "/").send(&server).await.status(), 503);
    assert_it_echoes(&mut first).await;
    assert_it_echoes(&mut second).await;

    drop(server.handle.broadcast(To::All, "message", ("free",)).await);
    held.answer().await.assert(200, "4free");
    client.post(&server, "4a").await.assert(200, "ok");
}

#[tokio::test]
async fn a_limit_of_the_routes_alone_does_not_count_polls() {
    let layer =
        PrimacronLayer::in_memory().service(tower::service_fn(async |_| Ok::<_, BoxError>(())));
    let server = in_app(|_| {
        Router::new()
            .route("/", get(async || PAGE))
            .layer(GlobalConcurrencyLimitLayer::new(1))
            .layer(layer)
    })
    .await;
    let client = Poller::open(&server).await;
    let _held = client.hold_poll(&server).await;

    Request::new("GET", "/")
        .send(&server)
        .await
        .assert(200, PAGE);
    client.post(&server, "3").await.assert(200, "ok");
}

/// An application whose one request that may be under way never ends.
async fn used_up(limit: impl FnOnce(Router) -> Router) -> (Server, common::Http) {
    let layer =
        PrimacronLayer::in_memory().service(tower::service_fn(async |_| Ok::<_, BoxError>(())));
    let slow = Router::new().route("/slow", get(std::future::pending::<()>));
    let server = in_app(|_| limit(slow).layer(layer)).await;
    let request = Request::new("GET", "/slow").begin(&server).await;
    server.until_waiting(1).await;
    (server, request)
}

#[tokio::test]
async fn a_limit_inside_that_is_used_up_keeps_no_connection_waiting() {
    let limit = || GlobalConcurrencyLimitLayer::new(1);

    for used_up in [
        used_up(|app| app.route_layer(limit())).await,
        used_up(|app| app.layer(limit())).await,
    ] {
        let (server, _slow) = used_up;
        Request::handshake().send(&server).await.assert_open();
        Ws::open(&server).await;
    }
}

#[tokio::test]
async fn a_rate_limit_counts_requests_and_no_message_of_a_websocket() {
    let server = in_app(|app| {
        let limit = ServiceBuilder::new()
            .layer(HandleErrorLayer::new(busy))
            .buffer(16)
            .load_shed()
            .rate_limit(3, HOUR);
        app.layer(limit)
    })
    .await;

    let mut ws = Ws::open(&server).await;
    let client = Poller::open(&server).await;
    client.post(&server, "4a").await.assert(200, "ok");
    assert_eq!(client.poll(&server).await.status(), 503);
    for _ in 0..10 {
        assert_it_echoes(&mut ws).await;
    }
}

/// Who is logged in, as a session cookie says.
#[derive(Clone, Debug)]
struct Login {
    id: String,
}

type Sessions = Arc<HashMap<&'static str, Login>>;

/// A cookie layer of an application.
async fn log_in(
    axum::extract::State(sessions): axum::extract::State<Sessions>,
    mut request: AxumRequest,
    next: Next,
) -> Response {
    let cookies = request.headers().get_all(header::COOKIE).iter();
    let login = cookies
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split("; "))
        .filter_map(|cookie| cookie.strip_prefix("login="))
        .find_map(|value| sessions.get(value));
    if let Some(login) = login.cloned() {
        request.extensions_mut().insert(login);
    }
    next.run(request).await
}

async fn with_cookies() -> Server {
    let login = |id: &str| Login { id: id.to_owned() };
    let sessions = [
        ("cookie-of-ann", login("ann")),
        ("cookie-of-bob", login("bob")),
    ];
    let sessions = Sessions::new(sessions.into());
    let account = |layer: PrimacronLayer| {
        layer
            .account(|parts: &Parts| {
                parts
                    .extensions
                    .get::<Login>()
                    .map(|login| login.id.clone())
            })
            .keep::<Login>()
    };
    let add = |app: Router| app.layer(from_fn_with_state(sessions, log_in));
    Server::echo_in(account, add).await
}

fn of(account: &'static str) -> impl Fn(Request) -> Request + Copy {
    move |request| request.header("cookie", &format!("a=b; login=cookie-of-{account}"))
}

#[tokio::test]
async fn a_cookie_decides_whose_a_connection_is_and_a_client_cannot_choose_another() {
    let mut server = with_cookies().await;
    let (ann, bob) = (of("ann"), of("bob"));

    // Requests of the harness claim to be ann.
    let client = Poller::of(&ann(Request::handshake()).send(&server).await);
    let Notice::Connect { user, .. } = server.notice("connect").await else {
        panic!("a name of another notice")
    };
    assert_eq!(user.account(), "ann");
    let mut ws = websocket(&server, ann).await;
    assert_it_echoes(&mut ws).await;

    let upgrade = || upgrade_request("EIO=4&transport=websocket");
    for (request, status) in [
        (Request::handshake(), 401),
        (upgrade(), 401),
        (of("eve")(Request::handshake()), 401),
        (bob(Request::handshake()), 403),
        (bob(upgrade()), 403),
        (client.request("GET"), 401),
        (bob(client.request("GET")), 403),
        (bob(client.request("POST")).body("4a"), 403),
    ] {
        request.send(&server).await.assert_error(status, 4);
    }

    let target = format!("/stream/?EIO=4&transport=polling&sid={}", client.sid);
    let unclaimed = bob(Request::new("POST", target)).body("4a");
    unclaimed.send(&server).await.assert_error(403, 4);
    assert!(
        server
            .heard_so_far()
            .iter()
            .all(|heard| *heard == common::Heard::text("a"))
    );
    let post = ann(client.request("POST")).body("4b");
    post.send(&server).await.assert(200, "ok");
    ann(client.request("GET"))
        .send(&server)
        .await
        .assert(200, "4b");
}

#[tokio::test]
async fn all_of_them_together_serve_both_transports() {
    let server = in_app(|app| {
        let all = ServiceBuilder::new()
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(TraceLayer::new_for_http())
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(CatchPanicLayer::new())
            .layer(cors())
            .layer(timeout(HOUR))
            .layer(RequestBodyLimitLayer::new(1_000_000))
            .layer(CompressionLayer::new());
        app.layer(all)
    })
    .await;

    assert_it_serves(&server).await;
    let mut ws = Ws::open(&server).await;
    ws.bytes(&frame(true, WS_PING, b"x")).await;
    assert_eq!(ws.next().await, Frame::Pong(b"x".to_vec()));
}
