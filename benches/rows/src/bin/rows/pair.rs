//! Two nodes and the Redis between them, all on the same CPU.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::sleep;

use crate::meter::Meter;
use crate::row::Sample;
use crate::server::{Command, Server};

/// How long two nodes may take to be sure that they know each other.
const MEETING: Duration = Duration::from_secs(4);

/// Two nodes of one cluster.
pub(crate) struct Pair {
    pub(crate) nodes: [Server; 2],
    redis: Server,
}

impl Pair {
    /// Starts a fresh Redis and two nodes of the command, which take `--redis URL`.
    pub(crate) async fn start(command: &Command) -> Result<Self> {
        let redis = Server::redis().await?;
        let url = format!("redis://{}/", redis.address);
        let flags = ["--redis", &url];
        let nodes = [
            Server::start(command, &flags).await?,
            Server::start(command, &flags).await?,
        ];
        sleep(MEETING).await;
        Ok(Self { nodes, redis })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        for node in self.nodes {
            node.stop().await?;
        }
        self.redis.stop().await.context("redis-server")
    }
}

/// Takes the time of both nodes and of Redis.
pub(crate) struct PairMeter<'a> {
    nodes: Meter<'a>,
    redis: Meter<'a>,
}

impl<'a> PairMeter<'a> {
    pub(crate) fn start(pair: &'a Pair) -> Result<Self> {
        let [one, other] = &pair.nodes;
        Ok(Self {
            nodes: Meter::start(&[one, other])?,
            redis: Meter::start(&[&pair.redis])?,
        })
    }

    /// Microseconds of the nodes, of Redis, and of the nodes in user mode a unit; units a second.
    pub(crate) fn stop(self, units: u64) -> Result<Sample> {
        let redis = self.redis.total(units)?;
        let nodes = self.nodes.stop(units)?;
        Ok(vec![nodes[0], redis, nodes[1], nodes[2]])
    }
}
