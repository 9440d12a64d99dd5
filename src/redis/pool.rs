use std::{sync::Arc, time::Duration};

#[cfg(feature = "redis-cluster")]
use deadpool_redis::redis::cluster_async::ClusterConnection;
use deadpool_redis::{
    PoolError,
    redis::{RedisError, RedisResult, aio::MultiplexedConnection},
};

use super::wire::Make;

/// A pool of any kind.
#[derive(Clone)]
pub(super) enum Pool {
    Single(deadpool_redis::Pool),
    #[cfg(feature = "redis-cluster")]
    Cluster(deadpool_redis::cluster::Pool),
    #[cfg(feature = "redis-sentinel")]
    Sentinel(deadpool_redis::sentinel::Pool),
}

/// What a pool gives.
pub(super) enum Source {
    /// Connections to one server, whose calls end after the time of ours.
    One(Make<MultiplexedConnection>),
    /// Connections to all servers of a Cluster.
    #[cfg(feature = "redis-cluster")]
    Cluster(Make<ClusterConnection>),
}

impl Pool {
    pub(super) fn source(self, timeout: Duration) -> Source {
        match self {
            Self::Single(pool) => Source::One(make(move || {
                let pool = pool.clone();
                async move {
                    Ok(bounded(
                        deadpool_redis::Connection::take(taken(pool.get().await)?),
                        timeout,
                    ))
                }
            })),
            #[cfg(feature = "redis-sentinel")]
            Self::Sentinel(pool) => Source::One(make(move || {
                let pool = pool.clone();
                async move {
                    let taken = taken(pool.get().await)?;
                    Ok(bounded(
                        deadpool_redis::sentinel::Connection::take(taken),
                        timeout,
                    ))
                }
            })),
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(pool) => Source::Cluster(make(move || {
                let pool = pool.clone();
                async move {
                    let taken = taken(pool.get().await)?;
                    Ok(deadpool_redis::cluster::Connection::take(taken))
                }
            })),
        }
    }
}

fn make<C, F: Future<Output = RedisResult<C>> + Send + 'static>(
    take: impl Fn() -> F + Send + Sync + 'static,
) -> Make<C> {
    Arc::new(move || {
        #[cfg(feature = "redis-tls")]
        super::tls::choose_cryptography();
        Box::pin(take())
    })
}

/// How long a call takes is ours to say.
fn bounded(mut connection: MultiplexedConnection, timeout: Duration) -> MultiplexedConnection {
    connection.set_response_timeout(timeout);
    connection
}

fn taken<C>(taken: Result<C, PoolError>) -> RedisResult<C> {
    taken.map_err(|error| match error {
        PoolError::Backend(error) => error,
        other => RedisError::from(std::io::Error::other(other.to_string())),
    })
}
