//! Publishing from outside: whoever has a secret sends events to those who are connected, over
//! plain HTTP.
//!
//! ```
//! use axum::Router;
//! use primacron::PrimacronLayer;
//!
//! let layer = PrimacronLayer::in_memory();
//! let publisher = layer.handle().publisher("2f0c8a1d5e9b47c3");
//!
//! // On a port of its own, say, that only the servers of the house reach.
//! let inside: Router = Router::new().route_service("/publish", publisher);
//! # drop(inside);
//! ```

mod answer;
mod document;
mod future;
mod publisher;

pub use self::{future::Publishing, publisher::Publisher};
