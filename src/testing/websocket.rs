//! A websocket to a service, through hyper and over memory: only hyper can make the upgrade that a
//! service of a real server is given.

use std::convert::Infallible;

use bytes::{Buf, Bytes, BytesMut};
use http::{Extensions, Request, StatusCode};
use hyper::{body::Incoming, client, server, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    sync::mpsc,
};

use super::{
    Body, Disconnected, Received, Rejected,
    caller::{Caller, collect, failed},
    post::{Packet, Post},
};
use crate::websocket::{Opcode, header};

type Io = TokioIo<Upgraded>;

/// Bytes that memory holds in each direction.
const MEMORY: usize = 64 * 1024;

/// Bytes of one read.
const READ: usize = 16 * 1024;

/// What stands for a close frame without a code. [RFC 6455, section 7.4.1]
const NO_CODE: u16 = 1005;

/// Asks for a websocket; the extensions are for the service.
pub(super) async fn open(
    caller: &Caller,
    request: Request<Body>,
    extensions: Extensions,
) -> Result<WebSocket, Rejected> {
    let (ours, theirs) = duplex(MEMORY);
    serve(caller.clone(), theirs, extensions);
    let (mut sender, dialed) = client::conn::http1::handshake(TokioIo::new(ours))
        .await
        .map_err(Rejected::failed)?;
    tokio::spawn(dialed.with_upgrades());
    let answer = sender.send_request(request).await;
    let mut answer = answer.map_err(Rejected::failed)?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (parts, body) = answer.into_parts();
        let body = collect(body).await.map_err(Rejected::failed)?;
        return Err(Rejected::of(&http::Response::from_parts(parts, body)));
    }
    let upgraded = hyper::upgrade::on(&mut answer).await;
    Ok(WebSocket::over(upgraded.map_err(Rejected::failed)?))
}

fn serve(caller: Caller, io: DuplexStream, extensions: Extensions) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (caller, extensions) = (caller.clone(), extensions.clone());
        async move {
            let (mut parts, body) = request.into_parts();
            parts.extensions.extend(extensions);
            let answer = match collect(body).await {
                Ok(body) => caller.call(Request::from_parts(parts, body.into())).await,
                Err(error) => failed(error),
            };
            Ok::<_, Infallible>(answer.map(Body::from))
        }
    });
    let server = server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    // A client that leaves in the middle is an error here.
    tokio::spawn(async move { drop(server.await) });
}

/// The client's side.
pub(super) struct WebSocket {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
}

impl WebSocket {
    fn over(upgraded: Upgraded) -> Self {
        let (read, write) = split(TokioIo::new(upgraded));
        Self {
            reader: Reader {
                io: read,
                read: BytesMut::new(),
            },
            writer: Writer { io: write },
        }
    }
}

pub(super) struct Reader {
    io: ReadHalf<Io>,
    read: BytesMut,
}

/// What came in one frame.
pub(super) enum Frame {
    Text(String),
    Binary(Bytes),
    Over(Disconnected),
}

impl Reader {
    /// The next frame that is not about the websocket itself.
    pub(super) async fn next(&mut self) -> Frame {
        loop {
            match self.take() {
                Some((0x1, text)) => {
                    return Frame::Text(String::from_utf8_lossy(&text).into_owned());
                }
                Some((0x2, bytes)) => return Frame::Binary(bytes),
                Some((0x8, mut reason)) => {
                    let code = reason.try_get_u16().unwrap_or(NO_CODE);
                    return Frame::Over(Disconnected::Code(code));
                }
                Some(_) => {}
                None if self.fill().await => {}
                None => return Frame::Over(Disconnected::Lost),
            }
        }
    }

    /// Reads until the other side is gone.
    async fn drain(mut self) {
        while self.fill().await {
            self.read.clear();
        }
    }

    async fn fill(&mut self) -> bool {
        self.read.reserve(READ);
        matches!(self.io.read_buf(&mut self.read).await, Ok(1..))
    }

    /// Opcode and payload of the first whole frame, which a server neither masks nor divides.
    fn take(&mut self) -> Option<(u8, Bytes)> {
        let mut rest = &self.read[..];
        let opcode = rest.try_get_u8().ok()? & 0x0f;
        let length = match rest.try_get_u8().ok()? {
            126 => usize::from(rest.try_get_u16().ok()?),
            127 => usize::try_from(rest.try_get_u64().ok()?).ok()?,
            length => usize::from(length),
        };
        let start = self.read.len() - rest.len();
        if rest.len() < length {
            return None;
        }
        self.read.advance(start);
        Some((opcode, self.read.split_to(length).freeze()))
    }
}

pub(super) struct Writer {
    io: WriteHalf<Io>,
}

impl Writer {
    pub(super) async fn text(&mut self, packet: &str) -> bool {
        self.frame(Opcode::Text, packet.as_bytes()).await
    }

    /// Whether it was written. The mask is zero, which is one like any other.
    async fn frame(&mut self, opcode: Opcode, payload: &[u8]) -> bool {
        let mut frame = header(opcode, payload.len()).as_ref().to_vec();
        frame[1] |= 0x80;
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.io.write_all(&frame).await.is_ok()
    }
}

/// Writes what is to be sent until there is nobody to write to.
pub(super) async fn write(mut writer: Writer, mut outgoing: mpsc::UnboundedReceiver<Packet>) {
    while let Some(packet) = outgoing.recv().await {
        let written = match packet {
            Packet::Text(packet) => writer.text(&packet).await,
            Packet::Binary(bytes) => writer.frame(Opcode::Binary, &bytes).await,
            Packet::Close => {
                let code = 1000_u16.to_be_bytes();
                writer.frame(Opcode::Close, &code).await;
                false
            }
            Packet::Upgrade => true,
        };
        if !written {
            return;
        }
    }
}

/// Hands over what is received, and answers pings, until the connection is over.
pub(super) async fn read(mut reader: Reader, post: Post) {
    loop {
        match reader.next().await {
            Frame::Text(packet) => post.take(&packet),
            Frame::Binary(bytes) => post.hand_over(Received::Binary(bytes)),
            Frame::Over(how) => {
                post.end(how);
                post.send(Packet::Close);
                return reader.drain().await;
            }
        }
    }
}
