//! Settings and their defaults.
//!
//! A program sets them on the [`PrimacronLayer`](crate::PrimacronLayer), where one that makes no
//! sense panics. [`Config`] is for settings that come from outside, a file say: what makes no
//! sense there is a [`ConfigError`].
//!
//! ```
//! use primacron::{Config, PrimacronLayer};
//!
//! let config: Config = serde_json::from_str(r#"{"path": "/live/", "ping_interval_ms": 10000}"#)?;
//! let layer = PrimacronLayer::in_memory().configure(&config)?;
//! # drop(layer);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bus;
mod error;
mod outside;
mod presence;
mod secret;
mod settings;

pub(crate) use self::{
    bus::BusSettings,
    presence::PresenceSettings,
    secret::Secrets,
    settings::{MAX_PAYLOAD, Origins, RELAY, Settings},
};
pub use self::{
    error::ConfigError,
    outside::{BusConfig, Config, PresenceConfig},
    presence::FencedPolicy,
    secret::Secret,
    settings::QueuePolicy,
};
