use std::net::SocketAddr;

use axum::body::Body;
use http::Request;
use hyper::{body::Incoming as HyperBody, server::conn::http1};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex},
    net::TcpStream,
};
use tower::ServiceExt;

use super::{App, event};

/// A client on a websocket, over memory or over a socket.
pub struct Ws<IO = DuplexStream> {
    io: IO,
    read: Vec<u8>,
    pub sid: String,
    pub session: String,
}

/// What came over a websocket.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    Text(String),
    Binary(Vec<u8>),
    Close(u16),
    End,
}

/// Bytes that memory holds in each direction.
const MEMORY: usize = 64 * 1024;

impl Ws {
    pub async fn connect(app: &App, account: &str) -> Self {
        Self::connect_with(app, &format!("account={account}"), MEMORY).await
    }

    /// Connects with these parameters, over memory for so many bytes in each direction.
    pub async fn connect_with(app: &App, query: &str, capacity: usize) -> Self {
        let io = Self::dial(app, capacity);
        let mut ws = Self::over(io, &format!("EIO=4&transport=websocket&{query}")).await;
        ws.read_open().await;
        ws
    }

    /// A connection to the app that has not said anything.
    pub fn dial(app: &App, capacity: usize) -> DuplexStream {
        let (ours, theirs) = duplex(capacity);
        let app = app
            .clone()
            .map_request(|request: Request<HyperBody>| request.map(Body::new));
        let server = http1::Builder::new()
            .serve_connection(TokioIo::new(theirs), TowerToHyperService::new(app))
            .with_upgrades();
        // A client that leaves in the middle is an error here.
        tokio::spawn(async move { drop(server.await) });
        ours
    }

    /// Takes a connection on polling over to a websocket.
    pub async fn upgrade(app: &App, account: &str, sid: &str) -> Self {
        let query = format!("EIO=4&transport=websocket&account={account}&sid={sid}");
        let mut ws = Self::over(Self::dial(app, MEMORY), &query).await;
        ws.send_packet("2probe").await;
        assert_eq!(ws.next().await, Incoming::Text("3probe".into()));
        ws.send_packet("5").await;
        ws
    }
}

impl Ws<TcpStream> {
    pub async fn connect_tcp(address: SocketAddr, account: &str) -> Self {
        let io = TcpStream::connect(address).await.unwrap();
        io.set_nodelay(true).unwrap();
        let query = format!("EIO=4&transport=websocket&account={account}");
        let mut ws = Self::over(io, &query).await;
        ws.read_open().await;
        ws
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Ws<IO> {
    /// Shakes hands. [RFC 6455, section 4.1]
    pub async fn over(mut io: IO, query: &str) -> Self {
        let request = format!(
            "GET /stream/?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        io.write_all(request.as_bytes()).await.unwrap();
        let mut ws = Self {
            io,
            read: Vec::new(),
            sid: String::new(),
            session: String::new(),
        };
        let end = loop {
            let end = ws.read.windows(4).position(|four| four == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => assert!(ws.fill().await, "the server closed during the handshake"),
            }
        };
        let head = String::from_utf8(ws.read.drain(..end).collect()).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        ws
    }

    /// Sends one Engine.IO packet.
    pub async fn send_packet(&mut self, packet: &str) {
        self.write(&masked(0x81, packet.as_bytes())).await;
    }

    pub async fn send(&mut self, message: &str) {
        self.send_packet(&format!("4{message}")).await;
    }

    /// Sends a binary message.
    pub async fn send_binary(&mut self, message: &[u8]) {
        self.write(&masked(0x82, message)).await;
    }

    /// Sends several messages by one write.
    pub async fn send_all(&mut self, messages: impl IntoIterator<Item = String>) {
        let bytes: Vec<u8> = messages
            .into_iter()
            .flat_map(|message| masked(0x81, format!("4{message}").as_bytes()))
            .collect();
        self.write(&bytes).await;
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    pub async fn emit(&mut self, name: &str, args: Value) {
        self.send(&event(name, args)).await;
    }

    pub async fn next(&mut self) -> Incoming {
        loop {
            if let Some((opcode, payload)) = self.take_frame() {
                return match opcode {
                    1 => Incoming::Text(String::from_utf8(payload).unwrap()),
                    2 => Incoming::Binary(payload),
                    8 => Incoming::Close(u16::from_be_bytes([payload[0], payload[1]])),
                    other => panic!("got a frame with opcode {other}"),
                };
            }
            if !self.fill().await {
                return Incoming::End;
            }
        }
    }

    /// The next packet; pings stay unanswered.
    pub async fn packet(&mut self) -> String {
        match self.next().await {
            Incoming::Text(text) => text,
            other => panic!("got {other:?} in place of a packet"),
        }
    }

    /// The next message; pings are answered.
    pub async fn message(&mut self) -> Value {
        loop {
            let packet = self.packet().await;
            match packet.strip_prefix('4') {
                Some(message) => return serde_json::from_str(message).unwrap(),
                None => {
                    assert_eq!(packet, "2");
                    self.send_packet("3").await;
                }
            }
        }
    }

    /// Reads until the server closes; gives back its close code, if it sent one.
    pub async fn until_closed(&mut self) -> Option<u16> {
        loop {
            match self.next().await {
                Incoming::Text(_) | Incoming::Binary(_) => {}
                Incoming::Close(code) => return Some(code),
                Incoming::End => return None,
            }
        }
    }

    pub async fn read_open(&mut self) {
        let open = self.packet().await;
        let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        self.sid = open["sid"].as_str().unwrap().to_owned();
        self.session = open["session"].as_str().unwrap_or_default().to_owned();
    }

    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        let read = self.io.read(&mut chunk).await.unwrap_or(0);
        self.read.extend_from_slice(&chunk[..read]);
        read > 0
    }

    /// Opcode and payload of the first whole frame, which a server does not mask.
    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (&[first, second], rest) = self.read.split_first_chunk()?;
        let extended = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let long = rest
            .get(..extended)?
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let length = if extended == 0 {
            usize::from(second)
        } else {
            long
        };
        let start = 2 + extended;
        self.read.get(..start + length)?;
        let payload = self.read.drain(..start + length).skip(start).collect();
        Some((first & 0x0f, payload))
    }
}

/// A frame whose mask is zero.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}
