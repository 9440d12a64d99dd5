//! What came and went on this node, for those who watch all nodes.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::{handle::Presence, keys::BUCKETS, types::PresenceState};
use crate::message::User;

/// So many moves wait to be taken at most. Beyond that only what is there now tells what happened.
const MOST: usize = 65_536;

/// A session of one node came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    /// Whose it is; other nodes do not hear its socket id.
    pub(crate) user: User,
    pub(crate) generation: u64,
    pub(crate) joined: bool,
}

/// What came and went, in order.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    pub(crate) moves: Vec<Move>,
    /// There were more than are kept: these are nothing.
    pub(crate) overflowed: bool,
}

/// Where moves wait while somebody wants them.
#[derive(Debug, Default)]
pub(super) struct Log {
    wanted: bool,
    waiting: Moves,
    news: Arc<Notify>,
}

impl Log {
    pub(super) fn push(&mut self, user: &User, generation: u64, joined: bool) {
        if !self.wanted {
            return;
        }
        if self.waiting.moves.len() >= MOST {
            self.waiting = Moves {
                overflowed: true,
                ..Moves::default()
            };
        }
        self.waiting.moves.push(Move {
            user: user.clone(),
            generation,
            joined,
        });
        self.news.notify_one();
    }

    /// Whether moves are wanted from now on.
    pub(super) fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
        if !wanted {
            self.waiting = Moves::default();
        }
    }

    pub(super) fn take(&mut self) -> Moves {
        std::mem::take(&mut self.waiting)
    }
}

/// What came and went here.
impl Presence {
    /// Into how many parts the sessions of this node are divided.
    pub(crate) const PARTS: u8 = BUCKETS;

    /// Whether moves are kept from now on until they are taken.
    pub(crate) fn want_moves(&self, wanted: bool) {
        self.shared.core.lock().directory.log.want(wanted);
    }

    /// What came and went since the last time.
    pub(crate) fn take_moves(&self) -> Moves {
        self.shared.core.lock().directory.log.take()
    }

    /// The sessions of one part of this node whose joins were told, as joins.
    pub(crate) fn told_in(&self, part: u8) -> Vec<Move> {
        self.shared.core.lock().directory.told_in(part)
    }

    /// Knows when there is something to take.
    pub(crate) fn moved(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.core.lock().directory.log.news)
    }

    /// Counts the heartbeats that were answered, or not.
    pub(crate) fn beats(&self) -> watch::Receiver<u64> {
        self.shared.beats.subscribe()
    }

    /// Whether the last attempt to reach the store failed.
    pub(crate) fn is_offline(&self) -> bool {
        self.state() == PresenceState::Offline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_nobody_reads_is_bounded() {
        let (mut log, ann) = (Log::default(), User::new("ann", "s", "sid"));
        log.push(&ann, 1, true);
        assert!(log.take().moves.is_empty(), "nobody wants them");

        log.want(true);
        for generation in 0..MOST as u64 {
            log.push(&ann, generation, true);
        }
        assert!(!log.waiting.overflowed);
        log.push(&ann, 0, false);
        assert!(log.waiting.overflowed);
        assert_eq!(log.waiting.moves.len(), 1);

        assert!(log.take().overflowed);
        assert!(!log.take().overflowed, "said once");
    }
}
