//! What Redis and a node have used so far.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use tokio::time::Instant;

use crate::support_redis::{NodeProcess, Redis};

/// A state of both processes.
#[derive(Debug)]
pub(crate) struct Reading {
    at: Instant,
    redis: Duration,
    node: Duration,
    commands: BTreeMap<String, Command>,
}

/// What was done between two readings.
#[derive(Debug)]
pub(crate) struct Used {
    pub(crate) time: Duration,
    pub(crate) redis: Duration,
    pub(crate) node: Duration,
    pub(crate) commands: BTreeMap<String, Command>,
}

/// How often a command was called, and its time inside Redis.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Command {
    pub(crate) calls: u64,
    pub(crate) time: Duration,
}

impl Reading {
    pub(crate) async fn take(redis: &Redis, node: &NodeProcess) -> Self {
        let cpu = redis.info("cpu").await;
        let seconds = |name: &str| cpu[name].parse::<f64>().expect("seconds");
        let redis_cpu = seconds("used_cpu_user") + seconds("used_cpu_sys");
        let stats = redis.info("commandstats").await;
        let commands = stats.iter().filter_map(|(name, stats)| {
            let name = name.strip_prefix("cmdstat_")?;
            // Ours.
            (name != "info").then(|| (name.to_owned(), Command::parse(stats)))
        });
        Self {
            at: Instant::now(),
            redis: Duration::from_secs_f64(redis_cpu),
            node: node_cpu(node),
            commands: commands.collect(),
        }
    }

    /// What was done since.
    pub(crate) async fn used(&self, redis: &Redis, node: &NodeProcess) -> Used {
        let now = Self::take(redis, node).await;
        let commands = now.commands.into_iter().map(|(name, now)| {
            let before = self.commands.get(&name).copied().unwrap_or_default();
            let since = Command {
                calls: now.calls - before.calls,
                time: now.time - before.time,
            };
            (name, since)
        });
        Used {
            time: now.at - self.at,
            redis: now.redis - self.redis,
            node: now.node - self.node,
            commands: commands.filter(|(_, since)| since.calls > 0).collect(),
        }
    }
}

impl Used {
    /// The same without what goes on all the time.
    pub(crate) fn without(mut self, idle: &Self) -> Self {
        let share = self.time.as_secs_f64() / idle.time.as_secs_f64();
        self.redis = self.redis.saturating_sub(idle.redis.mul_f64(share));
        self.node = self.node.saturating_sub(idle.node.mul_f64(share));
        for (name, idle) in &idle.commands {
            if let Some(used) = self.commands.get_mut(name) {
                let calls = (idle.calls as f64 * share).round() as u64;
                used.calls = used.calls.saturating_sub(calls);
                used.time = used.time.saturating_sub(idle.time.mul_f64(share));
            }
        }
        self
    }

    /// Prints it by so many units of work.
    pub(crate) fn print(&self, what: &str, units: f64) {
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / units;
        println!(
            "{what}: Redis {:.1} us, node {:.1} us",
            micros(self.redis),
            micros(self.node)
        );
        for (name, command) in &self.commands {
            let calls = command.calls as f64 / units;
            if calls >= 0.005 {
                println!(
                    "  {name:<12} {calls:7.3} calls, {:6.1} us",
                    micros(command.time)
                );
            }
        }
    }
}

impl Command {
    /// From `calls=1,usec=2,..`.
    fn parse(stats: &str) -> Self {
        let field = |name: &str| {
            let mut fields = stats.split(',').filter_map(|field| field.split_once('='));
            let (_, value) = fields.find(|(given, _)| *given == name).expect("a field");
            value.parse().expect("a number")
        };
        Self {
            calls: field("calls"),
            time: Duration::from_micros(field("usec")),
        }
    }
}

/// CPU time of all threads, from the scheduler.
fn node_cpu(node: &NodeProcess) -> Duration {
    let threads = fs::read_dir(format!("/proc/{}/task", node.pid())).expect("a running node");
    let nanos = threads.map(|thread| {
        let path = thread.expect("a thread").path().join("schedstat");
        let schedstat = fs::read_to_string(path).expect("a thread of a runtime stays");
        let first = schedstat.split_whitespace().next().expect("a number");
        first.parse::<u64>().expect("a number")
    });
    Duration::from_nanos(nanos.sum())
}
