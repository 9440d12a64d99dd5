//! The machine: which CPU has which side, how many sockets may be open.

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// CPU of every server.
pub(crate) const SERVER_CPU: usize = 0;

/// CPU of this program.
const CLIENT_CPU: usize = 1;

/// Open files that the largest row needs on each side.
const FILES: u64 = 8_192;

/// Pins this process and raises its limits; what it starts inherits the latter.
pub(crate) fn prepare() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    ensure!(
        most >= FILES,
        "the hard limit of open files is {most}, rows needs {FILES}"
    );
    let raised = Rlimit {
        current: Some(limit.current.unwrap_or(u64::MAX).max(FILES)),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("the limit of open files stays low")?;

    let mut cpus = CpuSet::new();
    cpus.set(CLIENT_CPU);
    sched_setaffinity(None, &cpus).context("rows needs two CPUs, one for itself")
}
