//! What other implementations make of a client's bytes.

use std::io::{self, Read, Write};

use futures_util::{FutureExt, StreamExt};
use tungstenite::error::ProtocolError;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::websocket::testing::Heard;
use crate::websocket::{CloseCode, Limits};

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With its bytes.
    Cut,
    /// With a close frame.
    Closed,
    /// With a fault, and this code for it.
    Fault(u16),
}

/// The bytes of a client, to whom nothing is written.
struct Wire<'a>(&'a [u8]);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `tungstenite` hears.
pub(crate) fn tungstenite(bytes: &[u8], limits: &Limits) -> (Vec<Heard>, End) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(limits.max_message))
        .max_frame_size(Some(limits.max_message));
    let mut socket = WebSocket::from_raw_socket(Wire(bytes), Role::Server, Some(config));
    let mut heard = Vec::new();
    let end = loop {
        match socket.read() {
            Ok(message) => heard.push(tungstenite_message(message)),
            Err(Error::ConnectionClosed) => break End::Closed,
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => break End::Cut,
            Err(Error::Utf8(_)) => break End::Fault(1007),
            Err(Error::Capacity(_)) => break End::Fault(1009),
            Err(Error::Protocol(_)) => break End::Fault(1002),
            Err(error) => panic!("an error that no bytes explain: {error}"),
        }
    };
    (heard, end)
}

fn tungstenite_message(message: Message) -> Heard {
    match message {
        Message::Text(text) => Heard::Text(text.as_str().to_owned()),
        Message::Binary(bytes) => Heard::Binary(bytes.to_vec()),
        Message::Ping(payload) => Heard::Ping(payload.to_vec()),
        Message::Pong(_) => Heard::Pong,
        Message::Close(frame) => Heard::Close(
            frame.map(|frame| CloseCode::new(frame.code.into()).expect("other codes are replaced")),
        ),
        Message::Frame(_) => unreachable!("frames are never read"),
    }
}

/// What `tokio-websockets` hears.
pub(crate) fn tokio_websockets(bytes: &[u8], limits: &Limits) -> (Vec<Heard>, End) {
    use tokio_websockets::{Error, Limits, ServerBuilder};

    let wire = tokio::io::join(bytes, tokio::io::sink());
    let limits = Limits::default().max_payload_len(Some(limits.max_message));
    let mut socket = ServerBuilder::new().limits(limits).serve(wire);
    let mut heard = Vec::new();
    let end = loop {
        match socket.next().now_or_never().expect("all bytes are there") {
            Some(Ok(message)) => match tokio_websockets_message(&message) {
                Some(message) => heard.push(message),
                None => break End::Fault(1007),
            },
            None if matches!(heard.last(), Some(Heard::Close(_))) => break End::Closed,
            None | Some(Err(Error::Io(_))) => break End::Cut,
            Some(Err(Error::PayloadTooLong { .. })) => break End::Fault(1009),
            Some(Err(Error::Protocol(error))) => {
                let utf8 = matches!(error, tokio_websockets::proto::ProtocolError::InvalidUtf8);
                break End::Fault(if utf8 { 1007 } else { 1002 });
            }
            Some(Err(error)) => panic!("an error that no bytes explain: {error}"),
        }
    };
    (heard, end)
}

/// The message, unless it is a text that is not UTF-8 and was overlooked.
fn tokio_websockets_message(message: &tokio_websockets::Message) -> Option<Heard> {
    let payload = message.as_payload().to_vec();
    if message.is_text() {
        String::from_utf8(payload).ok().map(Heard::Text)
    } else if message.is_binary() {
        Some(Heard::Binary(payload))
    } else if message.is_ping() {
        Some(Heard::Ping(payload))
    } else if message.is_pong() {
        Some(Heard::Pong)
    } else {
        let code = message.as_close().map(|(code, _)| code.into());
        Some(Heard::Close(
            code.filter(|_| !payload.is_empty())
                .and_then(CloseCode::new),
        ))
    }
}
