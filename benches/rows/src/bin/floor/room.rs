//! The sockets that a broadcast reaches.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;

use crate::frames::push_text;

/// Everybody who is connected.
#[derive(Default)]
pub(crate) struct Room(Mutex<Vec<Arc<OwnedWriteHalf>>>);

impl Room {
    pub(crate) fn join(&self, socket: &Writer) {
        self.members().push(Arc::clone(&socket.0));
    }

    pub(crate) fn leave(&self, socket: &Writer) {
        self.members()
            .retain(|member| !Arc::ptr_eq(member, &socket.0));
    }

    /// Writes one frame to everybody, straight to the sockets.
    pub(crate) fn send(&self, payload: &[u8]) {
        let mut frame = Vec::new();
        push_text(payload, &mut frame);
        for member in self.members().iter() {
            let written = member.try_write(&frame);
            assert!(
                matches!(&written, Ok(bytes) if *bytes == frame.len()),
                "a socket did not take a broadcast: {written:?}"
            );
        }
    }

    fn members(&self) -> std::sync::MutexGuard<'_, Vec<Arc<OwnedWriteHalf>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing half of a socket, shared by its connection and the room.
#[derive(Clone)]
pub(crate) struct Writer(Arc<OwnedWriteHalf>);

impl Writer {
    pub(crate) fn new(half: OwnedWriteHalf) -> Self {
        Self(Arc::new(half))
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.as_ref().as_ref().poll_write_ready(cx))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
