//! Servers and frameworks, as they were tried, with the versions.
//!
//! Each of these is a test of this crate (in `tests/frameworks`), over real sockets and with clients that
//! others wrote.
//!
//! | | version | polling | websocket | how |
//! | --- | --- | --- | --- | --- |
//! | axum | 0.8 | yes | yes | `Router::layer`, see below |
//! | hyper alone, HTTP/1.1 | 1.12 | yes | yes | `serve_connection(..).with_upgrades()` |
//! | hyper-util, both versions on one port | 0.1 | yes | yes | `serve_connection_with_upgrades` |
//! | HTTP/2, with TLS or by prior knowledge | hyper 1.12 | yes | feature `http2` | extended CONNECT, see below |
//! | tonic beside it, in axum | 0.14 | yes | yes | `Routes::into_axum_router`, merged |
//! | tonic's own server | 0.14 | yes | no: it upgrades nothing | `Server::layer`, with `accept_http1(true)` for browsers |
//! | tokio-rustls below hyper | 0.26 | yes | yes | |
//! | axum-server with rustls | 0.8 | yes | yes | |
//! | Unix socket | axum 0.8 | yes | yes | `axum::serve` with a `UnixListener` |
//! | warp | 0.4 | yes | yes | `warp::service(filters)` as the inner service, hyper serves |
//! | salvo | 1.1 | yes | yes | `Service::hoop(layer.compat())`, its feature `tower-compat` |
//!
//! Without any of them, [`serve`](crate::serve) is a whole server.
//!
//! # axum
//!
//! The layer stands around the whole router, and is added after its routes and its fallback:
//!
//! ```
//! use axum::{Router, extract::State, routing::get};
//! # use primacron::{Message, PrimacronLayer};
//! # let primacron = PrimacronLayer::in_memory()
//! #     .service(tower::service_fn(async |_: Message| Ok::<_, std::convert::Infallible>(())));
//!
//! async fn index(State(title): State<&'static str>) -> &'static str {
//!     title
//! }
//!
//! let api = Router::new().route("/version", get("1"));
//! let app: Router = Router::new()
//!     .route("/", get(index))
//!     .nest("/api", api)
//!     .fallback(async || "nothing here")
//!     .layer(primacron)
//!     .with_state("a title");
//! # drop(app);
//! ```
//!
//! No route has the endpoint's path, so what matters is the fallback that the layer is around:
//!
//! | | the endpoint |
//! | --- | --- |
//! | `.fallback(f).layer(primacron)` | is served |
//! | `.layer(primacron).fallback(f)` | is not: the new fallback takes it |
//! | `.layer(primacron).route(..)` | is served; the new route does not pass the layer |
//! | `.route_layer(primacron)` | is not, unless there is a route of its path |
//! | `a.merge(b.layer(primacron))` | is served |
//! | `a.layer(primacron).merge(b)` | is not: the fallback of `b` counts |
//! | `.nest("/api", a.layer(primacron))` | is not, unless `a` has a fallback of its own |
//! | `.nest_service("/api", a.layer(primacron))` | is served at `/api/stream/` |
//! | `.nest("/api", a).layer(primacron)` | is served at its own [`path`](crate::PrimacronLayer::path) |
//!
//! As a route it does not depend on any of this; the path below a nested router is the one that the
//! layer sees, without the prefix:
//!
//! ```
//! use axum::{Router, http::StatusCode, routing::get};
//! use tower::Layer;
//! # use primacron::{Message, PrimacronLayer};
//! # let primacron = PrimacronLayer::in_memory()
//! #     .service(tower::service_fn(async |_: Message| Ok::<_, std::convert::Infallible>(())));
//!
//! let endpoint = primacron.layer(get(StatusCode::NOT_FOUND));
//! let app: Router = Router::new().nest("/api", Router::new().route_service("/stream/", endpoint));
//! # drop(app);
//! ```
//!
//! # hyper
//!
//! ```no_run
//! use std::convert::Infallible;
//!
//! use http::{Request, Response};
//! use hyper::{body::Incoming, server::conn::http1};
//! use hyper_util::{rt::TokioIo, service::TowerToHyperService};
//! use tokio::net::TcpListener;
//! use tower::{Layer, service_fn};
//! # use primacron::{Message, PrimacronLayer};
//!
//! # async fn example() -> std::io::Result<()> {
//! # let primacron = PrimacronLayer::in_memory()
//! #     .service(service_fn(async |_: Message| Ok::<_, Infallible>(())));
//! let page = async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new("hello".to_owned()));
//! let service = TowerToHyperService::new(primacron.layer(service_fn(page)));
//!
//! let listener = TcpListener::bind("127.0.0.1:3000").await?;
//! loop {
//!     let (stream, _) = listener.accept().await?;
//!     let connection = http1::Builder::new()
//!         .serve_connection(TokioIo::new(stream), service.clone())
//!         .with_upgrades(); // or no websocket opens
//!     tokio::spawn(async move { drop(connection.await) });
//! }
//! # }
//! ```
//!
//! # HTTP/2
//!
//! Long polling works as it is, and a browser's GET and POST share a connection. A websocket over
//! HTTP/2 is one stream of a connection that the browser has already ([RFC 8441]). It takes the feature
//! `http2` of this crate, and a server that offers it: `axum::serve` with axum's feature `http2` does;
//! others say `http2().enable_connect_protocol()` on the builder of hyper-util or axum-server. Where it
//! is not offered, browsers open a websocket over HTTP/1.1 beside.
//!
//! Each version of HTTP is answered in its own way: 101 with `Connection: Upgrade` over HTTP/1.1, 200 and
//! an open stream over HTTP/2, where headers of a connection are not allowed.
//!
//! [RFC 8441]: https://www.rfc-editor.org/rfc/rfc8441
