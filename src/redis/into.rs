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
///
/// # Connections
///
/// A node keeps three connections out of the pool: for the directory, for what it sends to other
/// nodes, and for what it waits for. To a Cluster of M masters it keeps up to 2 M + 2 of them, M counted
/// up to 8, each connected to all masters, so that a master that hangs or is lost holds up no other.
///
/// # Rights
///
/// Where users of Redis have rights (ACL), `~{NAMESPACE:* +@read +@write +@scripting +@connection
/// -@dangerous +time` is enough; with `+info` a policy that loses keys is told of, and on a Cluster
/// `+cluster|slots` has to be there. What is denied is told as presence or bus that is offline.
///
/// # TLS
///
/// With the feature `redis-tls`, `rediss://` trusts the authorities that the system trusts, or, where
/// the environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR` are set, those found there, so that
/// an authority of one's own needs no code. Name and certificate of the server are always checked.
/// A pool of one server may bring its own authority, and a certificate to show:
///
/// ```
/// # #[cfg(feature = "redis-tls")]
/// # fn layer(pem: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
/// use deadpool_redis::{Manager, Pool, Runtime, redis};
/// use primacron::PrimacronLayer;
///
/// let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(pem) };
/// let client = redis::Client::build_with_tls("rediss://redis.example/", certificates)?;
/// let manager = Manager::new(client.get_connection_info().clone())?;
/// let pool = Pool::builder(manager).runtime(Runtime::Tokio1).build()?;
/// let layer = PrimacronLayer::new(pool);
/// # drop(layer);
/// # Ok(())
/// # }
/// ```
///
/// The cryptography is that which the application installed as the default of rustls; if there is
/// none when the first connection is made, `ring` becomes it.
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
        check_scheme(self)?;
        deadpool_redis::Config::from_url(self).into_redis()
    }
}

fn check_scheme(url: &str) -> Result<(), ConfigError> {
    if cfg!(not(feature = "redis-tls")) && url.starts_with("rediss:") {
        let problem = "must not be rediss:// without the feature redis-tls";
        return Err(ConfigError::new("redis", problem));
    }
    Ok(())
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
        self.iter().try_for_each(|url| check_scheme(url))?;
        deadpool_redis::cluster::Config::from_urls(self).into_redis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_makes_no_sense_is_refused() {
        for address in ["", "redis", "http://127.0.0.1/"] {
            let refused = address.into_redis().unwrap_err();
            assert_eq!(refused.setting(), "redis", "{address}");
        }
    }

    #[test]
    fn tls_needs_its_feature_and_says_so() {
        let made = "rediss://127.0.0.1/".into_redis();
        assert_eq!(made.is_ok(), cfg!(feature = "redis-tls"));
        if let Err(error) = made {
            assert!(error.to_string().contains("the feature redis-tls"));
        }
    }
}
