use super::pool::Pool;
use crate::config::ConfigError;

/// Where nodes meet: a pool of connections to Redis.
///
/// Made from what [`IntoRedis`] takes.
#[derive(Clone)]
pub struct Redis {
    pub(super) pool: Pool,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

/// What [`PrimacronLayer::new`](crate::PrimacronLayer::new) takes: a pool of `deadpool-redis`, its
/// config, or a URL; with the features `redis-cluster` and `redis-sentinel` those of a Cluster and
/// of Sentinel, and a list of URLs for a Cluster.
pub trait IntoRedis: sealed::Sealed {
    /// Makes it. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// What makes no sense as an address.
    fn into_redis(self) -> Result<Redis, ConfigError>;
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else implements it")]
    pub trait Sealed {}
}

fn unusable<E>(_: E) -> ConfigError {
    ConfigError::new("redis", "must be an address of Redis")
}

macro_rules! pools {
    ($($(#[$feature:meta])? $room:path, $variant:ident;)*) => {$(
        $(#[$feature])?
        const _: () = {
            use $room as room;

            impl sealed::Sealed for room::Pool {}

            impl IntoRedis for room::Pool {
                fn into_redis(self) -> Result<Redis, ConfigError> {
                    Ok(Redis { pool: Pool::$variant(self) })
                }
            }

            impl sealed::Sealed for room::Config {}

            impl IntoRedis for room::Config {
                fn into_redis(self) -> Result<Redis, ConfigError> {
                    let runtime = deadpool_redis::Runtime::Tokio1;
                    self.create_pool(Some(runtime)).map_err(unusable)?.into_redis()
                }
            }
        };
    )*};
}

pools! {
    deadpool_redis, Single;
    #[cfg(feature = "redis-cluster")] deadpool_redis::cluster, Cluster;
    #[cfg(feature = "redis-sentinel")] deadpool_redis::sentinel, Sentinel;
}

impl sealed::Sealed for Redis {}

impl IntoRedis for Redis {
    fn into_redis(self) -> Result<Redis, ConfigError> {
        Ok(self)
    }
}

impl sealed::Sealed for &str {}

/// One URL: `redis://` or, with the feature `redis-tls`, `rediss://`.
impl IntoRedis for &str {
    fn into_redis(self) -> Result<Redis, ConfigError> {
        deadpool_redis::Config::from_url(self).into_redis()
    }
}

impl sealed::Sealed for String {}

impl IntoRedis for String {
    fn into_redis(self) -> Result<Redis, ConfigError> {
        self.as_str().into_redis()
    }
}

#[cfg(feature = "redis-cluster")]
impl sealed::Sealed for Vec<String> {}

/// URLs of some nodes of a Cluster.
#[cfg(feature = "redis-cluster")]
impl IntoRedis for Vec<String> {
    fn into_redis(self) -> Result<Redis, ConfigError> {
        if self.is_empty() {
            return Err(unusable(()));
        }
        deadpool_redis::cluster::Config::from_urls(self).into_redis()
    }
}
