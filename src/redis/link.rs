use std::time::Duration;

#[cfg(feature = "redis-cluster")]
use deadpool_redis::redis::cluster_async::ClusterConnection;
use deadpool_redis::redis::{
    Cmd, Pipeline, RedisError, RedisResult, ServerErrorKind, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
#[cfg(feature = "redis-cluster")]
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::{Redis, Script, pool::Source, wire::Wire};
#[cfg(feature = "redis-cluster")]
use super::{
    lanes::{Lane, Lanes},
    wire::Numbered,
};
use crate::error::StoreError;

/// A node's way to Redis: a connection taken out of the pool, and made anew when it breaks. To a
/// Cluster there are several, so that a server that is lost holds up nobody but itself.
///
/// Every call ends within the command timeout.
pub(crate) struct Link {
    way: Way,
    scripts: Vec<Script>,
    timeout: Duration,
}

enum Way {
    One(Wire<MultiplexedConnection>),
    #[cfg(feature = "redis-cluster")]
    Cluster(Lanes),
}

impl Link {
    /// Nothing is connected yet. The scripts are those that calls name.
    pub(crate) fn new(redis: Redis, scripts: Vec<Script>, timeout: Duration) -> Self {
        let way = match redis.pool.source(timeout) {
            Source::One(make) => Way::One(Wire::new(make, timeout)),
            #[cfg(feature = "redis-cluster")]
            Source::Cluster(make) => Way::Cluster(Lanes::new(&make, timeout)),
        };
        Self {
            way,
            scripts,
            timeout,
        }
    }

    /// Whether what is asked is spread over several servers, of which each can be lost alone.
    pub(crate) const fn is_cluster(&self) -> bool {
        #[cfg(feature = "redis-cluster")]
        return matches!(self.way, Way::Cluster(_));
        #[cfg(not(feature = "redis-cluster"))]
        false
    }

    /// The next call makes a new connection: this one may be bound to servers that are none any
    /// more. Where there is one server, a call that does not reach it does the same. A connection
    /// to a Cluster that answers is kept.
    pub(crate) fn reconnect(&self) {
        match &self.way {
            Way::One(wire) => wire.reconnect(),
            #[cfg(feature = "redis-cluster")]
            Way::Cluster(lanes) => lanes.reconnect(),
        }
    }

    /// The next call makes a new connection, whatever became of the last one.
    pub(crate) fn disconnect(&self) {
        match &self.way {
            Way::One(wire) => wire.reconnect(),
            #[cfg(feature = "redis-cluster")]
            Way::Cluster(lanes) => lanes.disconnect(),
        }
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
        match &self.way {
            Way::One(wire) => {
                let sent = in_time(deadline, self.send(wire, &calls)).await;
                let results = sent.map_err(|error| self.lost(&error))?;
                let results = results.into_iter().map(sort_out).map(refused_or_lost);
                let results: Result<_, _> = results.collect();
                results.inspect_err(|_| self.reconnect())
            }
            #[cfg(feature = "redis-cluster")]
            Way::Cluster(lanes) => {
                lanes.look_up(deadline).await;
                Ok(self.call_lanes(lanes, deadline, &calls).await)
            }
        }
    }

    /// Calls one script or command, and tells what surely was not done.
    pub(crate) async fn call_once(&self, call: &Cmd) -> Result<Value, CallError> {
        let deadline = Instant::now() + self.timeout;
        match &self.way {
            Way::One(wire) => {
                let connected = in_time(deadline, wire.connect()).await;
                let over = connected.map_err(|error| CallError::Surely(self.lost(&error)))?;
                let called = in_time(deadline, self.send_one(over.connection, call)).await;
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
            Way::Cluster(lanes) => {
                lanes.look_up(deadline).await;
                let lane = lanes.lane(call);
                let connected = in_time(deadline, lanes.connect(lane)).await;
                let over = connected.map_err(|error| CallError::Surely(unreachable_for(&error)))?;
                let called = self.call_over(lanes, deadline, (lane, &over), call).await;
                // It was tried more than once, and this is the last error only.
                called.map_err(|error| CallError::Perhaps(unreachable_for(&error)))
            }
        }
    }

    /// The servers of a Cluster do not wait for each other. Calls of one server keep their order.
    #[cfg(feature = "redis-cluster")]
    async fn call_lanes(
        &self,
        lanes: &Lanes,
        deadline: Instant,
        calls: &[Cmd],
    ) -> Vec<Result<Value, StoreError>> {
        let mut groups: Vec<(Lane, Vec<usize>)> = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            let lane = lanes.lane(call);
            match groups.iter_mut().find(|(known, _)| *known == lane) {
                Some((_, group)) => group.push(index),
                None => groups.push((lane, vec![index])),
            }
        }
        let each = groups.into_iter().map(async |(lane, group)| {
            let connected = in_time(deadline, lanes.connect(lane)).await;
            let each = group.into_iter().map(async |index| {
                let called = match &connected {
                    Ok(over) => {
                        let over = (lane, over);
                        self.call_over(lanes, deadline, over, &calls[index]).await
                    }
                    Err(error) => Err(error.clone()),
                };
                (index, sort_out(called))
            });
            join_all(each).await
        });
        let mut results = join_all(each).await.concat();
        results.sort_unstable_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }

    #[cfg(feature = "redis-cluster")]
    async fn call_over(
        &self,
        lanes: &Lanes,
        deadline: Instant,
        (lane, over): (Lane, &Numbered<ClusterConnection>),
        call: &Cmd,
    ) -> RedisResult<Value> {
        let called = in_time(deadline, self.send_one(over.connection.clone(), call)).await;
        let lost = |error| matches!(blame(error), StoreError::Unreachable(_));
        lanes.note(lane, over, !called.as_ref().is_err_and(lost));
        called
    }

    /// One server runs a pipeline in order.
    async fn send(
        &self,
        wire: &Wire<MultiplexedConnection>,
        calls: &[Cmd],
    ) -> RedisResult<Vec<RedisResult<Value>>> {
        let mut connection = wire.connect().await?.connection;
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

    fn lost(&self, error: &RedisError) -> StoreError {
        self.reconnect();
        unreachable_for(error)
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
