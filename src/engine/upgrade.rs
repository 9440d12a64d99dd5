use std::time::{Duration, Instant};

use super::timing::{Timing, after};

/// How often a pending poll is ended while a websocket is being probed.
///
/// The client pauses polling before it sends the upgrade packet, and can only
/// do so while no poll is pending; it may have begun another one since the
/// last noop. [Engine.IO v4, Upgrade]
pub(super) const NOOP_INTERVAL: Duration = Duration::from_millis(100);

/// The candidate: a websocket that wants to take over from polling.
#[derive(Debug)]
pub(super) struct Upgrade {
    gives_up_at: Instant,
    /// When to end a pending poll again; `None` before the first probe.
    noop_at: Option<Instant>,
}

/// What the passing of time brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A pending poll has to be ended.
    Noop,
    /// The candidate took too long.
    GiveUp,
}

/// Why an upgrading websocket is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The connection has ended.
    #[error("connection is closed")]
    Closed,
    /// The connection is on a websocket already.
    #[error("already on a websocket")]
    OnWebSocket,
    /// Another websocket is being probed; it goes on undisturbed.
    #[error("already upgrading")]
    Upgrading,
    /// Upgrades are switched off.
    #[error("upgrades are not allowed")]
    NotAllowed,
}

impl Upgrade {
    /// A candidate has arrived.
    pub(super) fn start(now: Instant, timing: &Timing) -> Self {
        Self {
            gives_up_at: after(now, timing.upgrade_timeout),
            noop_at: None,
        }
    }

    /// The candidate was probed, at `now` a poll is ended.
    pub(super) fn handle_probe(&mut self, now: Instant) {
        self.noop_at = Some(now + NOOP_INTERVAL);
    }

    /// Applies one deadline at or before `now`; repeat until it gives `None`.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Step> {
        if self.gives_up_at <= now {
            return Some(Step::GiveUp);
        }
        if self.noop_at.is_some_and(|at| at <= now) {
            self.noop_at = Some(now + NOOP_INTERVAL);
            return Some(Step::Noop);
        }
        None
    }

    /// When time brings something next.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.noop_at
            .map_or(self.gives_up_at, |at| at.min(self.gives_up_at))
    }
}
