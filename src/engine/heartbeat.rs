use std::time::{Duration, Instant};

use super::timing::{Timing, after};

/// The server's pings, the pongs that it waits for, and how long we may keep
/// from reading. [Engine.IO v4, Heartbeat]
///
/// At most one ping is unanswered at any time. A deadline counts from when the
/// one before it was due, so timers that fire a little late add up to nothing;
/// one that fires very late means a stalled host, and then the client gets its
/// whole time from now.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// When the next ping is due or, once it is sent, its pong.
    due: Instant,
    awaiting_pong: bool,
    /// Whether the client sent anything but the pong that is due.
    heard: bool,
    extended: bool,
    /// While we do not read: until when that may last.
    held_until: Option<Instant>,
}

/// What the passing of time brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// A ping has to be sent.
    Ping,
    /// The pong is late, but the client is alive: once per ping, it gets the
    /// timeout again.
    Patience,
    /// The client is gone.
    Silence,
    /// A handler kept us from reading for too long.
    HeldTooLong,
}

impl Heartbeat {
    /// The first ping comes one interval after `now`.
    pub(super) fn start(now: Instant, timing: &Timing) -> Self {
        Self {
            due: after(now, timing.ping_interval),
            awaiting_pong: false,
            heard: false,
            extended: false,
            held_until: None,
        }
    }

    /// Something other than a pong arrived.
    #[inline]
    pub(super) const fn hear(&mut self) {
        self.heard = true;
    }

    /// A pong arrived; one that nobody waits for changes nothing.
    pub(super) fn handle_pong(&mut self, now: Instant, timing: &Timing) {
        if self.awaiting_pong {
            self.awaiting_pong = false;
            self.due = after(now, timing.ping_interval);
        }
    }

    /// We stop reading.
    pub(super) fn hold(&mut self, now: Instant, timing: &Timing) {
        self.held_until
            .get_or_insert_with(|| after(now, timing.hold_timeout));
    }

    /// We read again, and the client gets the whole timeout again.
    pub(super) fn release(&mut self, now: Instant, timing: &Timing) {
        if self.held_until.take().is_some() && self.awaiting_pong {
            self.heard = false;
            self.due = after(now, timing.ping_timeout);
        }
    }

    /// Applies one deadline at or before `now`; repeat until it gives `None`.
    pub(super) fn handle_timeout(&mut self, now: Instant, timing: &Timing) -> Option<Beat> {
        if self.held_until.is_some_and(|until| until <= now) {
            return Some(Beat::HeldTooLong);
        }
        if self.next_beat()? > now {
            return None;
        }
        if !self.awaiting_pong {
            self.awaiting_pong = true;
            self.heard = false;
            self.extended = false;
            self.start_timeout(now, timing.ping_timeout);
            Some(Beat::Ping)
        } else if self.heard && !self.extended {
            self.extended = true;
            self.start_timeout(now, timing.ping_timeout);
            Some(Beat::Patience)
        } else {
            Some(Beat::Silence)
        }
    }

    /// When time brings something next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next_beat().into_iter().chain(self.held_until).min()
    }

    /// From when on the connection is lost, if nothing arrives before.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        let out_of_patience = self.awaiting_pong && (!self.heard || self.extended);
        self.held_until
            .or_else(|| out_of_patience.then_some(self.due))
    }

    /// A pong that we would not read is not waited for.
    fn next_beat(&self) -> Option<Instant> {
        let stands_still = self.awaiting_pong && self.held_until.is_some();
        (!stands_still).then_some(self.due)
    }

    fn start_timeout(&mut self, now: Instant, timeout: Duration) {
        let late = now.saturating_duration_since(self.due);
        let start = if late > timeout / STALLED {
            now
        } else {
            self.due
        };
        self.due = after(start, timeout);
    }
}

/// A timer that is late by more than this part of the ping timeout tells of a
/// stalled host.
const STALLED: u32 = 8;
