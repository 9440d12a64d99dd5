use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use ::metrics::counter;
use tokio::time::Instant;

use super::{
    DISCONNECTS, NOTICES, REJECTED,
    handles::{self, Handles},
};
use crate::{
    engine::{CloseReason, Transport},
    notice::{Notice, Noticeboard},
};

/// Counts what goes on in a layer; all clones count as one.
#[derive(Clone, Default)]
pub(crate) struct Metrics {
    handles: Arc<OnceLock<Handles>>,
}

impl Metrics {
    fn handles(&self) -> &Handles {
        self.handles.get_or_init(Handles::register)
    }

    /// Counts every notice too.
    pub(crate) fn counting(&self, mut notices: Noticeboard) -> Noticeboard {
        let metrics = self.clone();
        notices.add_callback(move |notice| metrics.count(notice));
        notices
    }

    pub(crate) fn connected(&self, transport: Transport) {
        let handles = self.handles();
        handles.handshakes.of(transport).increment(1);
        handles.connections.of(transport).increment(1);
    }

    pub(crate) fn upgraded(&self) {
        let handles = self.handles();
        handles.upgrades.increment(1);
        handles.connections.of(Transport::Polling).decrement(1);
        handles.connections.of(Transport::WebSocket).increment(1);
    }

    pub(crate) fn disconnected(&self, transport: Transport, reason: &CloseReason) {
        self.handles().connections.of(transport).decrement(1);
        counter!(DISCONNECTS, "reason" => reason.as_str()).increment(1);
    }

    pub(crate) fn received(&self) {
        self.handles().received.increment(1);
    }

    pub(crate) fn sent(&self) {
        self.handles().sent.increment(1);
    }

    pub(crate) fn handled(&self, since: &Stopwatch) {
        self.handles().handler_time.record(since.0.elapsed());
    }

    /// Takes note of how many bytes wait in one queue.
    pub(crate) fn settle(&self, backlog: &mut Backlog, bytes: usize) {
        if backlog.0 == bytes {
            return;
        }
        let queued = &self.handles().queued;
        if bytes > backlog.0 {
            queued.increment((bytes - backlog.0) as f64);
        } else {
            queued.decrement((backlog.0 - bytes) as f64);
        }
        backlog.0 = bytes;
    }

    /// Presence is in the first of these states, and in none of the others.
    pub(crate) fn presence(&self, state: &'static str, others: [&'static str; 2]) {
        handles::presence(state).set(1);
        for other in others {
            handles::presence(other).set(0);
        }
    }

    /// An entry for another node is in its inbox.
    pub(crate) fn entry_sent(&self, bytes: usize) {
        self.handles().bus_sent.count(bytes);
    }

    /// An entry of another node was read.
    pub(crate) fn entry_received(&self, bytes: usize) {
        self.handles().bus_received.count(bytes);
    }

    /// What is told of connections was counted where it happened.
    fn count(&self, notice: &Notice) {
        let handles = self.handles();
        match notice {
            Notice::Connect { .. } | Notice::Upgrade { .. } | Notice::Disconnect { .. } => {}
            Notice::Json { .. } => handles.refused.json.increment(1),
            Notice::Invalid { .. } => handles.refused.invalid.increment(1),
            Notice::Validation { .. } => handles.refused.validation.increment(1),
            Notice::Handler { .. } => handles.refused.handler.increment(1),
            Notice::QueueFull { .. } => handles.queue_full.increment(1),
            Notice::Reject { status, .. } => {
                counter!(REJECTED, "status" => status.as_str().to_owned()).increment(1);
            }
            other => counter!(NOTICES, "name" => other.name()).increment(1),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// When a handler was called.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

/// How many bytes of one queue are counted as waiting.
#[derive(Default)]
pub(crate) struct Backlog(usize);
