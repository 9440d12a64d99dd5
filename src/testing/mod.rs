//! What tests of an application need (feature `testing`).
//!
//! A handler is a tower service, and is tested like one, with a [`Message`](crate::Message) made
//! by hand and an [`Outbox`] that shows what it sends:
//!
//! ```
//! use primacron::{Message, PublicError, Reply, testing::Outbox};
//! use serde_json::json;
//! use tower::ServiceExt;
//!
//! async fn greet(message: Message) -> Result<Reply, PublicError> {
//!     let name: String = message.args().get(0).unwrap_or_default();
//!     message.socket().send("hint", ("be kind",)).await.ok();
//!     Ok(Reply::event("greeting", (format!("hello {name}"),)))
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let outbox = Outbox::new();
//! let message = Message::builder("greet", ("ann",)).outbox(&outbox).build();
//!
//! let reply = tower::service_fn(greet).oneshot(message).await.unwrap();
//!
//! assert_eq!(reply.as_event(), Some(("greeting", json!(["hello ann"]))));
//! assert_eq!(outbox.events(), [("hint".to_owned(), json!(["be kind"]))]);
//! # });
//! ```
//!
//! The whole of it, validators, accounts and middleware included, is tested with a [`Client`]. It
//! calls the service that would be served, in this process and without a socket:
//!
//! ```
//! use primacron::{Args, Message, PrimacronLayer, User, testing::Client};
//! use serde_json::json;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
//! # .block_on(async {
//! let layer = PrimacronLayer::in_memory()
//!     .validate("shout", |args: &Args, _: &User| args.get::<&str>(0).map(drop))
//!     .service(tower::service_fn(async |message: Message| {
//!         let text: String = message.args().get(0)?;
//!         Ok::<_, primacron::ArgsError>(json!([text.to_uppercase()]))
//!     }));
//! let app = axum::Router::<()>::new().layer(layer);
//!
//! let mut ann = Client::builder(&app).account("ann").connect().await;
//!
//! assert_eq!(ann.ask("shout", ("hello",)).await, Ok(json!(["HELLO"])));
//! ann.send("shout", (1,));
//! let report = ann.expect_refusal("error::validation").await;
//! assert_eq!(report.event.as_deref(), Some("shout"));
//! ann.close().await;
//! # });
//! ```
//!
//! # Several servers
//!
//! The nodes of a [`Cluster`](crate::Cluster) are several servers in one process, which can be
//! killed, stopped and cut off from one another:
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::Router;
//! use primacron::{Cluster, Handle, Message, PublicError, Reply, Wait, testing::Client};
//! use serde_json::json;
//! use tokio::time::sleep;
//!
//! /// Tells somebody something, wherever they are, and the sender what became of it.
//! async fn tell(node: Handle, message: Message) -> Result<Reply, PublicError> {
//!     let [account, session] = message.data::<[String; 2]>().ok_or(PublicError::new("whom?"))?;
//!     let wait = Wait::written(Duration::from_secs(30));
//!     let told = node.forward(account, session, "told", ("hello",), wait).await;
//!     let outcome = told.map_err(|_| PublicError::new("not sendable"))?;
//!     Ok(Reply::args((outcome.name(),)))
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
//! # .block_on(async {
//! let cluster = Cluster::new();
//! let server = || {
//!     let layer = cluster.layer().validate_as::<[String; 2]>("tell");
//!     let (handle, node) = (layer.handle(), layer.handle());
//!     let layer = layer.service(tower::service_fn(move |message| tell(node.clone(), message)));
//!     (Router::<()>::new().layer(layer), handle)
//! };
//! let ((one, _), (two, second)) = (server(), server());
//! let mut ann = Client::builder(&one).account("ann").connect().await;
//! let mut bob = Client::builder(&two).account("bob").connect().await;
//! let bobs = ["bob".to_owned(), bob.session().to_owned()];
//! sleep(Duration::from_secs(5)).await; // the nodes get to know each other
//!
//! assert_eq!(ann.ask("tell", (&bobs,)).await, Ok(json!(["written"])));
//! assert_eq!(bob.expect_event("told").await, json!(["hello"]));
//!
//! cluster.kill(&second);
//! assert_eq!(ann.ask("tell", (&bobs,)).await, Ok(json!(["unknown"])), "as long as nobody knows");
//! assert_eq!(ann.ask("tell", (&bobs,)).await, Ok(json!(["no_session"])));
//! # });
//! ```
//!
//! # Time
//!
//! Clients answer pings by themselves, as real ones do. All of it runs under tokio's paused clock
//! (`#[tokio::test(start_paused = true)]`): hours of heartbeats pass in no time, and an expectation
//! that cannot be met fails at once. With the real clock it fails after
//! [`patience`](ClientBuilder::patience).

mod body;
mod builder;
mod caller;
mod client;
mod cluster;
mod expect;
mod message;
mod outbox;
mod polling;
mod post;
mod received;
mod websocket;

pub use self::{
    body::Body,
    builder::ClientBuilder,
    client::Client,
    message::MessageBuilder,
    outbox::Outbox,
    received::{Disconnected, Received, Rejected, Report},
};
