use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::packets::{Owned, in_bytes, in_scratch};
use crate::{
    connection::{Batch, Broken, Connection, Received, Scratch, Wire},
    engine::{CloseReason, DecodeError, Fact},
    message::Frame,
    websocket::{CloseCode, Decoder, ProtocolError, close_frame, pong},
};

/// A websocket over any byte stream.
///
/// While nothing is under way it owns no buffer: reads land in the scratch space of the thread,
/// and only what is left over from a read or a write is kept.
pub(crate) struct WebSocket<IO> {
    io: IO,
    decoder: Decoder,
    /// Read, and not yet taken.
    rest: BytesMut,
    /// Begun, and not yet written.
    unsent: Bytes,
    /// Pongs and other frames that go before the queue.
    first: BytesMut,
    closing: Closing,
    progress: bool,
    /// Written, and perhaps still in a buffer of the stream below, as TLS has one.
    dirty: bool,
    /// Somebody wants to hear when what was begun is written.
    watched: bool,
    /// What the other side sees when its bytes were the reason.
    fault: Option<CloseCode>,
    heard_close: bool,
}

enum Closing {
    No,
    Writing,
    ShuttingDown,
    /// The close frame is out; unread bytes would make the kernel reset the connection, and the
    /// frame with it.
    Draining,
    Done,
}

/// So many bytes of pongs may wait before nothing more is read.
const PONGS: usize = 4 * 1024;

impl<IO> WebSocket<IO> {
    fn new(io: IO) -> Self {
        Self {
            io,
            decoder: Decoder::new(),
            rest: BytesMut::new(),
            unsent: Bytes::new(),
            first: BytesMut::new(),
            closing: Closing::No,
            progress: false,
            dirty: false,
            watched: false,
            fault: None,
            heard_close: false,
        }
    }
}

impl From<Upgraded> for WebSocket<TokioIo<Upgraded>> {
    fn from(upgraded: Upgraded) -> Self {
        Self::new(TokioIo::new(upgraded))
    }
}

