//! The layer as tower sees it: what is not ours passes untouched, in every kind of server.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, routing::get};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, request::Parts,
};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use primacron::{Args, Handler, Message, PrimacronLayer, Reply, ResponseBody, To, User};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::CorsLayer,
    limit::RequestBodyLimitLayer,
    timeout::{RequestBodyTimeoutLayer, TimeoutLayer},
    trace::TraceLayer,
    validate_request::ValidateRequestHeaderLayer,
};

use self::support::{Ws, notice, serve, soon, tasks, until_tasks};

fn layer() -> PrimacronLayer {
    PrimacronLayer::in_memory().validate("echo", |_: &Args, _: &User| true)
}

fn echo() -> impl Handler + Clone + Sync {
    service_fn(|message: Message| ready(Ok::<_, Infallible>(Reply::args(message.args().clone()))))
}

/// A client on HTTP/1.1 that says what it is told and reads one answer.
struct Http(TcpStream);

impl Http {
    async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Status line and body.
    async fn ask(&mut self, head: &str, body: &str) -> (String, String) {
        let length = body.len();
        let request =
            format!("{head} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && body.len() >= content_length(head)
            {
                return (head.lines().next().unwrap().to_owned(), body.to_owned());
            }
            let read = self.0.read_buf(&mut answer).await.unwrap();
            assert_ne!(read, 0, "the server closed");
        }
    }

    /// Connects on polling; gives back where to go on.
    async fn shake_hands(&mut self) -> String {
        let uri = "/stream/?EIO=4&transport=polling&account=ann";
        let (status, body) = self.ask(&format!("GET {uri}"), "").await;
        assert_eq!(status, "HTTP/1.1 200 OK", "{body}");
        let open: serde_json::Value = serde_json::from_str(&body[1..]).unwrap();
        format!("{uri}&sid={}", open["sid"].as_str().unwrap())
    }
}

fn content_length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .find_map(|(_, length)| length.parse().ok())
        .unwrap_or(0)
}

/// Both transports, and what is not ours, over a real socket.
async fn assert_it_serves(address: SocketAddr) {
    let mut http = Http::connect(address).await;
    assert_eq!(http.ask("GET /", "").await.1, "inner");

    let uri = http.shake_hands().await;
    let message = r#"4{"event":"echo","args":["a"]}"#;
    assert_eq!(http.ask(&format!("POST {uri}"), message).await.1, "ok");
    let (_, body) = http.ask(&format!("GET {uri}"), "").await;
    assert_eq!(body, message);

    let mut ws = Ws::connect_tcp(address, "bob").await;
    ws.emit("echo", json!(["b"])).await;
    assert_eq!(ws.message().await, json!({"event": "echo", "args": ["b"]}));
}

#[tokio::test]
async fn it_serves_as_a_layer_of_an_axum_router() {
    let app = Router::new()
        .route("/", get(async || "inner"))
        .layer(layer().service(echo()));

    soon(assert_it_serves(serve(&app).await)).await;
}

#[tokio::test]
async fn it_serves_below_other_layers() {
    let app = Router::new().route("/", get(async || "inner")).layer(
        ServiceBuilder::new()
            .map_response(|response: Response<_>| response)
            .layer(layer().service(echo()))
            .concurrency_limit(100),
    );

    soon(assert_it_serves(serve(&app).await)).await;
}

/// Serves on a real socket, by hyper alone.
async fn serve_by_hyper<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            tokio::spawn(async move { drop(connection.await) });
        }
    });
    address
}

#[tokio::test]
async fn it_serves_in_a_bare_hyper_server() {
    let inner = service_fn(|_: Request<Incoming>| {
        ready(Ok::<_, Infallible>(Response::new("inner".to_owned())))
    });
    let service = ServiceBuilder::new()
        .layer(layer().service(echo()))
        .service(inner);

    soon(assert_it_serves(serve_by_hyper(service).await)).await;
}

