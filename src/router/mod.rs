//! Handlers by event: async functions whose arguments say what they need of a message.
//!
//! ```
//! use primacron::{
//!     PrimacronLayer, PublicError, Reply, User,
//!     router::{Data, EventRouter, State},
//! };
//! use serde::Deserialize;
//! use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
//!
//! #[derive(Deserialize)]
//! struct Move {
//!     from: String,
//!     to: String,
//! }
//!
//! type Moves = Arc<AtomicU64>;
//!
//! // `Data<Move>` lets only messages pass whose arguments are a `Move`.
//! async fn play(
//!     Data(Move { from, to }): Data<Move>,
//!     State(moves): State<Moves>,
//!     user: User,
//! ) -> Result<Reply, PublicError> {
//!     if from == to {
//!         return Err(PublicError::new("that is no move"));
//!     }
//!     let nth = moves.fetch_add(1, Ordering::Relaxed);
//!     Ok(Reply::event("moved", (user.account().to_owned(), from, to, nth)))
//! }
//!
//! // Arguments are an answer: to a message with an id its acknowledgement.
//! async fn chat(Data(text): Data<String>) -> (String,) {
//!     (text.to_uppercase(),)
//! }
//!
//! let games = EventRouter::new().on("move", play);
//! let router = EventRouter::new()
//!     .on("chat", chat)
//!     .nest("game::", games)
//!     .with_state(Moves::default());
//!
//! // One line registers handlers and validators.
//! let primacron = PrimacronLayer::in_memory().router(router);
//! # let app: axum::Router = axum::Router::new().layer(primacron);
//! ```
//!
//! # No handler without a validator
//!
//! A router changes nothing about what may pass: a message reaches it only after a validator of its
//! event has let it. [`Data<T>`](Data) brings that validator along. A handler without it is given
//! one by [`EventRouter::on_validated`], by [`EventRouter::validate`] or by the layer's own
//! [`validate`](crate::PrimacronLayer::validate); if nobody does, all messages of its event are
//! refused. A handler of an event without arguments takes `Data<()>`.
//!
//! ```
//! use primacron::{Args, User, router::EventRouter};
//!
//! async fn chat(args: Args, user: User) -> Args {
//!     args
//! }
//!
//! let router: EventRouter = EventRouter::new().on_validated(
//!     "chat",
//!     |args: &Args, _: &User| args.get::<&str>(0).is_ok_and(|text| text.len() <= 2000),
//!     chat,
//! );
//! ```
//!
//! # Back-pressure and middleware
//!
//! [`EventRouter::layer`] puts a middleware around all handlers, [`EventHandler::layer`] around one, and
//! [`EventRouter::on_service`] takes any tower service. Each message gets a copy of its own, which is asked
//! whether it is ready with the message in hand; until it is, nothing more is read from that client.
//! A limit that is shared by thousands of connections holds places for messages only.
//!
//! For a router inside a middleware, or for one a connection, the layer takes the validators alone:
//!
//! ```
//! use std::time::Duration;
//!
//! use primacron::{PrimacronLayer, router::{Data, EventRouter}};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! let router: EventRouter = EventRouter::new().on("chat", async |_: Data<String>| ());
//! let primacron = PrimacronLayer::in_memory()
//!     .validators(&router)
//!     .service_for(move |_| {
//!         ServiceBuilder::new()
//!             .rate_limit(10, Duration::from_secs(1)) // of each connection
//!             .service(router.clone())
//!     });
//! # drop(axum::Router::<()>::new().layer(primacron));
//! ```
//!
//! # What does not compile
//!
//! Errors name the handler, and say what it may take and return:
//!
//! ```compile_fail,E0277
//! use primacron::router::EventRouter;
//!
//! async fn chat(text: String) {} // should be `Data<String>`
//!
//! let router: EventRouter = EventRouter::new().on("chat", chat);
//! ```

mod extract;
mod handler;
mod reply;
mod route;
mod routed;
#[expect(clippy::module_inception, reason = "the router of the router room")]
mod router;

#[cfg(feature = "garde")]
pub use self::extract::Valid;
pub use self::{
    extract::{AckId, Data, Event, Extension, FromMessage, FromRef, Missing, Parsed, State},
    handler::{EventHandler, InLayer, Layered, Parts, PartsAndMessage},
    reply::IntoReply,
    route::{Route, RouteFuture},
    routed::{Routed, Routing},
    router::EventRouter,
};
