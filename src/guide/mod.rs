//! How it composes: layers around the endpoint, middleware inside it, and the servers that it runs in.
//!
//! There is nothing here but documentation.
//!
//! - [`around`]: what layers of tower-http and tower, or of your own, do to the endpoint.
//! - [`inside`]: rate limits, timeouts and the like between the layer and your handler.
//! - [`frameworks`]: axum, hyper, tonic, TLS, HTTP/2 and others, as they were tried.
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//!
//! use axum::{Router, routing::get};
//! use primacron::{Args, Message, PrimacronLayer, User};
//! use tower::{ServiceBuilder, service_fn};
//! use tower_http::trace::TraceLayer;
//!
//! // Inside: what every message passes, and its validator before that.
//! let handler = ServiceBuilder::new()
//!     .timeout(Duration::from_secs(5))
//!     .service(service_fn(async |message: Message| {
//!         Ok::<_, Infallible>(message.args().clone())
//!     }));
//! let primacron = PrimacronLayer::in_memory()
//!     .validate("echo", |args: &Args, _: &User| args.len() == 1)
//!     .service(handler);
//!
//! let app: Router = Router::new()
//!     .route("/", get("hello"))
//!     .layer(primacron)
//!     // Around: what every request passes.
//!     .layer(TraceLayer::new_for_http());
//! # drop(app);
//! ```

pub mod around;
pub mod frameworks;
pub mod inside;
