//! Layers around the endpoint: tower-http's, tower's, your own.
//!
//! In axum, the layer that is added last is the outermost: after `.layer(primacron).layer(x)` every
//! request to the endpoint passes `x` first, and after `.layer(x).layer(primacron)` none does. (In a
//! `ServiceBuilder` it is the other way round.) The endpoint takes any body of a request and gives any
//! body of a response whose data can be made from `Bytes`; errors of the inner service pass.
//!
//! What a layer sees of a connection are its requests:
//!
//! | request | is answered |
//! | --- | --- |
//! | handshake, upgrade of a connection on polling | at once, or when the account function knows |
//! | GET on long polling | when there is something to send, at the latest by the next ping: after [`ping_interval`], 25 s |
//! | POST on long polling | when the last of its messages is with the handler: at once, or with a busy handler after [`hold_timeout`] at most, 60 s |
//! | websocket | at once, by 101, or by 200 over HTTP/2; its messages pass no layer |
//!
//! [`ping_interval`]: crate::PrimacronLayer::ping_interval
//! [`hold_timeout`]: crate::PrimacronLayer::hold_timeout
//! [`max_payload`]: crate::PrimacronLayer::max_payload
//!
//! # Who is logged in
//!
//! A layer of yours finds out, by a cookie, a JWT or whatever you have, and leaves it in the request.
//! [`account`](crate::PrimacronLayer::account) reads it there, and then it alone decides: a client that
//! claims another account in its query is refused with 403, a request to the connection of another
//! account too, and without a login it is 401.
//!
//! ```
//! use axum::{Router, extract::Request, http::{header, request::Parts}, middleware::{Next, from_fn}, response::Response};
//! use primacron::{Message, PrimacronLayer};
//! # use std::convert::Infallible;
//!
//! #[derive(Clone)]
//! struct Login {
//!     id: String,
//! }
//!
//! async fn log_in(mut request: Request, next: Next) -> Response {
//!     let header = request.headers().get(header::AUTHORIZATION);
//!     let token = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
//!     if let Some(login) = token.and_then(verify) {
//!         request.extensions_mut().insert(login);
//!     }
//!     next.run(request).await
//! }
//!
//! /// Checks a signature, or asks a store of sessions.
//! fn verify(token: &str) -> Option<Login> {
//! #   let id = token.to_owned();
//! #   Some(Login { id })
//! }
//!
//! let primacron = PrimacronLayer::in_memory()
//!     .account(|parts: &Parts| parts.extensions.get::<Login>().map(|login| login.id.clone()))
//!     .keep::<Login>() // `message.extensions().get::<Login>()`
//!     .service(tower::service_fn(async |_: Message| Ok::<_, Infallible>(())));
//! let app: Router = Router::new().layer(primacron).layer(from_fn(log_in));
//! # drop(app);
//! ```
//!
//! Browsers send no `Authorization` with a websocket: there it is a cookie. A login is checked when a
//! connection begins and with every request on long polling; to end one that was revoked, close the
//! account with [`Handle::close`](crate::Handle::close).
//!
//! # Refusing requests
//!
//! `ValidateRequestHeaderLayer` answers in place of the endpoint.
//!
//! ```
//! use axum::{Router, body::Body, extract::Request, http::{StatusCode, header}, response::{IntoResponse, Response}};
//! use tower_http::validate_request::{ValidateRequest, ValidateRequestHeaderLayer};
//! # use primacron::{Message, PrimacronLayer};
//! # let primacron = PrimacronLayer::in_memory()
//! #     .service(tower::service_fn(async |_: Message| Ok::<_, std::convert::Infallible>(())));
//!
//! #[derive(Clone)]
//! struct Bearer(&'static str);
//!
//! impl ValidateRequest<Body> for Bearer {
//!     type ResponseBody = Body;
//!
//!     fn validate(&mut self, request: &mut Request) -> Result<(), Response> {
//!         let given = request.headers().get(header::AUTHORIZATION);
//!         let token = given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
//!         match token {
//!             Some(token) if token == self.0 => Ok(()),
//!             _ => Err(StatusCode::UNAUTHORIZED.into_response()),
//!         }
//!     }
//! }
//!
//! let bearer = ValidateRequestHeaderLayer::custom(Bearer("open sesame"));
//! let app: Router = Router::new().layer(primacron).layer(bearer);
//! # drop(app);
//! ```
//!
//! # Traces and ids of requests
//!
//! `TraceLayer` sees a held poll until its answer, and a websocket until its 101. The default span
//! holds the URI, and with it the socket id of a connection on polling, which is a credential: make a
//! span of your own. `SetRequestIdLayer` gives every request an id; the handshake's can stay.
//!
//! ```
//! use axum::{Router, extract::Request};
//! use tower::ServiceBuilder;
//! use tower_http::{
//!     request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
//!     trace::TraceLayer,
//! };
//! # use primacron::{Message, PrimacronLayer};
//! # let handler = tower::service_fn(async |_: Message| Ok::<_, std::convert::Infallible>(()));
//!
//! let primacron = PrimacronLayer::in_memory()
//!     .keep::<RequestId>()
//!     .service(handler);
//! let span = |request: &Request| {
//!     tracing::info_span!("request", method = %request.method(), path = request.uri().path())
//! };
//! let seen = ServiceBuilder::new()
//!     .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
//!     .layer(TraceLayer::new_for_http().make_span_with(span))
//!     .layer(PropagateRequestIdLayer::x_request_id());
//! let app: Router = Router::new().layer(primacron).layer(seen);
//! # drop(app);
//! ```
//!
//! An id that the client chose is a header, and keeps the buffer that its request was read into with
//! the connection: keep a copy of it by [`on_handshake`](crate::PrimacronLayer::on_handshake).
//!
//! # Pages of other origins
//!
//! `CorsLayer` answers the preflight and lets a page read what it polled. Websockets know no CORS; there
//! and on polling, a page of another origin may bring its cookies when
//! [`allowed_origins`](crate::PrimacronLayer::allowed_origins) lists it.
//!
//! ```
//! use axum::{Router, http::{HeaderValue, Method, header}};
//! use tower_http::cors::CorsLayer;
//! # use primacron::{Message, PrimacronLayer};
//! # let handler = tower::service_fn(async |_: Message| Ok::<_, std::convert::Infallible>(()));
//!
//! let primacron = PrimacronLayer::in_memory()
//!     .allowed_origins(["https://page.example"])
//!     .service(handler);
//! let cors = CorsLayer::new()
//!     .allow_origin([HeaderValue::from_static("https://page.example")])
//!     .allow_methods([Method::GET, Method::POST])
//!     .allow_headers([header::CONTENT_TYPE])
//!     .allow_credentials(true);
//! let app: Router = Router::new().layer(primacron).layer(cors);
//! # drop(app);
//! ```
//!
//! # Compression
//!
//! `CompressionLayer` compresses what is polled, where the client asks for it and it is long enough to
//! be worth it. It touches no websocket.
//!
//! ```
//! use axum::Router;
//! use tower_http::compression::CompressionLayer;
//! # use primacron::{Message, PrimacronLayer};
//! # let primacron = PrimacronLayer::in_memory()
//! #     .service(tower::service_fn(async |_: Message| Ok::<_, std::convert::Infallible>(())));
//!
//! let app: Router = Router::new().layer(primacron).layer(CompressionLayer::new());
//! # drop(app);
//! ```
//!
//! # Timeouts
//!
//! A held poll that a `TimeoutLayer` cuts off ends its connection, as if the client had gone away. Two
//! ways out: keep the timeout to the other routes, by adding it before the layer, or set it above
//! [`ping_interval`] and [`hold_timeout`]. A websocket outlives every timeout.
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::{Router, http::StatusCode, routing::get};
//! use tower_http::timeout::TimeoutLayer;
//! # use primacron::{Message, PrimacronLayer};
//! # let handler = tower::service_fn(async |_: Message| Ok::<_, std::convert::Infallible>(()));
//! # let primacron = PrimacronLayer::in_memory().service(handler.clone());
//!
//! let after = |seconds| {
//!     TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(seconds))
//! };
//!
//! let routes_alone: Router = Router::new()
//!     .route("/", get("hello"))
//!     .layer(after(10))
//!     .layer(primacron);
//!
//! let primacron = PrimacronLayer::in_memory()
//!     .ping_interval(Duration::from_secs(15))
//!     .hold_timeout(Duration::from_secs(20))
//!     .service(handler);
//! let everything: Router = Router::new().layer(primacron).layer(after(30));
//! # drop((routes_alone, everything));
//! ```
//!
//! # Size of bodies
//!
//! A POST above [`max_payload`] is answered with 413 already, and the connection lives on. A
//! `RequestBodyLimitLayer` that allows less does the same where the length is announced, as browsers
//! do; a body without length that it cuts off ends the connection. Messages of a websocket are not its
//! business: set [`max_payload`].
//!
//! ```
//! use axum::Router;
//! use tower_http::limit::RequestBodyLimitLayer;
//! # use primacron::{Message, PrimacronLayer};
//! # let handler = tower::service_fn(async |_: Message| Ok::<_, std::convert::Infallible>(()));
//!
//! let primacron = PrimacronLayer::in_memory()
//!     .max_payload(64 * 1024)
//!     .service(handler);
//! let app: Router = Router::new()
//!     .layer(primacron)
//!     .layer(RequestBodyLimitLayer::new(64 * 1024));
//! # drop(app);
//! ```
//!
//! # Panics
//!
//! A panic of a validator or a handler ends that message and nothing else. One of a function that is
//! asked about a request, such as the account function, is an answer of 500 with `CatchPanicLayer`, and
//! a connection that breaks off without.
//!
//! ```
//! use axum::Router;
//! use tower_http::catch_panic::CatchPanicLayer;
//! # use primacron::{Message, PrimacronLayer};
//! # let primacron = PrimacronLayer::in_memory()
//! #     .service(tower::service_fn(async |_: Message| Ok::<_, std::convert::Infallible>(())));
//!
//! let app: Router = Router::new().layer(primacron).layer(CatchPanicLayer::new());
//! # drop(app);
//! ```
//!
//! # Limits
//!
//! They count requests: every GET and POST of a client on polling, and one a websocket. A concurrency
//! limit counts a poll for as long as it is held, so that it needs room for two requests a client on
//! polling, or clients wait for one another. To limit messages, see [`inside`](super::inside).
//!
//! axum applies a layer to each route, and to the fallback, where the endpoint is: a limit that is to be
//! one for all is `GlobalConcurrencyLimitLayer`, and a `rate_limit` is each one's own. Errors of tower
//! become responses by `HandleErrorLayer`.
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::{BoxError, Router, error_handling::HandleErrorLayer, http::StatusCode, routing::get};
//! use tower::{ServiceBuilder, limit::GlobalConcurrencyLimitLayer};
//! # use primacron::{Message, PrimacronLayer};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let primacron = PrimacronLayer::in_memory()
//! #     .service(tower::service_fn(async |_: Message| Ok::<_, std::convert::Infallible>(())));
//! let busy = async |_: BoxError| StatusCode::SERVICE_UNAVAILABLE;
//!
//! let app: Router = Router::new()
//!     .route("/", get("hello"))
//!     // At most 64 requests to these routes at the same time; the endpoint is none of them.
//!     .layer(GlobalConcurrencyLimitLayer::new(64))
//!     .layer(primacron)
//!     // At most 10,000 requests at the same time, held polls among them; and of each route, and of
//!     // the endpoint, 1,000 a second.
//!     .layer(
//!         ServiceBuilder::new()
//!             .layer(HandleErrorLayer::new(busy))
//!             .load_shed()
//!             .layer(GlobalConcurrencyLimitLayer::new(10_000))
//!             .buffer(1_024)
//!             .rate_limit(1_000, Duration::from_secs(1)),
//!     );
//! # drop(app);
//! # });
//! ```
//!
//! A limit inside, before the layer, does not count the endpoint. In axum it does not hold it up either. In
//! a stack of one's own it does: the endpoint is ready when the service inside of it is, because nobody
//! knows yet whose the request will be.
