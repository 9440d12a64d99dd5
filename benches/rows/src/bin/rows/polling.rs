//! Row polling: a GET is held while a POST brings the message that answers it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::http::Http;
use crate::load::{self, Clients, Numbered, Progress};
use crate::row::Sample;
use crate::server::Server;
use crate::websocket::next_account;

const SESSIONS: usize = 64;
const MESSAGE: usize = 64;

/// What separates the packets of a payload.
const SEPARATOR: u8 = 0x1e;

pub(crate) async fn measure(server: &Server, time: Duration) -> Result<Sample> {
    let progress = Rc::new(Progress::default());
    let mut clients = Clients::new();
    for _ in 0..SESSIONS {
        let session = Session::open(server.address).await?;
        clients.spawn_local(client(session, Rc::clone(&progress)));
    }
    load::measure(&[server], time, clients, &progress).await
}

async fn client(mut session: Session, progress: Rc<Progress>) -> Result<()> {
    let mut message = Numbered::with_length("echo", MESSAGE);
    while progress.goes_on() {
        session.round_trip(message.advance()).await?;
        progress.count();
    }
    Ok(())
}

/// A session with a connection for each direction.
struct Session {
    poll: Http,
    post: Http,
    get: String,
    /// Request line and headers of a POST, up to its length.
    put: String,
}

impl Session {
    async fn open(server: SocketAddr) -> Result<Self> {
        let mut poll = Http::connect(server).await?;
        let path = format!(
            "/stream/?EIO=4&transport=polling&account=a{}",
            next_account()
        );
        let handshake = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n\r\n");
        poll.send(handshake.as_bytes()).await?;
        let sid = sid(poll.body().await?)?;
        Ok(Self {
            get: format!("GET {path}&sid={sid} HTTP/1.1\r\nHost: {server}\r\n\r\n"),
            put: format!(
                "POST {path}&sid={sid} HTTP/1.1\r\nHost: {server}\r\n\
                 Content-Type: text/plain;charset=UTF-8\r\nContent-Length: "
            ),
            post: Http::connect(server).await?,
            poll,
        })
    }

    /// Polls, posts the message and reads both answers; a ping on the way is answered too.
    async fn round_trip(&mut self, message: &[u8]) -> Result<()> {
        self.poll.send(self.get.as_bytes()).await?;
        self.post(message).await?;
        loop {
            let (mut answered, mut pinged) = (false, false);
            for packet in self.poll.body().await?.split(|byte| *byte == SEPARATOR) {
                pinged |= packet == b"2";
                let answer = packet == message && !answered;
                ensure!(
                    answer || packet == b"2",
                    "wrong answer {}",
                    packet.escape_ascii()
                );
                answered |= answer;
            }
            if pinged {
                self.post(b"3").await?;
            }
            if answered {
                return Ok(());
            }
            self.poll.send(self.get.as_bytes()).await?;
        }
    }

    async fn post(&mut self, packet: &[u8]) -> Result<()> {
        let mut request = format!("{}{}\r\n\r\n", self.put, packet.len()).into_bytes();
        request.extend_from_slice(packet);
        self.post.send(&request).await?;
        let body = self.post.body().await?;
        ensure!(body == b"ok", "a POST was answered {}", body.escape_ascii());
        Ok(())
    }
}

fn sid(open: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(open)?;
    let (_, rest) = text
        .split_once(r#""sid":""#)
        .context("no sid in the open packet")?;
    let (sid, _) = rest.split_once('"').context("no end of the sid")?;
    Ok(sid.to_owned())
}
