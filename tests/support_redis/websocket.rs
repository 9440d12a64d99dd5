//! A websocket that carries Engine.IO packets of text.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The opcode of text, in a frame that is a whole message.
const TEXT: u8 = 0x81;

/// The opcode of a close frame.
const CLOSE: u8 = 0x88;

/// Says that the payload is masked, with zeros, which change nothing.
const MASKED: u8 = 0x80;

/// A client's side of it.
#[derive(Debug)]
pub(super) struct WebSocket {
    stream: BufReader<TcpStream>,
}

impl WebSocket {
    pub(super) async fn connect(address: SocketAddr, target: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        if !head.starts_with("HTTP/1.1 101 ") {
            return Err(io::Error::other(head));
        }
        Ok(Self { stream })
    }

    pub(super) async fn send(&mut self, text: &str) -> io::Result<()> {
        let length = text.len();
        let mut frame = vec![TEXT];
        match u16::try_from(length) {
            Ok(short @ ..126) => frame.push(MASKED | short as u8),
            Ok(medium) => {
                frame.push(MASKED | 126);
                frame.extend(medium.to_be_bytes());
            }
            Err(_) => return Err(ErrorKind::InvalidInput.into()),
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.stream.write_all(&frame).await
    }

    /// The next message; an error when there is none.
    pub(super) async fn text(&mut self) -> io::Result<String> {
        let opcode = self.stream.read_u8().await?;
        let length = match self.stream.read_u8().await? {
            126 => self.stream.read_u16().await?.into(),
            127 => self.stream.read_u64().await?,
            short => short.into(),
        };
        let length = usize::try_from(length).map_err(|_| ErrorKind::InvalidData)?;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await?;
        match opcode {
            TEXT => String::from_utf8(payload).map_err(|_| ErrorKind::InvalidData.into()),
            CLOSE => Err(ErrorKind::ConnectionAborted.into()),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }
}
