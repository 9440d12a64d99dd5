//! The command line.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::row::Row;
use crate::server::Command;

/// Where the measuring server of the crate is when it is built as the README says.
const NODE: &str = "../../target/release/examples/node";

const USAGE: &str = "rows [--server 'NAME[@ROW,..]=COMMAND'].. [--only ROW,..] [--seconds N] [--rounds N] [--against NAME,..]";

/// What to measure.
pub(crate) struct Options {
    /// `--server 'NAME[@ROW,..]=COMMAND'`, once a server; default: floor, peer, by_hand and node.
    pub(crate) servers: Vec<Command>,
    /// `--only ROW,..`; default: all.
    pub(crate) rows: Vec<Row>,
    /// `--seconds N`, of each measurement; default: 3.
    pub(crate) time: Duration,
    /// `--rounds N`; default: 3.
    pub(crate) rounds: u32,
    /// `--against NAME,..`: whom the ratios compare with; default: floor, peer and by_hand.
    pub(crate) against: Vec<String>,
}

impl Options {
    /// Reads the command line of this process.
    pub(crate) fn from_env() -> Result<Self> {
        Self::parse(std::env::args().skip(1)).context(USAGE)
    }

    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            servers: Vec::new(),
            rows: Row::ALL.to_vec(),
            time: Duration::from_secs(3),
            rounds: 3,
            against: ["floor", "peer", "by_hand"].map(str::to_owned).to_vec(),
        };
        while let Some(flag) = words.next() {
            let value = words
                .next()
                .with_context(|| format!("{flag} wants a value"))?;
            match flag.as_str() {
                "--server" => options.servers.push(command(&value)?),
                "--only" => options.rows = rows(&value)?,
                "--seconds" => options.time = Duration::try_from_secs_f64(value.parse()?)?,
                "--rounds" => options.rounds = value.parse()?,
                "--against" => options.against = value.split(',').map(str::to_owned).collect(),
                _ => bail!("{flag} is unknown"),
            }
        }
        if options.servers.is_empty() {
            options.servers = usual_servers()?;
        }
        ensure!(options.rounds > 0, "no rounds, no figures");
        options.refuse_twins()?;
        Ok(options)
    }

    /// Two servers of one name in one row would be reported as one.
    fn refuse_twins(&self) -> Result<()> {
        for row in Row::ALL {
            let mut names = HashSet::new();
            for server in self.servers.iter().filter(|server| server.serves(row)) {
                ensure!(
                    names.insert(&server.name),
                    "two servers called {} serve {}",
                    server.name,
                    row.name()
                );
            }
        }
        Ok(())
    }
}

fn command(text: &str) -> Result<Command> {
    let (name, line) = text
        .split_once('=')
        .context("--server wants NAME=COMMAND")?;
    let (name, served) = match name.split_once('@') {
        Some((name, served)) => (name, rows(served)?),
        None => (name, Row::ALL.to_vec()),
    };
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    ensure!(!words.is_empty(), "server {name} has no command");
    Ok(Command {
        name: name.to_owned(),
        rows: served,
        words,
    })
}

fn rows(text: &str) -> Result<Vec<Row>> {
    text.split(',').map(Row::named).collect()
}

/// The floor and the peer beside this program, and the crate's own server once it is built.
fn usual_servers() -> Result<Vec<Command>> {
    let program = std::env::current_exe()?;
    let here = program
        .parent()
        .context("this program is in no directory")?
        .display();
    let mut servers = vec![
        command(&format!(
            "floor@echo16,echo1,echo1k,idle,fanout={here}/floor --kind ws"
        ))?,
        command(&format!("floor@connect={here}/floor --kind upgrade"))?,
        command(&format!("floor@polling={here}/floor --kind http"))?,
        command(&format!(
            "peer@echo16,echo1,echo1k,idle,fanout,connect,polling={here}/peer"
        ))?,
        command(&format!(
            "by_hand@forward8,forward1,spread,held={here}/by_hand"
        ))?,
    ];
    if Path::new(NODE).exists() {
        servers.push(command(&format!("primacron={NODE} --port 0"))?);
    } else {
        eprintln!("{NODE} is not built: measuring without it");
    }
    Ok(servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        Options::parse(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn a_server_may_be_kept_to_some_rows() {
        let options = parse(&["--server", "bare@idle,connect=./bare --port 0"]).unwrap();

        let [server] = &options.servers[..] else {
            panic!("one server was named");
        };
        assert_eq!(server.name, "bare");
        assert_eq!(server.words, ["./bare", "--port", "0"]);
        assert!(server.serves(Row::Idle) && !server.serves(Row::Polling));
    }

    #[test]
    fn a_row_that_does_not_exist_is_refused() {
        assert!(parse(&["--only", "echo16,echo17"]).is_err());
    }

    #[test]
    fn one_name_stands_for_one_server_in_a_row() {
        let apart = [
            "--server",
            "floor@idle=./a",
            "--server",
            "floor@connect=./b",
        ];
        let twins = ["--server", "floor@idle=./a", "--server", "floor=./b"];

        assert!(parse(&apart).is_ok());
        assert!(parse(&twins).is_err());
    }
}
