//! One Redis server.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::process::Command;
use std::time::Duration;

use tokio::time::timeout;

use super::process::{Directory, Process};
use super::resp::{Reply, Resp};
use super::{ports, until};

/// How a machine gets what these tests need.
const ADVICE: &str = "install the Debian package redis-server, or run tests/run.sh, which does";

/// The longest that a server may take to answer a command of a test.
const SLOWEST: Duration = Duration::from_secs(5);

/// How many ports are tried before the start of a server is given up.
const ATTEMPTS: usize = 5;

/// A server that keeps nothing on disk.
#[derive(Debug)]
pub(crate) struct Redis {
    process: Process,
    directory: Directory,
    flags: Vec<String>,
    port: u16,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// A server that keeps data, with more flags.
    pub(crate) async fn with(flags: &str) -> Self {
        let words = flags.split_whitespace().map(str::to_owned);
        // Last and empty: no snapshots.
        let words = words.chain(["--save".to_owned(), String::new()]);
        Self::begin(words.collect()).await
    }

    /// A Sentinel, which watches nobody yet. It writes what it learns into its own file.
    pub(super) async fn sentinel() -> Self {
        Self::begin(vec!["--sentinel".to_owned()]).await
    }

    async fn begin(flags: Vec<String>) -> Self {
        for _ in 0..ATTEMPTS {
            let directory = Directory::new();
            let port = ports::free();
            let process = spawn(&directory, port, &flags);
            let flags = flags.clone();
            let mut redis = Self {
                process,
                directory,
                flags,
                port,
            };
            if redis.answers().await {
                return redis;
            }
            eprintln!("{}", redis.directory.log());
        }
        panic!("redis-server does not start, see its log above");
    }

    /// What `--redis` of a node takes.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL: what it knew is lost.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGSTOP: connections stay open and nothing is answered.
    pub(crate) fn stop(&self) {
        self.process.stop();
    }

    /// SIGCONT: everything that waited is answered.
    pub(crate) fn cont(&self) {
        self.process.cont();
    }

    /// Starts it again on the same port, empty, after a [`kill`](Self::kill) if it still ran.
    pub(crate) async fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(&self.directory, self.port, &self.flags);
        let back = self.answers().await;
        assert!(back, "Redis came not back:\n{}", self.directory.log());
    }

    /// Loses everything at once.
    pub(crate) async fn flush(&self) {
        self.run("FLUSHALL").await.assert_ok();
    }

    /// Words that hold no blanks.
    #[track_caller]
    pub(crate) fn run(&self, command: &str) -> impl Future<Output = Reply> {
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let port = self.port;
        async move { ask(port, &words).await.expect("Redis answers") }
    }

    /// Words as they are.
    pub(crate) async fn command(&self, words: &[&str]) -> Reply {
        ask(self.port, words).await.expect("Redis answers")
    }

    /// The fields of a section of INFO.
    pub(crate) async fn info(&self, section: &str) -> BTreeMap<String, String> {
        let text = self.command(&["INFO", section]).await.text();
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Whether it is a master or a replica, unless it closes connections just now.
    pub(crate) async fn role(&self) -> Option<String> {
        let role = ask(self.port, &["ROLE"]).await.ok()?;
        Some(role.array().first()?.text())
    }

    /// The names of all keys.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let reply = self.run("KEYS *").await;
        reply.array().iter().map(Reply::text).collect()
    }

    /// Whether it answers before it ends by itself.
    async fn answers(&mut self) -> bool {
        let port = self.port;
        let process = &mut self.process;
        until("redis-server answers or ends", async || {
            if process.ended().is_some() {
                return Some(false);
            }
            let pong = ask(port, &["PING"]).await.ok()?;
            (pong == Reply::Simple("PONG".to_owned())).then_some(true)
        })
        .await
    }
}

/// One command on a connection of its own.
pub(super) async fn ask(port: u16, words: &[impl AsRef<[u8]>]) -> io::Result<Reply> {
    let asked = async { Resp::connect(port).await?.ask(words).await };
    timeout(SLOWEST, asked).await?
}

fn spawn(directory: &Directory, port: u16, flags: &[String]) -> Process {
    let config = directory.path().join("config");
    let settings = format!("port {port}\nbind 127.0.0.1\ndaemonize no\nlogfile log\n");
    fs::write(&config, settings).expect("a directory of this test");
    let mut command = Command::new("redis-server");
    command
        .arg("config")
        .args(flags)
        .current_dir(directory.path());
    Process::start(&mut command, ADVICE)
}
