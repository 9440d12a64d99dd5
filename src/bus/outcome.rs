use std::time::Duration;

/// How far a message for one session got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The session is connected nowhere. Nothing was delivered.
    NoSession,
    /// The directory is not known well enough, or the session's node could not be written to
    /// though it seems alive. Nothing was delivered.
    Uncertain,
    /// The session's node is dead. Nothing was delivered.
    NodeGone,
    /// Surely not delivered.
    Refused(Refused),
    /// It was sent, and no answer came in time: it was delivered at most once, perhaps.
    Unknown,
    /// It is in the session's queue.
    Enqueued,
    /// It was given to the transport.
    Written,
}

/// Why a message was surely not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refused {
    /// The queue of the session is full, or too small for the message.
    QueueFull,
    /// The session, or its node, is closing.
    Closing,
    /// The other node does not read as fast as is written to it.
    InboxFull,
    /// The bus is away, or has more to do than it can hold.
    BusOffline,
    /// The session's transport cannot carry it; see
    /// [`SendError::Separator`](crate::SendError::Separator).
    Unsendable,
}

/// Why a node did not answer for its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unreached {
    /// It seems alive and could not be written to. Nothing was delivered there.
    #[error("node is not known well enough")]
    Uncertain,
    /// It is dead. Nothing was delivered there.
    #[error("node is gone")]
    NodeGone,
    /// Surely nothing was delivered there.
    #[error("refused: {}", .0.name())]
    Refused(Refused),
    /// It was sent there, and no answer came in time.
    #[error("no answer in time")]
    Unknown,
}

/// How far somebody waits for a message to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Into the queue of its session.
    Enqueued,
    /// To the transport.
    Written,
}

/// How far somebody waits for a message to get, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wait {
    pub(crate) level: Level,
    pub(crate) at_most: Duration,
}

/// A year: no clock overflows with it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

impl Wait {
    /// Until it is in the queue of its session.
    #[must_use]
    pub const fn enqueued(at_most: Duration) -> Self {
        Self::until(Level::Enqueued, at_most)
    }

    /// Until it was given to the transport: written to the websocket, or taken by a poll.
    #[must_use]
    pub const fn written(at_most: Duration) -> Self {
        Self::until(Level::Written, at_most)
    }

    const fn until(level: Level, at_most: Duration) -> Self {
        let too_long = at_most.as_secs() >= LONGEST.as_secs();
        let at_most = if too_long { LONGEST } else { at_most };
        Self { level, at_most }
    }
}

/// What became of something that was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// So many connections have it in their queue.
    pub queued: usize,
    /// So many did not take it: their queue was full, or they were closing.
    pub refused: usize,
    /// So many other nodes could not be asked, or did not answer in time.
    pub unreached: usize,
    /// Whether it was also passed on to other nodes, without waiting for what they say.
    pub passed_on: bool,
}

/// What all nodes that are concerned have answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gathered<T> {
    /// Node by node, this one first if it is concerned.
    pub nodes: Vec<NodeResult<T>>,
    /// Whether there surely are no other nodes.
    pub complete: bool,
}

/// What one node has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeResult<T> {
    /// Its id.
    pub node: Box<str>,
    /// Its answer.
    pub result: Result<T, Unreached>,
}

impl Outcome {
    /// `no_session`, `uncertain`, `node_gone`, `refused`, `unknown`, `enqueued` or `written`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSession => "no_session",
            Self::Uncertain => "uncertain",
            Self::NodeGone => "node_gone",
            Self::Refused(_) => "refused",
            Self::Unknown => "unknown",
            Self::Enqueued => "enqueued",
            Self::Written => "written",
        }
    }
}

impl From<Unreached> for Outcome {
    fn from(unreached: Unreached) -> Self {
        match unreached {
            Unreached::Uncertain => Self::Uncertain,
            Unreached::NodeGone => Self::NodeGone,
            Unreached::Refused(refused) => Self::Refused(refused),
            Unreached::Unknown => Self::Unknown,
        }
    }
}

impl Refused {
    /// `queue full`, `closing`, `inbox full`, `bus offline` or `unsendable`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue full",
            Self::Closing => "closing",
            Self::InboxFull => "inbox full",
            Self::BusOffline => "bus offline",
            Self::Unsendable => "unsendable",
        }
    }
}

impl Sent {
    pub(crate) fn one(queued: bool) -> Self {
        let mut sent = Self::default();
        sent.count(queued);
        sent
    }

    /// Adds what another node said.
    pub(crate) fn add(&mut self, other: Result<Self, Unreached>) {
        match other {
            Ok(other) => {
                // Others may say any number.
                self.queued = self.queued.saturating_add(other.queued);
                self.refused = self.refused.saturating_add(other.refused);
                self.unreached = self.unreached.saturating_add(other.unreached);
            }
            Err(_) => self.unreached = self.unreached.saturating_add(1),
        }
    }

    pub(crate) fn count(&mut self, queued: bool) {
        let counter = if queued {
            &mut self.queued
        } else {
            &mut self.refused
        };
        *counter = counter.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_numbers_of_others_can_be_added() {
        let most = Sent {
            queued: usize::MAX,
            refused: usize::MAX,
            unreached: usize::MAX,
            passed_on: false,
        };
        let mut sent = most;
        sent.add(Ok(most));
        sent.add(Err(Unreached::Unknown));
        sent.count(true);
        sent.count(false);
        assert_eq!(sent, most);
    }
}
