use std::time::Duration;

use deadpool_redis::redis::{
    Cmd, Pipeline, RedisError, RedisResult, ServerErrorKind, Value, aio::MultiplexedConnection,
};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::{Redis, Script};
use crate::error::StoreError;

/// A pool of any kind.
#[derive(Clone)]
pub(super) enum Pool {
    Single(deadpool_redis::Pool),
    #[cfg(feature = "redis-cluster")]
    Cluster(deadpool_redis::cluster::Pool),
    #[cfg(feature = "redis-sentinel")]
    Sentinel(deadpool_redis::sentinel::Pool),
}

/// A connection of any kind. Clones share it.
#[derive(Clone)]
enum Connection {
    Single(MultiplexedConnection),
    #[cfg(feature = "redis-cluster")]
    Cluster(deadpool_redis::redis::cluster_async::ClusterConnection),
}

/// The one connection of a node, taken out of the pool, and made anew when it breaks.
///
/// Every call ends within the command timeout.
pub(crate) struct Link {
    pool: Pool,
    scripts: Vec<Script>,
    timeout: Duration,
    connection: Mutex<Option<Connection>>,
    /// One at a time connects.
    connecting: tokio::sync::Mutex<()>,
}

impl Link {
    /// Nothing is connected yet. The scripts are made known to every server that it meets.
    pub(crate) fn new(redis: Redis, scripts: Vec<Script>, timeout: Duration) -> Self {
        Self {
            pool: redis.pool,
            scripts,
            timeout,
            connection: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
        }
    }

    /// Calls one script.
    pub(crate) async fn call(&self, call: Cmd) -> Result<Value, StoreError> {
        let mut results = self.call_all(vec![call]).await?;
        results
            .pop()
            .unwrap_or_else(|| Err(StoreError::Unreachable("no answer".into())))
    }

    /// Calls many, in order on one server; on a Cluster at the same time, in order a slot.
    pub(crate) async fn call_all(
        &self,
        calls: Vec<Cmd>,
    ) -> Result<Vec<Result<Value, StoreError>>, StoreError> {
        let called = timeout(self.timeout, self.try_call_all(&calls)).await;
        let results = match called {
            Ok(Ok(results)) => results.into_iter().map(sort_out).collect(),
            Ok(Err(error)) => Err(unreachable_for(&error)),
            Err(_) => Err(StoreError::Unreachable("no answer in time".into())),
        };
        if results.is_err() {
            // It may be bound to a server that is no master any more.
            *self.connection.lock() = None;
        }
        results
    }

    async fn try_call_all(&self, calls: &[Cmd]) -> RedisResult<Vec<RedisResult<Value>>> {
        let connection = self.connect().await?;
        let results = connection.send(calls).await?;
        let unknown = |result: &RedisResult<Value>| matches!(result, Err(error) if error.kind() == ServerErrorKind::NoScript.into());
        if !results.iter().any(unknown) {
            return Ok(results);
        }
        // All of it once more, in order: every call can be repeated.
        connection.load(&self.scripts).await?;
        connection.send(calls).await
    }

    async fn connect(&self) -> RedisResult<Connection> {
        if let Some(connection) = self.connection.lock().clone() {
            return Ok(connection);
        }
        let _one = self.connecting.lock().await;
        if let Some(connection) = self.connection.lock().clone() {
            return Ok(connection);
        }
        let connection = self.pool.take().await?;
        connection.load(&self.scripts).await?;
        *self.connection.lock() = Some(connection.clone());
        Ok(connection)
    }
}

impl Pool {
    async fn take(&self) -> RedisResult<Connection> {
        match self {
            Self::Single(pool) => {
                let taken = pool.get().await.map_err(from_pool)?;
                Ok(Connection::Single(deadpool_redis::Connection::take(taken)))
            }
            #[cfg(feature = "redis-sentinel")]
            Self::Sentinel(pool) => {
                let taken = pool.get().await.map_err(from_pool)?;
                let taken = deadpool_redis::sentinel::Connection::take(taken);
                Ok(Connection::Single(taken))
            }
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(pool) => {
                let taken = pool.get().await.map_err(from_pool)?;
                let taken = deadpool_redis::cluster::Connection::take(taken);
                Ok(Connection::Cluster(taken))
            }
        }
    }
}

impl Connection {
    async fn send(&self, calls: &[Cmd]) -> RedisResult<Vec<RedisResult<Value>>> {
        match self.clone() {
            Self::Single(mut connection) => {
                let mut pipeline = Pipeline::with_capacity(calls.len());
                for call in calls {
                    pipeline.add_command(call.clone());
                }
                pipeline.ignore_errors().query_async(&mut connection).await
            }
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(connection) => {
                let each = calls.iter().map(|call| {
                    let mut connection = connection.clone();
                    async move { call.query_async::<Value>(&mut connection).await }
                });
                Ok(futures_util::future::join_all(each).await)
            }
        }
    }

    async fn load(&self, scripts: &[Script]) -> RedisResult<()> {
        let loads: Vec<Cmd> = scripts.iter().map(Script::load).collect();
        for loaded in self.send(&loads).await? {
            loaded?;
        }
        Ok(())
    }
}

/// Tells what one call did wrong from what is wrong with the store: then nothing of the batch is
/// sure.
fn sort_out(result: RedisResult<Value>) -> Result<Result<Value, StoreError>, StoreError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => match error.code() {
            Some("WRONGTYPE" | "ERR" | "NOPERM" | "OOM") => {
                Ok(Err(StoreError::Refused(error.to_string().into())))
            }
            _ => Err(unreachable_for(&error)),
        },
    }
}

fn unreachable_for(error: &RedisError) -> StoreError {
    StoreError::Unreachable(error.to_string().into())
}

fn from_pool(error: deadpool_redis::PoolError) -> RedisError {
    match error {
        deadpool_redis::PoolError::Backend(error) => error,
        other => std::io::Error::other(other.to_string()).into(),
    }
}
