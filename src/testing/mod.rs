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

mod message;

pub use self::message::MessageBuilder;
