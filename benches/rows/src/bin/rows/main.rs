//! Measures servers side by side: CPU per unit of work and memory per connection.

mod connect;
mod echo;
mod fanout;
mod forward;
mod held;
mod http;
mod idle;
mod load;
mod machine;
mod meter;
mod options;
mod pair;
mod polling;
mod report;
mod row;
mod server;
mod spread;
mod websocket;

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::timeout;

use options::Options;
use report::Report;
use row::{Row, Sample};
use server::Command;

fn main() -> Result<()> {
    let options = Options::from_env()?;
    machine::prepare()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(&options))
}

/// How much longer than asked a measurement may take: connections to open, answers that are still out.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every measurement has a fresh process; the servers take turns within a round.
async fn run(options: &Options) -> Result<()> {
    let mut report = Report::default();
    for &row in &options.rows {
        for round in 1..=options.rounds {
            for command in options.servers.iter().filter(|server| server.serves(row)) {
                let place = format!("{} on {}, round {round}", row.name(), command.name);
                let sample = measure(row, command, options.time)
                    .await
                    .context(place.clone())?;
                eprintln!("{place}: {}", row.describe(&sample));
                report.add(row, &command.name, sample);
            }
        }
    }
    print!("{}", report.markdown(&options.against));
    Ok(())
}

async fn measure(row: Row, command: &Command, time: Duration) -> Result<Sample> {
    let sample = timeout(time + PATIENCE, row.measure(command, time)).await;
    sample.context("answers are missing: the load did not end in time")?
}
