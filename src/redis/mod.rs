//! Redis as the rooms above need it: a connection out of any pool, and scripts.
//!
//! ```
//! use primacron::{PrimacronLayer, Redis, IntoRedis};
//!
//! let redis: Redis = "redis://127.0.0.1/".into_redis()?;
//! let layer = PrimacronLayer::new(redis);
//! # Ok::<(), primacron::ConfigError>(())
//! ```
//!
//! With the feature `redis-tls`, [`IntoRedis`] says whom `rediss://` trusts.

mod into;
#[cfg(feature = "redis-cluster")]
mod lanes;
mod link;
mod pool;
mod script;
#[cfg(feature = "redis-cluster")]
mod slots;
#[cfg(feature = "redis-tls")]
mod tls;
mod wire;

pub use self::into::{IntoRedis, Redis};
pub(crate) use self::{
    link::{CallError, Link, blame_for},
    script::Script,
};
