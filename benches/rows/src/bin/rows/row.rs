//! The rows of the table.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::server::Server;
use crate::{connect, echo, fanout, idle, polling};

/// One measurement; [`Row::columns`] names its figures.
pub(crate) type Sample = [f64; 3];

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
}

impl Row {
    pub(crate) const ALL: [Self; 7] = [
        Self::Echo16,
        Self::Echo1,
        Self::Echo1k,
        Self::Idle,
        Self::Fanout,
        Self::Connect,
        Self::Polling,
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
        }
    }

    /// Names of its three figures; the first two are compared between servers.
    pub(crate) fn columns(self) -> [&'static str; 3] {
        match self {
            Self::Idle => ["KB", "KB after a message", "of it anonymous"],
            _ => ["total us", "user us", "a second"],
        }
    }

    /// Measures it once.
    pub(crate) async fn measure(self, server: &Server, time: Duration) -> Result<Sample> {
        match self {
            Self::Echo16 => echo::measure(server, time, echo::Shape::SMALL_16).await,
            Self::Echo1 => echo::measure(server, time, echo::Shape::SMALL_1).await,
            Self::Echo1k => echo::measure(server, time, echo::Shape::LARGE_1).await,
            Self::Idle => idle::measure(server).await,
            Self::Fanout => fanout::measure(server, time).await,
            Self::Connect => connect::measure(server, time).await,
            Self::Polling => polling::measure(server, time).await,
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
