use std::time::{Duration, Instant};

/// How long things may take. One value for all connections of a node.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    /// From the handshake, or from a pong, to the next ping.
    pub(crate) ping_interval: Duration,
    /// From a ping to the last moment for its pong.
    pub(crate) ping_timeout: Duration,
    /// From the arrival of an upgrading websocket to its upgrade packet.
    pub(crate) upgrade_timeout: Duration,
    /// How long a handler may keep us from reading what a client sends.
    pub(crate) hold_timeout: Duration,
    /// Whether a connection on polling may go over to a websocket.
    pub(crate) allow_upgrades: bool,
}

/// `start + wait`, for any setting.
pub(super) fn after(start: Instant, wait: Duration) -> Instant {
    start + wait.min(FOREVER)
}

/// A wait that nobody sees the end of, and that no clock overflows with.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
