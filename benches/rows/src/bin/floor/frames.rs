//! WebSocket frames by hand: as much of RFC 6455 as the load generator sends.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::room::Room;

/// Bytes taken from a socket at once.
const SCRATCH: usize = 64 * 1024;

/// Start of a message that goes to everybody.
const BROADCAST: &[u8] = br#"4{"event":"broadcast""#;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;

thread_local! {
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
    static OUTPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The `Sec-WebSocket-Accept` that answers a key.
pub(crate) fn accept_key(key: &[u8]) -> String {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    STANDARD.encode(digest)
}

/// Appends an unmasked text frame.
pub(crate) fn push_text(payload: &[u8], output: &mut Vec<u8>) {
    push_frame(TEXT, payload, output);
}

/// A connection that answers every message with itself.
pub(crate) struct Echo<'a, S> {
    stream: S,
    room: Option<&'a Room>,
    /// Bytes of a frame that is not complete yet; without one it owns no memory.
    partial: Vec<u8>,
    /// What the socket did not take at once.
    unsent: Vec<u8>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Echo<'a, S> {
    /// Serves `stream`; broadcasts need a room.
    pub(crate) fn new(stream: S, room: Option<&'a Room>) -> Self {
        Self {
            stream,
            room,
            partial: Vec::new(),
            unsent: Vec::new(),
        }
    }

    /// Runs until the client closes.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        loop {
            let open = std::future::poll_fn(|cx| self.poll_turn(cx)).await?;
            if !self.unsent.is_empty() {
                let unsent = std::mem::take(&mut self.unsent);
                self.stream.write_all(&unsent).await?;
            }
            if !open {
                return Ok(());
            }
        }
    }

    /// Reads once and answers everything that came; says whether the connection goes on.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        INPUT.with_borrow_mut(|input| {
            let kept = self.partial.len();
            input[..kept].copy_from_slice(&self.partial);
            let mut space = ReadBuf::new(&mut input[kept..]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
            let read = space.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(false));
            }
            OUTPUT.with_borrow_mut(|output| {
                output.clear();
                let open = self.answer(&mut input[..kept + read], output)?;
                self.write(cx, output)?;
                Poll::Ready(Ok(open))
            })
        })
    }

    /// Takes the frames out of `input` and puts their answers into `output`.
    fn answer(&mut self, input: &mut [u8], output: &mut Vec<u8>) -> io::Result<bool> {
        let mut rest = input;
        let mut open = true;
        while let Some((opcode, length)) = unmask(rest)? {
            let (frame, after) = rest.split_at_mut(length.end);
            let payload = &frame[length];
            match (opcode, self.room) {
                (TEXT, Some(room)) if payload.starts_with(BROADCAST) => room.send(payload),
                _ => push_frame(opcode, payload, output),
            }
            open &= opcode != CLOSE;
            rest = after;
        }
        self.partial.clear();
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(rest);
        }
        Ok(open)
    }

    /// Writes once and keeps what did not fit.
    fn write(&mut self, cx: &mut Context<'_>, output: &[u8]) -> io::Result<()> {
        if output.is_empty() {
            return Ok(());
        }
        let written = match Pin::new(&mut self.stream).poll_write(cx, output) {
            Poll::Ready(written) => written?,
            Poll::Pending => 0,
        };
        if written < output.len() {
            self.unsent.extend_from_slice(&output[written..]);
        }
        Ok(())
    }
}

/// Unmasks the frame at the start of `input`: its opcode and where its payload is, once it is complete.
fn unmask(input: &mut [u8]) -> io::Result<Option<(u8, std::ops::Range<usize>)>> {
    let (length, mask) = match input {
        [_, short, ..] if *short & 0x7f < 126 => (usize::from(*short & 0x7f), 2),
        [_, 0xfe, high, low, ..] => (usize::from(u16::from_be_bytes([*high, *low])), 4),
        [_, 0xff, ..] => return Err(io::Error::other("frame longer than any row sends")),
        _ => return Ok(None),
    };
    let payload = mask + 4..mask + 4 + length;
    if input.len() < payload.end {
        return Ok(None);
    }
    let key = [0, 1, 2, 3].map(|at| input[mask + at]);
    for chunk in input[payload.clone()].chunks_mut(4) {
        for (byte, key) in chunk.iter_mut().zip(key) {
            *byte ^= key;
        }
    }
    Ok(Some((input[0] & 0x0f, payload)))
}

fn push_frame(opcode: u8, payload: &[u8], output: &mut Vec<u8>) {
    output.push(0x80 | opcode);
    match u8::try_from(payload.len()) {
        Ok(short) if short < 126 => output.push(short),
        _ => {
            let length = u16::try_from(payload.len()).expect("no row sends 64 KB");
            output.push(126);
            output.extend_from_slice(&length.to_be_bytes());
        }
    }
    output.extend_from_slice(payload);
}
