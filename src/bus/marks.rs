use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use super::{core::Lives, entry::Head};
use crate::presence::Life;

/// A sender is forgotten when it is gone and was silent for that time: a node that had stood still
/// repeats what it was about to repeat.
const FORGET: Duration = Duration::from_secs(24 * 3600);

/// So many senders are remembered at most.
const MOST: usize = 10_000;

/// How far each sender's entries were received.
#[derive(Debug, Default)]
pub(super) struct Marks {
    marks: HashMap<Arc<str>, Mark, RandomState>,
}

#[derive(Debug)]
struct Mark {
    seq: u64,
    heard: Instant,
}

/// What there is to be done with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It comes next; so many before it were lost.
    New { from: Arc<str>, missed: u64 },
    /// It, or a later one, was there before.
    Repeat,
}

impl Marks {
    pub(super) fn handle(&mut self, now: Instant, head: &Head<'_>) -> Verdict {
        let Some((from, _)) = self.marks.get_key_value(head.sender) else {
            return self.meet(now, head);
        };
        let from = Arc::clone(from);
        let Some(mark) = self.marks.get_mut(head.sender) else {
            return Verdict::Repeat;
        };
        mark.heard = now;
        if head.seq <= mark.seq {
            return Verdict::Repeat;
        }
        let expected = head.since.max(mark.seq + 1);
        mark.seq = head.seq;
        let missed = head.seq - expected;
        Verdict::New { from, missed }
    }

    fn meet(&mut self, now: Instant, head: &Head<'_>) -> Verdict {
        if self.marks.len() >= MOST {
            let silent = self.marks.iter().min_by_key(|(_, mark)| mark.heard);
            if let Some(silent) = silent.map(|(name, _)| Arc::clone(name)) {
                self.marks.remove(&silent);
            }
        }
        let from: Arc<str> = head.sender.into();
        let seq = head.seq;
        self.marks
            .insert(Arc::clone(&from), Mark { seq, heard: now });
        let missed = head.seq - head.since;
        Verdict::New { from, missed }
    }

    /// Forgets senders that are long gone.
    pub(super) fn look_around(&mut self, now: Instant, lives: Lives<'_>) {
        let long_ago = |heard: Instant| now.saturating_duration_since(heard) > FORGET;
        let gone = |name: &str| matches!(lives(name), Life::Dead | Life::Unknown);
        self.marks
            .retain(|name, mark| !(long_ago(mark.heard) && gone(name)));
    }
}
