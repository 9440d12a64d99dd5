//! A server process: started on its own CPU, read through `/proc`, ended by its pid.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout};
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::machine::SERVER_CPU;
use crate::row::Row;

/// How long a server may take to come up, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Start of the line that says where a server listens.
const READY: &str = "listening on http://";

/// How a server is started.
pub(crate) struct Command {
    pub(crate) name: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) words: Vec<String>,
}

impl Command {
    pub(crate) fn serves(&self, row: Row) -> bool {
        self.rows.contains(&row)
    }
}

/// A running server; dropped without [`stop`](Self::stop) it is killed.
pub(crate) struct Server {
    child: Child,
    pid: Pid,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts the process and waits for its ready line.
    pub(crate) async fn start(command: &Command, flags: &[&str]) -> Result<Self> {
        let words = command.words.iter().map(String::as_str);
        let mut child = spawn(words.chain(flags.iter().copied()))?;
        let output = child.stdout.take().context("no output to read")?;
        let address = timeout(PATIENCE, ready(output))
            .await
            .context("no ready line in time")??;
        Self::of(child, address)
    }

    /// Starts a `redis-server` that keeps nothing, and waits until it listens.
    pub(crate) async fn redis() -> Result<Self> {
        let address = TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?;
        let port = address.port().to_string();
        let mut child = spawn([
            "redis-server",
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ])
        .context("redis-server is missing")?;
        let mut output = child.stdout.take().context("no output to read")?;
        tokio::task::spawn_local(async move {
            drop(tokio::io::copy(&mut output, &mut tokio::io::sink()).await);
        });
        let up = async {
            while TcpStream::connect(address).await.is_err() {
                yield_now().await
            }
        };
        timeout(PATIENCE, up)
            .await
            .context("redis-server does not listen")?;
        Self::of(child, address)
    }

    fn of(child: Child, address: SocketAddr) -> Result<Self> {
        let id = child.id().context("ended at once")?;
        let pid = Pid::from_raw(id.try_into()?).context("no such pid")?;
        Ok(Self {
            child,
            pid,
            address,
        })
    }

    /// Ends the process and complains if it did not end well.
    pub(crate) async fn stop(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server had ended by itself: {status}");
        }
        kill_process(self.pid, Signal::TERM)?;
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .context("SIGTERM did not end it")??;
        let terminated = status.signal() == Some(Signal::TERM.as_raw());
        ensure!(
            status.success() || terminated,
            "the server ended with {status}"
        );
        Ok(())
    }

    /// Text of a file under the process's `/proc` directory.
    pub(crate) fn proc_file(&self, name: &str) -> Result<String> {
        let path = format!("{}/{name}", self.proc_path());
        std::fs::read_to_string(&path).with_context(|| format!("{path}: the server is gone"))
    }

    /// The process's `/proc` directory.
    pub(crate) fn proc_path(&self) -> String {
        format!("/proc/{}", self.pid.as_raw_nonzero())
    }
}

fn spawn<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Child> {
    let child = tokio::process::Command::new("taskset")
        .args(["-c", &SERVER_CPU.to_string()])
        .args(words)
        .env("TOKIO_WORKER_THREADS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    child.context("taskset is missing")
}

/// Reads up to the ready line, then leaves the pipe to a task so that later lines hurt nobody.
async fn ready(output: ChildStdout) -> Result<SocketAddr> {
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        let Some(rest) = line.strip_prefix(READY) else {
            continue;
        };
        let address = rest.split_whitespace().next().unwrap_or_default();
        let address = address
            .parse()
            .with_context(|| format!("unusable ready line: {line}"))?;
        tokio::task::spawn_local(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        return Ok(address);
    }
    bail!("the server ended before it was ready")
}
