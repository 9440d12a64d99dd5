//! What a server has used: CPU time from the scheduler, memory from its page tables.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::Instant;

use crate::row::Sample;
use crate::server::Server;

/// Takes the time between two moments of a server.
pub(crate) struct Meter<'a> {
    server: &'a Server,
    began: Instant,
    before: Cpu,
}

impl<'a> Meter<'a> {
    pub(crate) fn start(server: &'a Server) -> Result<Self> {
        Ok(Self {
            server,
            began: Instant::now(),
            before: Cpu::of(server)?,
        })
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Microseconds of CPU per unit of work, in all and in user mode, and units a second.
    pub(crate) fn stop(self, units: u64) -> Result<Sample> {
        let after = Cpu::of(self.server)?;
        ensure!(units > 0, "no work was done");
        let total = after
            .total
            .checked_sub(self.before.total)
            .context("a thread ended")?;
        let user = (after.user - self.before.user) as f64;
        let ticks = user + (after.system - self.before.system) as f64;
        ensure!(ticks > 0.0, "too short to be measured");
        let each = total.as_secs_f64() * 1e6 / units as f64;
        Ok([
            each,
            each * user / ticks,
            units as f64 / self.elapsed().as_secs_f64(),
        ])
    }
}

/// CPU time of a process so far. The scheduler counts the total in nanoseconds; the split is sampled in ticks.
struct Cpu {
    total: Duration,
    user: u64,
    system: u64,
}

impl Cpu {
    fn of(server: &Server) -> Result<Self> {
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
