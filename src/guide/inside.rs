//! Middleware between the layer and the handler: whatever wraps a `Service<Message>`.
//!
//! A message that passed its validator goes to the service that was given to
//! [`service`](crate::PrimacronLayer::service) or [`service_for`](crate::PrimacronLayer::service_for),
//! with all that `ServiceBuilder` put around it. Readiness is asked with a message in hand. Until the
//! service is ready nothing more is read from that client: a limit slows a client down and loses
//! nothing. After [`hold_timeout`](crate::PrimacronLayer::hold_timeout), 60 s, the connection is closed.
//!
//! # One limit for all, or one for each
//!
//! | | [`service`](crate::PrimacronLayer::service): a clone each | [`service_for`](crate::PrimacronLayer::service_for): a new one each |
//! | --- | --- | --- |
//! | `concurrency_limit` | one for all | its own; with a cloned `GlobalConcurrencyLimitLayer` one for all |
//! | `rate_limit` | one for all, under a `buffer` | its own |
//! | `buffer` | one queue for all | its own |
//! | `timeout`, `load_shed`, `filter`, `map_request` | as ever | as ever |
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//!
//! use primacron::{Message, PrimacronLayer, Reply, User};
//! use tower::{ServiceBuilder, limit::GlobalConcurrencyLimitLayer, service_fn};
//!
//! async fn handle(message: Message) -> Result<Reply, Infallible> {
//!     Ok(Reply::args(message.args().clone()))
//! }
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! // Shared: 1,000 messages a second from all clients together, 16 at the same time.
//! let shared = ServiceBuilder::new()
//!     .buffer(64)
//!     .rate_limit(1_000, Duration::from_secs(1))
//!     .concurrency_limit(16)
//!     .service_fn(handle);
//! let layer = PrimacronLayer::in_memory().service(shared);
//!
//! // For each: 10 messages a second from one connection, 16 at the same time from all.
//! let all = GlobalConcurrencyLimitLayer::new(16);
//! let layer = PrimacronLayer::in_memory().service_for(move |_: &User| {
//!     ServiceBuilder::new()
//!         .rate_limit(10, Duration::from_secs(1))
//!         .layer(all.clone())
//!         .service_fn(handle)
//! });
//! # drop(layer);
//! # });
//! ```
//!
//! # What becomes of an error
//!
//! Whatever the service answers with, or fails to become ready with, is
//! [`Notice::Handler`](crate::Notice::Handler) for the application, as it is: `Elapsed` of a timeout and
//! `Overloaded` of a load shed can be told apart there. The client hears `error::handler` with the event
//! and a fixed text, and the fixed text as the answer if it wanted one. Only a
//! [`PublicError`](crate::PublicError), or an error with one among its sources, is heard in its own
//! words; `map_err` makes one of an error of tower.
//!
//! ```
//! use std::time::Duration;
//!
//! use primacron::{Message, PrimacronLayer, PublicError, Reply};
//! use tower::{BoxError, ServiceBuilder, load_shed::error::Overloaded, timeout::error::Elapsed};
//!
//! fn explain(error: BoxError) -> BoxError {
//!     if error.is::<Overloaded>() {
//!         PublicError::new("too many at once, try again").into()
//!     } else if error.is::<Elapsed>() {
//!         PublicError::new("it took too long").into()
//!     } else {
//!         error
//!     }
//! }
//!
//! async fn handle(message: Message) -> Result<Reply, BoxError> {
//!     Ok(Reply::args(message.args().clone()))
//! }
//!
//! let handler = ServiceBuilder::new()
//!     .map_err(explain)
//!     .load_shed()
//!     .concurrency_limit(16)
//!     .timeout(Duration::from_secs(5))
//!     .service_fn(handle);
//! let layer = PrimacronLayer::in_memory().service(handler);
//! # drop(layer);
//! ```
//!
//! # Filters, and services that know nothing of messages
//!
//! `filter` refuses after the validator, by what the connection kept for one, and `map_request` makes of
//! a message what a service of yours takes.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use primacron::{Message, PrimacronLayer, PublicError, Reply};
//! use tower::{ServiceBuilder, service_fn};
//!
//! #[derive(Clone)]
//! struct Moderator;
//!
//! struct Command {
//!     from: String,
//!     name: String,
//! }
//!
//! let run = service_fn(async |command: Command| {
//!     Ok::<_, Infallible>(format!("{} by {}", command.name, command.from))
//! });
//! let handler = ServiceBuilder::new()
//!     .filter(|message: Message| match message.extensions().get::<Moderator>() {
//!         Some(_) => Ok(message),
//!         None => Err(PublicError::new("only for moderators")),
//!     })
//!     .map_request(|message: Message| Command {
//!         from: message.user().account().to_owned(),
//!         name: message.event().to_owned(),
//!     })
//!     .map_response(|done: String| Reply::args((done,)))
//!     .service(run);
//! let layer = PrimacronLayer::in_memory()
//!     .keep::<Moderator>()
//!     .validate("clear", |_: &_, _: &_| true)
//!     .service(handler);
//! # drop(layer);
//! ```
//!
//! # When something goes wrong
//!
//! | what happens | what becomes of it |
//! | --- | --- |
//! | the handler panics, in `call` or in its future | `error::handler` for that message; the connection goes on with a new clone, or a new service of `service_for` |
//! | the service fails to become ready | the same; a `buffer` whose inner service failed stays broken, and every message fails |
//! | the service never becomes ready | the client is held, then closed after `hold_timeout`; other clients go on |
//! | a call ends in an error | the next message gets a new clone, so that a client that was shed or filtered keeps no place in a limit that others wait for; a service of `service_for` stays, and with it its rate limit |
//! | the client leaves during a call | the call goes on to its end, and its answer goes nowhere; a `timeout` is what bounds it |
//! | the node is drained during a call | the same |
//! | the runtime ends | calls are dropped where they are |
//!
//! A [`router`](crate::router) asks a fresh copy of the one handler that a message is for. A service of
//! one's own that asks several inner services for readiness and calls one of them, or none, keeps the
//! places of the others while its connection is idle.
