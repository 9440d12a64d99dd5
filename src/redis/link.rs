use std::time::Duration;

#[cfg(feature = "redis-cluster")]
use deadpool_redis::redis::cluster_async::ClusterConnection;
use deadpool_redis::redis::{
    Cmd, Pipeline, RedisError, RedisResult, ServerErrorKind, Value, aio::MultiplexedConnection,
};
#[cfg(feature = "redis-cluster")]
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

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
    Cluster(ClusterConnection),
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
    /// Nothing is connected yet. The scripts are those that calls name.
    pub(crate) fn new(redis: Redis, scripts: Vec<Script>, timeout: Duration) -> Self {
        Self {
            pool: redis.pool,
            scripts,
            timeout,
            connection: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
        }
    }

    /// The next call makes a new connection: this one may be bound to servers that are none any
    /// more. Where there is one server, a call that does not reach it does the same.
    pub(crate) fn reconnect(&self) {
        *self.connection.lock() = None;
    }

    /// Calls one script or command.
    pub(crate) async fn call(&self, call: Cmd) -> Result<Value, StoreError> {
        let mut results = self.call_all(vec![call]).await?;
        results
            .pop()
            .unwrap_or_else(|| Err(StoreError::Unreachable("no answer".into())))
    }

    /// Calls many, in order on one server; on a Cluster at the same time. A script that a server
    /// does not know is sent to it in full, and then what was called with it may run once more.
    ///
    /// The inner error is of one call: it was refused, or, on a Cluster, its server was not reached.
    ///
    /// # Errors
    ///
    /// When the store was not reached: nothing of the batch is sure.
    pub(crate) async fn call_all(
        &self,
        calls: Vec<Cmd>,
    ) -> Result<Vec<Result<Value, StoreError>>, StoreError> {
        let deadline = Instant::now() + self.timeout;
        let connected = in_time(deadline, self.connect()).await;
        match connected.map_err(|error| self.lost(&error))? {
            Connection::Single(connection) => {
                let sent = in_time(deadline, self.send(connection, &calls)).await;
                let results = sent.map_err(|error| self.lost(&error))?;
                let results = results.into_iter().map(sort_out).map(refused_or_lost);
                let results: Result<_, _> = results.collect();
                results.inspect_err(|_| self.reconnect())
            }
            #[cfg(feature = "redis-cluster")]
            Connection::Cluster(connection) => {
                let each = calls.iter().map(|call| {
                    let sent = self.send_one(connection.clone(), call);
                    async move { sort_out(in_time(deadline, sent).await) }
                });
                Ok(join_all(each).await)
            }
        }
    }

    /// One server runs a pipeline in order.
    async fn send(
        &self,
        mut connection: MultiplexedConnection,
        calls: &[Cmd],
    ) -> RedisResult<Vec<RedisResult<Value>>> {
        let results = pipeline(calls.iter().cloned())
            .query_async::<Vec<RedisResult<Value>>>(&mut connection)
            .await?;
        if !results.iter().any(is_unknown_script) {
            return Ok(results);
        }
        // All of it once more, in order: every call can be repeated.
        let in_full = calls.iter().map(|call| self.in_full(call));
        pipeline(in_full).query_async(&mut connection).await
    }

    /// The servers of a Cluster do not wait for each other.
    #[cfg(feature = "redis-cluster")]
    async fn send_one(&self, mut connection: ClusterConnection, call: &Cmd) -> RedisResult<Value> {
        let result = call.query_async(&mut connection).await;
        if !is_unknown_script(&result) {
            return result;
        }
        self.in_full(call).query_async(&mut connection).await
    }

    /// The same with the text of its script, by which the server comes to know it.
    fn in_full(&self, call: &Cmd) -> Cmd {
        let known = self.scripts.iter().find_map(|script| script.in_full(call));
        known.unwrap_or_else(|| call.clone())
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
        *self.connection.lock() = Some(connection.clone());
        Ok(connection)
    }

    fn lost(&self, error: &RedisError) -> StoreError {
        self.reconnect();
        unreachable_for(error)
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

fn pipeline(calls: impl ExactSizeIterator<Item = Cmd>) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(calls.len());
    for call in calls {
        pipeline.add_command(call);
    }
    pipeline.ignore_errors();
    pipeline
}

async fn in_time<T>(
    deadline: Instant,
    what: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    match timeout_at(deadline, what).await {
        Ok(result) => result,
        Err(_) => Err(std::io::Error::other("no answer in time").into()),
    }
}

fn is_unknown_script<T>(result: &RedisResult<T>) -> bool {
    let no_script = ServerErrorKind::NoScript.into();
    result
        .as_ref()
        .is_err_and(|error| error.kind() == no_script)
}

/// Tells what a server does not do from what it could not be asked.
fn sort_out(result: RedisResult<Value>) -> Result<Value, StoreError> {
    result.map_err(|error| match error.code() {
        Some("WRONGTYPE" | "ERR" | "NOPERM" | "OOM") => {
            StoreError::Refused(error.to_string().into())
        }
        _ => unreachable_for(&error),
    })
}

/// A server that answers one call with its own trouble is not to be relied on for the others.
fn refused_or_lost(
    result: Result<Value, StoreError>,
) -> Result<Result<Value, StoreError>, StoreError> {
    match result {
        Err(error @ StoreError::Unreachable(_)) => Err(error),
        known => Ok(known),
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
