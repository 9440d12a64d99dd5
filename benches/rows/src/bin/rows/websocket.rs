//! The client end of a WebSocket connection, no more than the rows need.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The key of RFC 6455's example, and what has to come back.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Any key but zero, so that servers have to unmask.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const TEXT: u8 = 1;
const CLOSE: u8 = 8;

/// Number of an account that nobody had before.
pub(crate) fn next_account() -> u64 {
    static ACCOUNTS: AtomicU64 = AtomicU64::new(0);
    ACCOUNTS.fetch_add(1, Ordering::Relaxed)
}

/// A connection that has its open packet.
pub(crate) struct Socket {
    pub(crate) account: String,
    /// As the open packet names it; empty if it does not.
    pub(crate) session: String,
    stream: TcpStream,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
}

impl Socket {
    /// Connects, upgrades and reads the open packet.
    pub(crate) async fn open(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let account = format!("a{}", next_account());
        let mut socket = Self {
            account,
            session: String::new(),
            stream,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
        };
        let request = format!(
            "GET /stream/?EIO=4&transport=websocket&account={} HTTP/1.1\r\nHost: {server}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {KEY}\r\n\r\n",
            socket.account
        );
        socket.stream.write_all(request.as_bytes()).await?;
        while !socket.inbox.take_head()? {
            socket.fill().await?;
        }
        loop {
            if let Some(packet) = socket.inbox.packet()? {
                let Packet::Open(open) = packet else {
                    bail!("{packet:?} instead of the open packet");
                };
                socket.session = session(open)?;
                return Ok(socket);
            }
            socket.fill().await?;
        }
    }

    /// Reads once; safe to be cancelled.
    pub(crate) async fn fill(&mut self) -> Result<()> {
        ensure!(self.read().await? > 0, "the server closed a connection");
        Ok(())
    }

    /// Writes what is in the outbox.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.stream.write_all(&self.outbox.0).await?;
        self.outbox.0.clear();
        Ok(())
    }

    /// Says good-bye and waits until the server has closed.
    pub(crate) async fn close(mut self) -> Result<()> {
        self.outbox.push(CLOSE, &1000_u16.to_be_bytes());
        self.flush().await?;
        while self.read().await? > 0 {}
        Ok(())
    }

    async fn read(&mut self) -> std::io::Result<usize> {
        self.inbox.make_room();
        self.stream.read_buf(&mut self.inbox.bytes).await
    }
}

fn session(open: &[u8]) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Open {
        #[serde(default)]
        session: String,
    }
    let open: Open = serde_json::from_slice(open)?;
    Ok(open.session)
}

/// What the server may send.
#[derive(Debug)]
pub(crate) enum Packet<'a> {
    Open(&'a [u8]),
    Ping,
    /// A message, its packet type included.
    Message(&'a [u8]),
}

/// Bytes that came and are not read yet.
#[derive(Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    start: usize,
}

impl Inbox {
    /// The next packet, once it is complete.
    pub(crate) fn packet(&mut self) -> Result<Option<Packet<'_>>> {
        let Some(payload) = self.text()? else {
            return Ok(None);
        };
        Ok(Some(match payload {
            [b'0', open @ ..] if memmem::find(open, br#""sid":""#).is_some() => Packet::Open(open),
            b"2" => Packet::Ping,
            [b'4', ..] => Packet::Message(payload),
            _ => bail!("unexpected packet {}", payload.escape_ascii()),
        }))
    }

    fn text(&mut self) -> Result<Option<&[u8]>> {
        let frame = &self.bytes[self.start..];
        let (length, header) = match *frame {
            [_, short, ..] if short < 126 => (usize::from(short), 2),
            [_, 126, high, low, ..] => (usize::from(u16::from_be_bytes([high, low])), 4),
            [_, 127..=255, ..] => bail!("a frame that is masked or larger than any row expects"),
            _ => return Ok(None),
        };
        let Some(payload) = frame.get(header..header + length) else {
            return Ok(None);
        };
        ensure!(
            frame[0] == 0x80 | TEXT,
            "frame {:#x} instead of a text: {}",
            frame[0],
            payload.escape_ascii()
        );
        self.start += header + length;
        Ok(Some(payload))
    }

    /// Takes the answer to the upgrade, once it is complete.
    fn take_head(&mut self) -> Result<bool> {
        let Some(end) = memmem::find(&self.bytes, b"\r\n\r\n") else {
            return Ok(false);
        };
        let head = &self.bytes[..end];
        let upgraded = head.starts_with(b"HTTP/1.1 101 ") && memmem::find(head, ACCEPT).is_some();
        ensure!(upgraded, "no upgrade: {}", self.bytes.escape_ascii());
        self.start = end + 4;
        Ok(true)
    }

    fn make_room(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.reserve(4096);
    }
}

/// Frames that wait to be written.
#[derive(Default)]
pub(crate) struct Outbox(Vec<u8>);

impl Outbox {
    /// Adds a packet.
    pub(crate) fn text(&mut self, packet: &[u8]) {
        self.push(TEXT, packet);
    }

    /// Answers a ping.
    pub(crate) fn pong(&mut self) {
        self.text(b"3");
    }

    fn push(&mut self, opcode: u8, payload: &[u8]) {
        let length = u16::try_from(payload.len()).expect("no row sends 64 KB");
        self.0.push(0x80 | opcode);
        if length < 126 {
            self.0.push(0x80 | length as u8);
        } else {
            self.0.push(0x80 | 126);
            self.0.extend_from_slice(&length.to_be_bytes());
        }
        self.0.extend_from_slice(&MASK);
        let masked = payload.iter().zip(MASK.iter().cycle());
        self.0.extend(masked.map(|(byte, mask)| byte ^ mask));
    }
}
