//! A node in a process of its own: the measuring server, `examples/node.rs`.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::client::Client;
use super::process::Process;
use super::until;

/// How its program is made.
const ADVICE: &str = "build it with `cargo build --example node`, with the profile of these tests";

/// Heartbeats that no test meets: its clients answer only while they are asked.
const CALM: [&str; 2] = ["--ping-interval-ms", "600000"];

/// A running node.
#[derive(Debug)]
pub(crate) struct NodeProcess {
    process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) id: String,
}

impl NodeProcess {
    /// A node of a Redis and a namespace, ready to be asked.
    pub(crate) async fn start(redis: &str, namespace: &str) -> Self {
        Self::with(&["--redis", redis, "--namespace", namespace]).await
    }

    /// A node with these flags.
    pub(crate) async fn with(flags: &[&str]) -> Self {
        Self::run(&program(), flags).await
    }

    /// The same of another program.
    pub(crate) async fn run(program: &Path, flags: &[&str]) -> Self {
        Self::spawn(Command::new(program), flags).await
    }

    /// A node that trusts the authorities of a file and no others.
    pub(crate) async fn trusting(authorities: &Path, flags: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.env("SSL_CERT_FILE", authorities);
        Self::spawn(command, flags).await
    }

    async fn spawn(mut command: Command, flags: &[&str]) -> Self {
        command.args(["--port", "0"]).args(CALM).args(flags);
        command.stdout(Stdio::piped());
        let mut process = Process::start(&mut command, ADVICE);
        let out = process.child().stdout.take().expect("a pipe");
        let read = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line).map(|_| line)
        });
        let line = tokio::time::timeout(super::PATIENCE, read).await;
        let line = line.expect("a ready line in time").expect("no panic");
        let line = line.expect("a ready line");
        let ready = line.trim_end().strip_prefix("listening on http://");
        let ready = ready.and_then(|rest| rest.split_once(" node="));
        let Some((address, id)) = ready else {
            panic!("{command:?} ended or said {line:?} in place of its ready line");
        };
        Self {
            process,
            address: address.parse().expect("an address"),
            id: id.to_owned(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A client that has seen its open packet.
    #[track_caller]
    pub(crate) fn client(&self, account: &str) -> impl Future<Output = Client> {
        let place = std::panic::Location::caller();
        async move {
            match self.try_client(account).await {
                Ok(client) => client,
                Err(error) => panic!("{place}: {account:?} cannot connect: {error}"),
            }
        }
    }

    pub(crate) async fn try_client(&self, account: &str) -> io::Result<Client> {
        Client::open(self.address, account).await
    }

    /// SIGKILL; gives back the moment before.
    pub(crate) fn kill(&mut self) -> Instant {
        let moment = Instant::now();
        self.process.kill();
        moment
    }

    pub(crate) fn stop(&self) {
        self.process.stop();
    }

    pub(crate) fn cont(&self) {
        self.process.cont();
    }

    /// SIGTERM, and the end that follows.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.process.terminate().await
    }

    /// What it tells about itself.
    pub(crate) async fn stats(&self) -> Value {
        let read = async {
            let mut stream = TcpStream::connect(self.address).await?;
            let request = "GET /stats HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.map(|_| answer)
        };
        let answer: io::Result<String> = read.await;
        let answer = answer.expect("stats");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        serde_json::from_str(body).expect("stats are JSON")
    }

    /// How often a notice of that name was given.
    pub(crate) async fn noticed(&self, name: &str) -> u64 {
        self.stats().await["notices"][name].as_u64().unwrap_or(0)
    }

    /// Waits for a state of presence.
    pub(crate) async fn until_presence(&self, state: &str) {
        until(&format!("presence is {state}"), async || {
            (self.stats().await["presence"] == state).then_some(())
        })
        .await;
    }
}

/// The program beside this test's, or the one that `PRIMACRON_NODE` names.
fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("PRIMACRON_NODE") {
        return named.into();
    }
    let this = std::env::current_exe().expect("a test has a program");
    let profile = this
        .parent()
        .and_then(Path::parent)
        .expect("target/debug/deps");
    let program = profile.join("examples/node");
    assert!(program.is_file(), "{program:?} is missing: {ADVICE}");
    if let Some(newer) = newer_source(&program) {
        panic!("{program:?} is older than {newer}: {ADVICE}");
    }
    program
}

/// A source of the program that changed after it was built, by the list that cargo leaves beside it.
fn newer_source(program: &Path) -> Option<String> {
    let age = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let sources = fs::read_to_string(program.with_extension("d")).ok()?;
    let (_, sources) = sources.split_once(": ")?;
    let built = age(program)?;
    let mut sources = sources.split_whitespace();
    let newer = sources.find(|source| age(Path::new(source)).is_some_and(|age| age > built));
    newer.map(str::to_owned)
}
