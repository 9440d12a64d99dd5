//! What is counted (feature `metrics`), behind the [`metrics`](https://docs.rs/metrics) facade.
//!
//! Install a recorder before the first request: each layer asks for its handles once, then, and
//! keeps them. Layers of one process count into the same metrics. Labels take few values: none
//! tells an account, a session, a socket id or an event.
//!
//! | name | kind | unit | labels |
//! | --- | --- | --- | --- |
//! | [`CONNECTIONS`] | gauge | connections | `transport` |
//! | [`HANDSHAKES`] | counter | connections | `transport` |
//! | [`UPGRADES`] | counter | connections | |
//! | [`DISCONNECTS`] | counter | connections | `reason` |
//! | [`REJECTED`] | counter | requests | `status` |
//! | [`RECEIVED`] | counter | messages | |
//! | [`SENT`] | counter | messages | |
//! | [`REFUSED`] | counter | messages | `kind` |
//! | [`HANDLER_TIME`] | histogram | seconds | |
//! | [`QUEUED`] | gauge | bytes | |
//! | [`QUEUE_FULL`] | counter | messages | |
//! | [`PRESENCE`] | gauge | 0 or 1 | `state` |
//! | [`BUS_ENTRIES`] | counter | entries | `direction` |
//! | [`BUS_BYTES`] | counter | bytes | `direction` |
//! | [`NOTICES`] | counter | notices | `name` |
//!
//! ```
//! use metrics_exporter_prometheus::PrometheusBuilder;
//! use primacron::PrimacronLayer;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let prometheus = PrometheusBuilder::new().install_recorder()?;
//!
//! let app: axum::Router = axum::Router::new()
//!     .route("/metrics", axum::routing::get(async move || prometheus.render()))
//!     .layer(PrimacronLayer::in_memory().service(tower::service_fn(
//!         async |message: primacron::Message| Ok::<_, std::convert::Infallible>(message.args().clone()),
//!     )));
//! # drop(app);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "metrics")]
mod handles;
#[cfg(feature = "metrics")]
mod names;
#[cfg(not(feature = "metrics"))]
mod off;
#[cfg(feature = "metrics")]
mod on;

#[cfg(feature = "metrics")]
pub use self::names::{
    BUS_BYTES, BUS_ENTRIES, CONNECTIONS, DISCONNECTS, HANDLER_TIME, HANDSHAKES, NOTICES, PRESENCE,
    QUEUE_FULL, QUEUED, RECEIVED, REFUSED, REJECTED, SENT, UPGRADES,
};
#[cfg(not(feature = "metrics"))]
pub(crate) use self::off::{Backlog, Metrics, Stopwatch};
#[cfg(feature = "metrics")]
pub(crate) use self::on::{Backlog, Metrics, Stopwatch};