impl<IO> WebSocket<IO>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn poll_read(&mut self, cx: &mut Context<'_>, input: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(input);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Decodes from what was read; `None` when that is used up.
    fn decode(&mut self, scratch: &mut Scratch, connection: &Connection) -> Option<Received> {
        let limits = connection.endpoint().settings.limits();
        loop {
            let from_rest = !self.rest.is_empty();
            let input = if from_rest {
                &mut self.rest[..]
            } else {
                &mut scratch.input[scratch.unread.clone()]
            };
            if input.is_empty() {
                return None;
            }
            let decoded = match self.decoder.decode(input, limits) {
                Ok(decoded) => decoded,
                Err(error) => return Some(self.refuse(&error)),
            };
            let incoming = if from_rest {
                let consumed = self.rest.split_to(decoded.consumed).freeze();
                decoded.message.map(|message| in_bytes(message, &consumed))
            } else {
                let start = scratch.unread.start;
                scratch.unread.start += decoded.consumed;
                decoded
                    .message
                    .map(|message| in_scratch(message, start, scratch))
            };
            if let Some(received) = self.take(incoming?) {
                return Some(received);
            }
        }
    }

    fn take(&mut self, incoming: Owned) -> Option<Received> {
        match incoming {
            Owned::Packet(packet) => Some(packet),
            Owned::Ping(payload) => {
                self.first.extend_from_slice(pong(&payload).as_ref());
                None
            }
            Owned::Pong => None,
            Owned::Close => {
                self.heard_close = true;
                Some(Received::Over(Fact::Left))
            }
        }
    }

    fn refuse(&mut self, error: &ProtocolError) -> Received {
        let code = error.close_code();
        self.fault = Some(code);
        Received::Over(if code == CloseCode::TOO_BIG {
            Fact::TooLarge
        } else if code == CloseCode::INVALID_DATA {
            Fact::Malformed(DecodeError::Utf8)
        } else {
            Fact::WrongFrame
        })
    }

    /// Writes `unsent`; ready when it is empty.
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.unsent.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.unsent)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken)),
                Ok(written) => self.unsent.advance(written),
            }
            self.wrote();
        }
        self.unsent = Bytes::new();
        Poll::Ready(Ok(()))
    }

    /// Writes a batch from the scratch space and keeps what the kernel did not take.
    fn poll_output(&mut self, cx: &mut Context<'_>, output: &[u8]) -> Poll<Result<(), Broken>> {
        match Pin::new(&mut self.io).poll_write(cx, output) {
            Poll::Ready(Ok(written)) if written == output.len() => {
                self.wrote();
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Broken)),
            Poll::Ready(Ok(written)) => {
                self.wrote();
                self.unsent = Bytes::copy_from_slice(&output[written..]);
            }
            Poll::Pending => self.unsent = Bytes::copy_from_slice(output),
        }
        self.poll_unsent(cx)
    }

    /// Closes a websocket that was never put to use.
    pub(crate) async fn say_goodbye(mut self, reason: &CloseReason) {
        std::future::poll_fn(|cx| {
            let mut scratch = Scratch::take();
            let closed = self.poll_close(cx, &mut scratch, reason);
            scratch.put_back();
            closed
        })
        .await;
    }

    fn wrote(&mut self) {
        self.progress = true;
        self.dirty = true;
    }

    fn poll_io_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.dirty {
            let flushed = ready!(Pin::new(&mut self.io).poll_flush(cx));
            self.dirty = false;
            return Poll::Ready(flushed.map_err(|_| Broken));
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO> Wire for WebSocket<IO>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        connection: &Connection,
    ) -> Poll<Received> {
        loop {
            if let Some(received) = self.decode(scratch, connection) {
                return Poll::Ready(received);
            }
            if self.first.len() >= PONGS && ready!(self.poll_flush_first(cx)).is_err() {
                return Poll::Ready(Received::Over(Fact::Left));
            }
            match ready!(self.poll_read(cx, &mut scratch.input)) {
                Ok(0) | Err(_) => {
                    self.heard_close = true;
                    return Poll::Ready(Received::Over(Fact::Left));
                }
                Ok(read) => scratch.unread = 0..read,
            }
        }
    }

    fn is_drained(&self, scratch: &Scratch) -> bool {
        self.rest.is_empty() && scratch.unread.is_empty()
    }

    fn stash(&mut self, scratch: &mut Scratch) {
        if !scratch.unread.is_empty() {
            self.rest
                .extend_from_slice(&scratch.input[scratch.unread.clone()]);
            scratch.unread = 0..0;
        } else if self.rest.is_empty() && self.rest.capacity() > 0 {
            self.rest = BytesMut::new();
        }
    }

    fn send_first(&mut self, frame: Frame) {
        self.first.extend_from_slice(frame.bytes());
    }

    fn poll_flush_first(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            if let Err(broken) = ready!(self.poll_unsent(cx)) {
                return Poll::Ready(Err(broken));
            }
            if self.first.is_empty() {
                return self.poll_io_flush(cx);
            }
            self.unsent = std::mem::take(&mut self.first).freeze();
        }
    }

    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        connection: &Connection,
    ) -> Poll<Result<(), Broken>> {
        let begun = !self.unsent.is_empty() || !self.first.is_empty();
        if begun && let Err(broken) = ready!(self.poll_flush_first(cx)) {
            return Poll::Ready(Err(broken));
        }
        loop {
            if self.watched {
                if let Err(broken) = ready!(self.poll_io_flush(cx)) {
                    return Poll::Ready(Err(broken));
                }
                self.watched = false;
                connection.written();
            }
            if !connection.has_queued() {
                break;
            }
            scratch.output.clear();
            let (batch, watched) = connection.pop_batch(&mut scratch.output);
            self.watched = watched;
            let written = match batch {
                Batch::Empty => break,
                Batch::One(frame) => {
                    self.unsent = frame;
                    self.poll_unsent(cx)
                }
                Batch::Copied => self.poll_output(cx, &scratch.output),
            };
            if let Err(broken) = ready!(written) {
                return Poll::Ready(Err(broken));
            }
        }
        self.poll_io_flush(cx)
    }

    fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progress)
    }

    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        reason: &CloseReason,
    ) -> Poll<()> {
        loop {
            match self.closing {
                Closing::No => {
                    let code = self.fault.unwrap_or_else(|| code_for(reason));
                    self.first.extend_from_slice(close_frame(code, "").as_ref());
                    self.closing = Closing::Writing;
                }
                Closing::Writing => {
                    let written = ready!(self.poll_flush_first(cx)).is_ok();
                    self.closing = if written {
                        Closing::ShuttingDown
                    } else {
                        Closing::Done
                    };
                }
                Closing::ShuttingDown => {
                    let shut = ready!(Pin::new(&mut self.io).poll_shutdown(cx)).is_ok();
                    let over = self.heard_close || !shut;
                    self.closing = if over {
                        Closing::Done
                    } else {
                        Closing::Draining
                    };
                }
                Closing::Draining => match ready!(self.poll_read(cx, &mut scratch.input)) {
                    Ok(0) | Err(_) => self.closing = Closing::Done,
                    Ok(_) => {}
                },
                Closing::Done => return Poll::Ready(()),
            }
        }
    }
}

/// The close code for a reason that was not found in the bytes. [RFC 6455, section 7.4.1]
const fn code_for(reason: &CloseReason) -> CloseCode {
    match reason {
        CloseReason::Shutdown | CloseReason::Fenced => CloseCode::GOING_AWAY,
        CloseReason::Malformed(_) | CloseReason::TransportError(_) => CloseCode::PROTOCOL_ERROR,
        CloseReason::TooLarge => CloseCode::TOO_BIG,
        CloseReason::Superseded | CloseReason::QueueFull => CloseCode::POLICY,
        _ => CloseCode::NORMAL,
    }
}
