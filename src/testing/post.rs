use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinSet};

use super::{Disconnected, Received};

/// The tasks of a client: one writes, and gives back what it writes from, one reads.
pub(super) type Tasks = JoinSet<Option<mpsc::UnboundedReceiver<Packet>>>;

/// What the client wants to send.
pub(super) enum Packet {
    /// A packet as text.
    Text(String),
    /// A binary message.
    Binary(Bytes),
    /// Goodbye.
    Close,
    /// Nothing more goes out on this transport.
    Upgrade,
}

/// What a client shares with its tasks.
#[derive(Clone)]
pub(super) struct Post {
    pub(super) outgoing: mpsc::UnboundedSender<Packet>,
    pub(super) received: mpsc::UnboundedSender<Received>,
    pub(super) ignores_pings: Arc<AtomicBool>,
    pub(super) is_over: Arc<AtomicBool>,
}

impl Post {
    pub(super) fn send(&self, packet: Packet) {
        // An error says that the connection is over, and so does what is received.
        drop(self.outgoing.send(packet));
    }

    pub(super) fn hand_over(&self, received: Received) {
        // An error says that the client was dropped.
        drop(self.received.send(received));
    }

    /// The connection ended; only the first end counts.
    pub(super) fn end(&self, how: Disconnected) {
        if !self.is_over.swap(true, Ordering::Relaxed) {
            self.hand_over(Received::Disconnected(how));
        }
    }

    /// Whether nothing more is to be read.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Takes a packet that came as text.
    pub(super) fn take(&self, packet: &str) {
        let mut kind = packet.chars();
        match kind.next() {
            Some('2') if self.ignores_pings.load(Ordering::Relaxed) => {}
            Some('2') => self.send(Packet::Text(format!("3{}", kind.as_str()))),
            Some('4') => self.hand_over(Received::of_text(kind.as_str())),
            Some('1') => self.end(Disconnected::Packet),
            Some('6') => {}
            _ => self.hand_over(Received::Text(packet.to_owned())),
        }
    }
}
