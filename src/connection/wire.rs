use std::{
    cell::Cell,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};

use super::Connection;
use crate::{
    engine::{CloseReason, Control, Data, DecodeError, Fact},
    message::Frame,
};

/// A websocket as the task of a connection uses it: packets in, frames out. It moves bytes and
/// decides nothing.
pub(crate) trait Wire: Send + Unpin + 'static {
    /// The next packet, reading when none is left of the last read.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        connection: &Connection,
    ) -> Poll<Received>;

    /// Whether the next [`poll_receive`](Self::poll_receive) would read.
    fn is_drained(&self, scratch: &Scratch) -> bool;

    /// Keeps what was read and not yet received: the scratch space goes to somebody else.
    fn stash(&mut self, scratch: &mut Scratch);

    /// Sends a frame of the protocol's own before everything that is queued.
    fn send_first(&mut self, frame: Frame);

    /// Writes the frames of [`send_first`](Self::send_first) and nothing else.
    fn poll_flush_first(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>;

    /// Writes what is queued. Ready when all of it is with the kernel.
    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        connection: &Connection,
    ) -> Poll<Result<(), Broken>>;

    /// Whether bytes were written since the last call.
    fn take_progress(&mut self) -> bool;

    /// Says goodbye and waits for the client to do the same. Nothing that is queued is written:
    /// flush before.
    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
        reason: &CloseReason,
    ) -> Poll<()>;
}

/// What came over a websocket.
#[derive(Debug)]
pub(crate) enum Received {
    /// A message.
    Message(Data),
    /// Another packet.
    Control(Control),
    /// Bytes that are no packet.
    Malformed(DecodeError),
    /// The websocket is over.
    Over(Fact),
}

/// Writing failed: the client is gone.
#[derive(Debug)]
pub(crate) struct Broken;

/// Space that a task needs only while it runs: one a thread, lent to whoever runs on it.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// What is read lands here.
    pub(crate) input: Vec<u8>,
    /// Where in `input` the bytes lie that nobody has looked at.
    pub(crate) unread: std::ops::Range<usize>,
    /// Where several small frames become one write.
    pub(crate) output: Vec<u8>,
    chunk: BytesMut,
}

/// Bytes of one read.
const INPUT: usize = 16 * 1024;

/// Bytes that small messages share an allocation in. Whoever keeps a message keeps its chunk.
const CHUNK: usize = 8 * 1024;

/// A longer message gets an allocation of its own.
const CHUNKED_UP_TO: usize = 2 * 1024;

thread_local! {
    static SPARE: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    /// Borrows the scratch space of this thread.
    pub(crate) fn take() -> Box<Self> {
        SPARE.take().unwrap_or_else(|| {
            Box::new(Self {
                input: vec![0; INPUT],
                unread: 0..0,
                output: Vec::new(),
                chunk: BytesMut::with_capacity(CHUNK),
            })
        })
    }

    /// Gives it back.
    pub(crate) fn put_back(mut self: Box<Self>) {
        self.unread = 0..0;
        SPARE.set(Some(self));
    }

    /// Copies a payload out of the input. Small ones share an allocation, which is used again
    /// once nobody holds any of them.
    #[inline]
    pub(crate) fn keep(&mut self, payload: std::ops::Range<usize>) -> Bytes {
        keep(&mut self.chunk, &self.input[payload])
    }

    /// Copies a payload from elsewhere in the same way.
    pub(crate) fn copy(payload: &[u8]) -> Bytes {
        let mut scratch = Self::take();
        let kept = keep(&mut scratch.chunk, payload);
        scratch.put_back();
        kept
    }
}

fn keep(chunk: &mut BytesMut, payload: &[u8]) -> Bytes {
    if payload.len() > CHUNKED_UP_TO {
        return Bytes::copy_from_slice(payload);
    }
    chunk.extend_from_slice(payload);
    chunk.split().freeze()
}