/// Every one of them has a body of its own, or answers with the default of ours.
#[tokio::test]
async fn it_serves_between_layers_that_change_bodies_and_errors() {
    let inner =
        service_fn(|_: Request<_>| ready(Ok::<_, BoxError>(Response::new("inner".to_owned()))));
    let service = ServiceBuilder::new()
        .timeout(Duration::from_secs(3600))
        .load_shed()
        .concurrency_limit(100)
        .layer(TraceLayer::new_for_http())
        .layer(CatchPanicLayer::new())
        .layer(CompressionLayer::new())
        .layer(RequestBodyLimitLayer::new(1_000_000))
        .layer(RequestBodyTimeoutLayer::new(Duration::from_secs(3600)))
        .layer(CorsLayer::permissive())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            Duration::from_secs(3600),
        ))
        .layer(ValidateRequestHeaderLayer::accept("text/plain"))
        .layer(layer().service(echo()))
        .layer(CompressionLayer::new())
        .concurrency_limit(1)
        .map_response(|response: Response<String>| response.map(axum::body::Body::from))
        .service(inner);
    let address = serve_by_hyper(service).await;

    soon(assert_it_serves(address)).await;

    let preflight = "OPTIONS /stream/ HTTP/1.1\r\nHost: a\r\nOrigin: https://b\r\n\
        Access-Control-Request-Method: POST\r\nConnection: close\r\n\r\n";
    let mut http = Http::connect(address).await;
    http.0.write_all(preflight.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(http.0.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn what_stands_for_no_body_is_none() {
    let body = ResponseBody::<OwnBody>::default();

    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    let (frames, error) = frames(body).await;
    assert!(frames.is_empty() && error.is_none());
}

/// A body that is nobody else's.
#[derive(Debug, PartialEq, Eq)]
struct OwnBody(u64);

impl Body for OwnBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match self.0 {
            0 => return Poll::Ready(None),
            1 => Frame::trailers(HeaderMap::from_iter([(
                "x-sum".parse().unwrap(),
                HeaderValue::from_static("7"),
            )])),
            2 => {
                self.0 = 0;
                return Poll::Ready(Some(Err("broke off".into())));
            }
            _ => Frame::data(Bytes::from_static(b"data")),
        };
        self.0 = if self.0 == 1 { 0 } else { 1 };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.0 == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

type Seen = Arc<Mutex<Vec<(Parts, OwnBody)>>>;

/// Keeps every request as it came.
fn recorder(
    seen: &Seen,
) -> impl Service<
    Request<OwnBody>,
    Response = Response<OwnBody>,
    Error = BoxError,
    Future = Ready<Result<Response<OwnBody>, BoxError>>,
> + Clone
+ use<> {
    let seen = Arc::clone(seen);
    service_fn(move |request: Request<OwnBody>| {
        seen.lock().unwrap().push(request.into_parts());
        ready(Ok(Response::new(OwnBody(4))))
    })
}

#[tokio::test]
async fn what_is_not_ours_reaches_the_inner_service_as_it_came() {
    let seen = Seen::default();
    let mut service = layer().service(echo()).layer(recorder(&seen));
    let uris = [
        "/",
        "/other?EIO=4&transport=polling&account=ann",
        "/stream/x?EIO=4",
        "/stream//",
        "//stream/",
        "/streams",
        "/strea",
        "/Stream/",
        "/%73tream/",
        "/stream%2F",
        "http://host/a/stream/",
        "*",
    ];

    for uri in uris {
        let request = Request::builder()
            .method("PURGE")
            .uri(uri)
            .version(Version::HTTP_2)
            .header("x-a", "1")
            .header("x-a", HeaderValue::from_bytes(b"\xff").unwrap())
            .header("upgrade", "websocket")
            .extension("kept")
            .body(OwnBody(9))
            .unwrap();
        service.ready().await.unwrap().call(request).await.unwrap();

        let (parts, body) = seen.lock().unwrap().pop().expect(uri);
        assert_eq!((parts.uri.to_string(), body), (uri.to_owned(), OwnBody(9)));
        assert_eq!(
            (parts.method.as_str(), parts.version),
            ("PURGE", Version::HTTP_2)
        );
        let values: Vec<_> = parts
            .headers
            .get_all("x-a")
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        assert_eq!((values, parts.headers.len()), (vec![&b"1"[..], b"\xff"], 3));
        assert_eq!(parts.extensions.get(), Some(&"kept"));
    }
}

#[tokio::test]
async fn what_is_ours_never_reaches_the_inner_service() {
    let seen = Seen::default();
    let service = layer().service(echo()).layer(recorder(&seen));

    for uri in [
        "/stream",
        "/stream/",
        "/stream?a",
        "/stream/?EIO=4",
        "http://host/stream/",
    ] {
        for method in [Method::GET, Method::POST, Method::OPTIONS, Method::DELETE] {
            let request = Request::builder()
                .method(&method)
                .uri(uri)
                .body(OwnBody(9))
                .unwrap();
            let response = service.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{method} {uri}");
        }
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn another_path_is_taken_in_place_of_ours() {
    let seen = Seen::default();
    let service = layer()
        .path("/live/events/")
        .service(echo())
        .layer(recorder(&seen));
    let ask = async |uri: &str| {
        let request = Request::get(uri).body(OwnBody(9)).unwrap();
        service.clone().oneshot(request).await.unwrap().status()
    };

    assert_eq!(ask("/live/events").await, StatusCode::BAD_REQUEST);
    assert_eq!(ask("/live/events/").await, StatusCode::BAD_REQUEST);
    assert_eq!(ask("/stream/").await, StatusCode::OK);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

/// All frames of a body, and how it ended.
async fn frames<B: Body<Data = Bytes>>(body: B) -> (Vec<Frame<Bytes>>, Option<B::Error>) {
    let mut body = Box::pin(body);
    let mut frames = Vec::new();
    loop {
        match std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            Some(Ok(frame)) => frames.push(frame),
            Some(Err(error)) => return (frames, Some(error)),
            None => return (frames, None),
        }
    }
}

#[tokio::test]
async fn the_inner_response_keeps_its_head_and_its_body() {
    let inner = service_fn(|request: Request<OwnBody>| {
        let response = Response::builder()
            .status(207)
            .header("x-b", "2")
            .extension(7_u8);
        ready(response.body(request.into_body()))
    });
    let service = layer().service(echo()).layer(inner);
    let answer = async |body: u64| -> Response<ResponseBody<OwnBody>> {
        service
            .clone()
            .oneshot(Request::get("/").body(OwnBody(body)).unwrap())
            .await
            .unwrap()
    };

    let response = answer(9).await;
    assert_eq!(response.status(), StatusCode::MULTI_STATUS);
    assert_eq!(response.headers()["x-b"], "2");
    assert_eq!(
        (response.headers().len(), response.extensions().get()),
        (1, Some(&7_u8))
    );
    assert_eq!(response.body().size_hint().exact(), Some(9));
    assert!(!response.body().is_end_stream());
    let (all, error) = frames(response.into_body()).await;
    assert_eq!(all[0].data_ref().unwrap(), "data");
    assert_eq!(all[1].trailers_ref().unwrap()["x-sum"], "7");
    assert!(all.len() == 2 && error.is_none());

    assert!(answer(0).await.body().is_end_stream());
    let (_, error) = frames(answer(2).await.into_body()).await;
    assert_eq!(error.unwrap().to_string(), "broke off");
}

#[tokio::test]
async fn errors_of_the_inner_service_pass() {
    let inner = service_fn(|_: Request<OwnBody>| {
        ready(Err::<Response<OwnBody>, BoxError>("out of order".into()))
    });
    let service = layer().service(echo()).layer(inner);

    let failed = service
        .oneshot(Request::get("/").body(OwnBody(9)).unwrap())
        .await;

    assert_eq!(failed.err().unwrap().to_string(), "out of order");
}

#[tokio::test(start_paused = true)]
async fn readiness_is_that_of_the_inner_service() {
    let (mock, mut requests) = tower_test::mock::pair::<Request<OwnBody>, Response<OwnBody>>();
    let mut service = tower_test::mock::Spawn::new(layer().service(echo()).layer(mock));
    requests.allow(0);
    assert!(service.poll_ready().is_pending());

    requests.allow(1);
    assert!(matches!(service.poll_ready(), Poll::Ready(Ok(()))));
    let answer = tokio::spawn(service.call(Request::get("/").body(OwnBody(9)).unwrap()));
    let (request, respond) = requests.next_request().await.unwrap();
    assert_eq!(request.uri(), "/");
    respond.send_response(Response::new(OwnBody(0)));
    assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::OK);

    requests.send_error("gone");
    let Poll::Ready(Err(error)) = service.poll_ready() else {
        panic!("an error is ready")
    };
    assert_eq!(error.to_string(), "gone");
}

#[tokio::test(start_paused = true)]
async fn a_service_gives_away_its_handle_and_what_it_wraps() {
    let service = layer().service(echo()).layer(7_u8);

    assert_eq!(*service.inner(), 7);
    assert_eq!(
        service.handle().node_id(),
        service.clone().handle().node_id()
    );
}

#[tokio::test]
async fn a_drain_before_the_listener_closes_leaves_no_task() {
    let before = tasks();
    let layer = layer().service(echo());
    let handle = layer.handle();
    let mut notices = handle.notices();
    let app = Router::new().route("/", get(async || "inner")).layer(layer);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let drained = handle.clone();
    let server = tokio::spawn(async move {
        axum::serve(listener, app)
            .with_graceful_shutdown(async move {
                stopped.await.unwrap();
                drained.drain(Duration::from_secs(1)).await;
            })
            .await
    });
    let mut sockets = Vec::new();
    for n in 0..10 {
        sockets.push(Ws::connect_tcp(address, &format!("account-{n}")).await);
    }
    let mut http = Http::connect(address).await;
    let uri = http.shake_hands().await;
    let poll = tokio::spawn(async move { http.ask(&format!("GET {uri}"), "").await });
    let mut idle = Http::connect(address).await;
    assert_eq!(idle.ask("GET /", "").await.1, "inner");
    for _ in 0..11 {
        notice(&mut notices, "connect").await;
    }

    stop.send(()).unwrap();

    assert_eq!(soon(poll).await.unwrap().1, "1");
    for socket in &mut sockets {
        assert_eq!(soon(socket.until_closed()).await, Some(1001));
    }
    drop(sockets);
    soon(server).await.unwrap().unwrap();
    assert_eq!(handle.count(To::All), 0);
    until_tasks(before).await;
}
