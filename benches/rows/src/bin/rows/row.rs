//! The rows of the table.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::pair::Pair;
use crate::server::{Command, Server};
use crate::{connect, echo, fanout, forward, held, idle, polling, spread};

/// One measurement; [`Row::columns`] names its figures.
pub(crate) type Sample = Vec<f64>;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Echo16,
    Echo1,
    Echo1k,
    Idle,
    Fanout,
    Connect,
    Polling,
    Forward8,
    Forward1,
    Spread,
    Held,
}

impl Row {
    pub(crate) const ALL: [Self; 11] = [
        Self::Echo16,
        Self::Echo1,
        Self::Echo1k,
        Self::Idle,
        Self::Fanout,
        Self::Connect,
        Self::Polling,
        Self::Forward8,
        Self::Forward1,
        Self::Spread,
        Self::Held,
    ];

    /// Finds a row by its name on the command line.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let row = Self::ALL.into_iter().find(|row| row.name() == name);
        row.with_context(|| format!("no row is called {name}: {:?}", Self::ALL.map(Self::name)))
    }

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo16 => "echo16",
            Self::Echo1 => "echo1",
            Self::Echo1k => "echo1k",
            Self::Idle => "idle",
            Self::Fanout => "fanout",
            Self::Connect => "connect",
            Self::Polling => "polling",
            Self::Forward8 => "forward8",
            Self::Forward1 => "forward1",
            Self::Spread => "spread",
            Self::Held => "held",
        }
    }

    /// What one unit of it is.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Echo16 => "validated echo, websocket, 64 B, 16 in flight, 64 connections",
            Self::Echo1 => "validated echo, websocket, 64 B, 1 in flight, 64 connections",
            Self::Echo1k => "validated echo, websocket, 1 KB, 1 in flight, 64 connections",
            Self::Idle => "idle websocket connection, 5,000 open",
            Self::Fanout => "fan-out to 2,000 local sockets, per delivery",
            Self::Connect => "connect + open + close, 16 at a time",
            Self::Polling => "polling round trip (POST + GET), 64 sessions",
            Self::Forward8 => "forward between two nodes, 32 pairs, 8 in flight",
            Self::Forward1 => "forward between two nodes, 32 pairs, 1 in flight",
            Self::Spread => "broadcast to 2 x 500 sessions on two nodes, per delivery",
            Self::Held => "connect + close after 50 ms, two nodes, 64 at a time",
        }
    }

    /// Names of its figures; the first two are compared between servers.
    pub(crate) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Idle => &["KB", "KB after a message", "of it anonymous"],
            Self::Forward8 | Self::Forward1 | Self::Spread => &[
                "nodes us", "redis us", "user us", "a second", "p50 us", "p99 us",
            ],
            Self::Held => &["nodes us", "redis us", "user us", "a second"],
            _ => &["total us", "user us", "a second"],
        }
    }

    /// Measures it once, with fresh processes.
    pub(crate) async fn measure(self, command: &Command, time: Duration) -> Result<Sample> {
        if self.needs_a_pair() {
            let pair = Pair::start(command).await?;
            let sample = self.measure_pair(&pair, time).await?;
            pair.stop().await?;
            return Ok(sample);
        }
        let server = Server::start(command, &[]).await?;
        let sample = self.measure_one(&server, time).await?;
        server.stop().await?;
        Ok(sample)
    }

    /// Whether it takes two nodes and a Redis.
    pub(crate) fn needs_a_pair(self) -> bool {
        matches!(
            self,
            Self::Forward8 | Self::Forward1 | Self::Spread | Self::Held
        )
    }

    async fn measure_pair(self, pair: &Pair, time: Duration) -> Result<Sample> {
        match self {
            Self::Forward8 => forward::measure(pair, time, 8).await,
            Self::Forward1 => forward::measure(pair, time, 1).await,
            Self::Spread => spread::measure(pair, time).await,
            _ => held::measure(pair, time).await,
        }
    }

    async fn measure_one(self, server: &Server, time: Duration) -> Result<Sample> {
        match self {
            Self::Echo16 => echo::measure(server, time, echo::Shape::SMALL_16).await,
            Self::Echo1 => echo::measure(server, time, echo::Shape::SMALL_1).await,
            Self::Echo1k => echo::measure(server, time, echo::Shape::LARGE_1).await,
            Self::Idle => idle::measure(server).await,
            Self::Fanout => fanout::measure(server, time).await,
            Self::Connect => connect::measure(server, time).await,
            _ => polling::measure(server, time).await,
        }
    }

    /// A line about one sample.
    pub(crate) fn describe(self, sample: &Sample) -> String {
        let columns = self.columns();
        let figures = sample
            .iter()
            .zip(columns)
            .map(|(figure, name)| format!("{figure:.2} {name}"));
        figures.collect::<Vec<_>>().join(", ")
    }
}
