#[cfg(feature = "redis-cluster")]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[cfg(feature = "redis-cluster")]
use deadpool_redis::redis::cluster_async::ClusterConnection;
use deadpool_redis::redis::{
    Cmd, Pipeline, RedisError, RedisResult, ServerErrorKind, Value,
    aio::{ConnectionLike, MultiplexedConnection},
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
    /// Calls in a row that no server of a Cluster answered.
    #[cfg(feature = "redis-cluster")]
    unanswered: AtomicUsize,
}

/// After so many calls in a row without an answer, a connection to a Cluster is given up.
#[cfg(feature = "redis-cluster")]
const MAX_UNANSWERED: usize = 2;

impl Link {
    /// Nothing is connected yet. The scripts are those that calls name.
    pub(crate) fn new(redis: Redis, scripts: Vec<Script>, timeout: Duration) -> Self {
        Self {
            pool: redis.pool,
            scripts,
            timeout,
            connection: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
            #[cfg(feature = "redis-cluster")]
            unanswered: AtomicUsize::new(0),
        }
    }

    /// Whether what is asked is spread over several servers, of which each can be lost alone.
    pub(crate) const fn is_cluster(&self) -> bool {
        #[cfg(feature = "redis-cluster")]
        return matches!(self.pool, Pool::Cluster(_));
        #[cfg(not(feature = "redis-cluster"))]
        false
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
                let results = join_all(each).await;
                self.note_answers(&results);
                Ok(results)
            }
        }
    }

    /// Calls one script or command, and tells what surely was not done.
    pub(crate) async fn call_once(&self, call: &Cmd) -> Result<Value, CallError> {
        let deadline = Instant::now() + self.timeout;
        let connected = in_time(deadline, self.connect()).await;
        match connected.map_err(|error| CallError::Surely(self.lost(&error)))? {
            Connection::Single(connection) => {
                let called = in_time(deadline, self.send_one(connection, call)).await;
                called.map_err(|error| match blame(&error) {
                    refused @ StoreError::Refused(_) => CallError::Surely(refused),
                    // It has said so itself.
                    StoreError::Unreachable(_) if error.code().is_some() => {
                        CallError::Surely(self.lost(&error))
                    }
                    StoreError::Unreachable(_) => CallError::Perhaps(self.lost(&error)),
                })
            }
            #[cfg(feature = "redis-cluster")]
            Connection::Cluster(connection) => {
                let called = in_time(deadline, self.send_one(connection, call)).await;
                // It was tried more than once, and this is the last error only.
                called.map_err(|error| CallError::Perhaps(self.lost(&error)))
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
        // All of it once more, in order: every call can be repeated. But what was done the first
        // time is told only by the first answer.
        let in_full = calls.iter().map(|call| self.in_full(call));
        let again = pipeline(in_full)
            .query_async::<Vec<RedisResult<Value>>>(&mut connection)
            .await?;
        let both = results.into_iter().zip(again);
        let known = |(first, again)| {
            if is_unknown_script(&first) {
                again
            } else {
                first
            }
        };
        Ok(both.map(known).collect())
    }

    /// The servers of a Cluster do not wait for each other.
    async fn send_one(
        &self,
        mut connection: impl ConnectionLike + Send,
        call: &Cmd,
    ) -> RedisResult<Value> {
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

    /// On one connection a lost server can come to stall all others: then a new one helps.
    #[cfg(feature = "redis-cluster")]
    fn note_answers(&self, results: &[Result<Value, StoreError>]) {
        let is_answer = |result: &Result<_, _>| !matches!(result, Err(StoreError::Unreachable(_)));
        if results.iter().any(is_answer) {
            self.unanswered.store(0, Ordering::Relaxed);
        } else if self.unanswered.fetch_add(results.len(), Ordering::Relaxed) >= MAX_UNANSWERED {
            self.reconnect();
        }
    }

    async fn connect(&self) -> RedisResult<Connection> {
        if let Some(connection) = self.connection.lock().clone() {
            return Ok(connection);
        }
        let _one = self.connecting.lock().await;
        if let Some(connection) = self.connection.lock().clone() {
            return Ok(connection);
        }
        let mut connection = self.pool.take().await?;
        connection.wait_for(self.timeout);
        #[cfg(feature = "redis-cluster")]
        self.unanswered.store(0, Ordering::Relaxed);
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

impl Connection {
    /// How long a call takes is ours to say, where the connection has a time of its own.
    fn wait_for(&mut self, timeout: Duration) {
        match self {
            Self::Single(connection) => connection.set_response_timeout(timeout),
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(_) => {}
        }
    }
}

/// Why there is no answer to a call.
#[derive(Clone, Debug)]
pub(crate) enum CallError {
    /// It surely had no effect.
    Surely(StoreError),
    /// It had one, or will have, or not.
    Perhaps(StoreError),
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
    result.map_err(|error| blame(&error))
}

fn blame(error: &RedisError) -> StoreError {
    blame_for(error.code(), error.to_string())
}

/// What a script of ours heard of a command and handed on.
pub(crate) fn blame_for(code: Option<&str>, text: String) -> StoreError {
    match code {
        Some("WRONGTYPE" | "ERR" | "NOPERM" | "OOM") => StoreError::Refused(text.into()),
        _ => StoreError::Unreachable(text.into()),
    }
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
