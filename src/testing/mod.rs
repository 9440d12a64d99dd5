//! What tests of an application need (feature `testing`).
//!
//! A handler is a tower service, and is tested like one:
//!
//! ```
//! use primacron::{Message, Reply, User};
//! use tower::ServiceExt;
//!
//! async fn greet(message: Message) -> Result<Reply, std::convert::Infallible> {
//!     let name: String = message.args().get(0).unwrap_or_default();
//!     Ok(Reply::event("greeting", (format!("hello {name}"),)))
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let message = Message::builder("greet", ("ann",))
//!     .user(User::new("ann", "session", "sid"))
//!     .build();
//! let reply = tower::service_fn(greet).oneshot(message).await.unwrap();
//! assert_eq!(reply.as_event().unwrap().0, "greeting");
//! assert_eq!(reply.to_json().unwrap(), serde_json::json!(["hello ann"]));
//! # });
//! ```
//!
//! What becomes of an application whose servers die is tried out with the nodes of a
//! [`Cluster`](crate::Cluster), in one process and in paused time:
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::Router;
//! use primacron::{Cluster, Find, Message, PrimacronLayer};
//!
//! async fn nothing(_: Message) -> Result<(), std::convert::Infallible> {
//!     Ok(())
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let cluster = Cluster::new();
//! let layers = [0, 1].map(|_| cluster.layer().service(tower::service_fn(nothing)));
//! let [one, two] = [0, 1].map(|index| layers[index].handle());
//! let _servers = layers.map(|layer| Router::<()>::new().layer(layer));
//! tokio::time::sleep(Duration::from_secs(5)).await; // they get to know one another
//! assert_eq!(two.nodes().unwrap().len(), 2);
//!
//! cluster.kill(&one);
//! tokio::time::sleep(Duration::from_secs(5)).await; // it is missed
//! assert_eq!(two.nodes().unwrap().len(), 1);
//! # });
//! ```

mod cluster;
mod message;

pub use self::message::MessageBuilder;
