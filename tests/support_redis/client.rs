//! A client of a node that asks for its events and waits for the answers.

use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::find::Find;
use super::websocket::WebSocket;

/// The longest that a node may take for an answer, the time included in which a test lets it stand.
const SLOWEST: Duration = Duration::from_secs(15);

/// A connection, open until it is dropped.
#[derive(Debug)]
pub(crate) struct Client {
    socket: WebSocket,
    pub(crate) account: String,
    pub(crate) session: String,
}

impl Client {
    /// Connects, and has seen the open packet.
    pub(super) async fn open(address: SocketAddr, account: &str) -> io::Result<Self> {
        let account_in_url = percent_encoded(account);
        let target = format!("/stream/?EIO=4&transport=websocket&account={account_in_url}");
        timeout(SLOWEST, async {
            let mut socket = WebSocket::connect(address, &target).await?;
            let packet = socket.text().await?;
            let open = packet.strip_prefix('0').ok_or(ErrorKind::InvalidData)?;
            let open: Value = serde_json::from_str(open)?;
            let session = open["session"].as_str().ok_or(ErrorKind::InvalidData)?;
            Ok(Self {
                socket,
                account: account.to_owned(),
                session: session.to_owned(),
            })
        })
        .await?
    }

    /// Sends an event and waits for the event that answers it.
    pub(crate) async fn ask(
        &mut self,
        event: &str,
        args: &[&str],
        answer: &str,
    ) -> io::Result<Vec<Value>> {
        let packet = format!("4{}", json!({"event": event, "args": args}));
        timeout(SLOWEST, async {
            self.socket.send(&packet).await?;
            self.heard(answer).await
        })
        .await?
    }

    /// Sends an event.
    pub(crate) async fn tell(&mut self, event: &str, args: &[&str]) -> io::Result<()> {
        let packet = format!("4{}", json!({"event": event, "args": args}));
        timeout(SLOWEST, self.socket.send(&packet)).await?
    }

    /// Waits for the next event, whatever it is.
    pub(crate) async fn heard_any(&mut self) -> io::Result<(String, Value)> {
        let read = async {
            loop {
                let packet = self.socket.text().await?;
                if let Some(message) = packet.strip_prefix('4') {
                    let mut message: Value = serde_json::from_str(message)?;
                    let event = message["event"].as_str().unwrap_or_default().to_owned();
                    return Ok((event, message["args"].take()));
                }
            }
        };
        timeout(SLOWEST, read).await?
    }

    /// Waits for an event.
    pub(crate) async fn heard(&mut self, event: &str) -> io::Result<Vec<Value>> {
        loop {
            let packet = self.socket.text().await?;
            let Some(message) = packet.strip_prefix('4') else {
                if packet == "2" {
                    self.socket.send("3").await?;
                }
                continue;
            };
            let mut message: Value = serde_json::from_str(message)?;
            if message["event"] == event {
                return Ok(serde_json::from_value(message["args"].take())?);
            }
            if message["event"]
                .as_str()
                .is_some_and(|name| name.starts_with("error::"))
            {
                return Err(io::Error::other(message.to_string()));
            }
        }
    }

    /// Where a session is, as far as the node of this client knows.
    pub(crate) async fn find(&mut self, account: &str, session: &str) -> io::Result<Find> {
        let args = self.ask("find", &[account, session], "found").await?;
        Find::of(&args).ok_or_else(|| io::Error::other(format!("{args:?}")))
    }

    /// The sessions of an account, sorted.
    pub(crate) async fn sessions(&mut self, account: &str) -> io::Result<Vec<String>> {
        let args = self.ask("sessions", &[account], "sessions").await?;
        let mut sessions: Vec<String> = args
            .iter()
            .filter_map(|session| session.as_str().map(str::to_owned))
            .collect();
        sessions.sort_unstable();
        Ok(sessions)
    }

    /// Account, session and node of this client, as its node sees them.
    pub(crate) async fn whoami(&mut self) -> io::Result<Vec<Value>> {
        self.ask("whoami", &[], "whoami").await
    }

    /// Checks that the node never closed this connection.
    #[track_caller]
    pub(crate) fn assert_alive(&mut self) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let answer = self.ask("echo", &["still here"], "echo").await;
            let answer = answer.unwrap_or_else(|error| panic!("{place}: closed: {error}"));
            assert_eq!(answer, ["still here"], "{place}");
        }
    }
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(byte.into());
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    encoded
}
