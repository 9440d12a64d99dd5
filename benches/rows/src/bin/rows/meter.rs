//! What a server has used: CPU time from the scheduler, memory from its page tables.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::Instant;

use crate::row::Sample;
use crate::server::Server;

/// Takes the time between two moments of servers.
pub(crate) struct Meter<'a> {
    servers: Vec<&'a Server>,
    began: Instant,
    before: Cpu,
}

impl<'a> Meter<'a> {
    pub(crate) fn start(servers: &[&'a Server]) -> Result<Self> {
        Ok(Self {
            servers: servers.to_vec(),
            began: Instant::now(),
            before: Cpu::of(servers)?,
        })
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Microseconds of CPU per unit of work, in all and in user mode, and units a second.
    pub(crate) fn stop(self, units: u64) -> Result<Sample> {
        let (spent, each) = self.spent(units)?;
        let user = spent.user as f64;
        let ticks = user + spent.system as f64;
        ensure!(ticks > 0.0, "too short to be measured");
        let a_second = units as f64 / self.elapsed().as_secs_f64();
        Ok(vec![each, each * user / ticks, a_second])
    }

    /// Microseconds of CPU per unit of work.
    pub(crate) fn total(self, units: u64) -> Result<f64> {
        Ok(self.spent(units)?.1)
    }

    fn spent(&self, units: u64) -> Result<(Cpu, f64)> {
        ensure!(units > 0, "no work was done");
        let after = Cpu::of(&self.servers)?;
        let spent = Cpu {
            total: after
                .total
                .checked_sub(self.before.total)
                .context("a thread ended")?,
            user: after.user - self.before.user,
            system: after.system - self.before.system,
        };
        let each = spent.total.as_secs_f64() * 1e6 / units as f64;
        Ok((spent, each))
    }
}

/// CPU time of processes so far. The scheduler counts the total in nanoseconds; the split is sampled in ticks.
#[derive(Default)]
struct Cpu {
    total: Duration,
    user: u64,
    system: u64,
}

impl Cpu {
    fn of(servers: &[&Server]) -> Result<Self> {
        let mut all = Self::default();
        for server in servers {
            let one = Self::of_one(server)?;
            all.total += one.total;
            all.user += one.user;
            all.system += one.system;
        }
        Ok(all)
    }

    fn of_one(server: &Server) -> Result<Self> {
        let mut total = 0;
        for thread in std::fs::read_dir(format!("{}/task", server.proc_path()))? {
            let schedstat = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            total += number::<u64>(schedstat.split_whitespace().next())?;
        }
        let stat = server.proc_file("stat")?;
        let (_, fields) = stat.rsplit_once(')').context("unusable stat")?;
        let mut fields = fields.split_whitespace().skip(11);
        Ok(Self {
            total: Duration::from_nanos(total),
            user: number(fields.next())?,
            system: number(fields.next())?,
        })
    }
}

/// Resident memory of a process, in KB.
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) anonymous: u64,
}

impl Memory {
    /// Walks the page tables: `status` has the same figures, but late by up to some hundred KB.
    pub(crate) fn of(server: &Server) -> Result<Self> {
        let rollup = server.proc_file("smaps_rollup")?;
        let field = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            number(line.and_then(|line| line.split_whitespace().next()))
        };
        Ok(Self {
            resident: field("Rss:")?,
            anonymous: field("Anonymous:")?,
        })
    }
}

fn number<T: std::str::FromStr>(word: Option<&str>) -> Result<T> {
    word.and_then(|word| word.parse().ok())
        .context("a number is missing in /proc")
}
