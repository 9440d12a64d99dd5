use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::roster::Roster;
use crate::bus::{Fed, Held, Piece};

/// How often a node is asked that has not told everything yet.
const ASK: Duration = Duration::from_secs(1);

/// How often a silent node is asked whether something was lost.
const CHECK: Duration = Duration::from_secs(10);

/// So often a node is asked where something may have been lost: it may not know yet that this one is
/// there again.
const DOUBTS: u8 = 5;

/// How far this node was told by the others.
#[derive(Debug, Default)]
pub(super) struct Inflows(HashMap<Arc<str>, Inflow>);

#[derive(Debug, Default)]
struct Inflow {
    held: Held,
    /// Whether everything has come that was there.
    complete: bool,
    /// When it was last heard, or asked.
    dealt_with: Option<Instant>,
    /// So often it is asked soon.
    doubts: u8,
    /// It was said that it has more sessions than are taken.
    excess_told: bool,
}

/// What came of a piece.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) fed: Fed,
    /// There are more sessions than are taken, which was not so before.
    pub(super) excess: bool,
}

impl Inflows {
    /// A node tells something.
    pub(super) fn handle(
        &mut self,
        roster: &mut Roster,
        now: Instant,
        from: &Arc<str>,
        piece: &Piece,
    ) -> Taking {
        let flow = self.0.entry(Arc::clone(from)).or_default();
        flow.dealt_with = Some(now);
        let fed = flow.follow(piece);
        let mut excess = false;
        if let Next::Take = fed {
            flow.held = piece.at;
            if piece.begins {
                flow.complete = false;
                roster.begin(from);
            }
            excess = !roster.handle(now, from, &piece.moves);
            if piece.ends {
                flow.complete = true;
                roster.end(now, from);
            }
        }
        excess = excess && !std::mem::replace(&mut flow.excess_told, true);
        let fed = match fed {
            Next::Take | Next::Repeat => Fed::Taken,
            Next::Stray => Fed::Again,
        };
        Taking { fed, excess }
    }

    /// These nodes are gone.
    pub(super) fn forget(&mut self, gone: impl Fn(&str) -> bool) {
        self.0.retain(|node, _| !gone(node));
    }

    /// Nobody watches any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// These nodes are there: who of them is to be asked now, and how far it has told. After a
    /// time in which things may have been lost everybody is, and a few times more.
    pub(super) fn due(
        &mut self,
        now: Instant,
        nodes: &[Box<str>],
        lost: bool,
    ) -> Vec<(Arc<str>, Held)> {
        let mut due = Vec::new();
        for node in nodes {
            let (name, flow) = match self.0.get_key_value(&**node) {
                Some((name, _)) => (Arc::clone(name), self.0.get_mut(&**node)),
                None => {
                    let name: Arc<str> = (**node).into();
                    let flow = self.0.entry(Arc::clone(&name)).or_default();
                    (name, Some(flow))
                }
            };
            if let Some(flow) = flow
                && (lost || flow.is_due(now))
            {
                flow.doubts = if lost { DOUBTS } else { flow.doubts }.saturating_sub(1);
                flow.dealt_with = Some(now);
                due.push((name, flow.held));
            }
        }
        due
    }
}

/// What becomes of a piece.
enum Next {
    Take,
    /// It was taken before.
    Repeat,
    /// It does not follow what was taken.
    Stray,
}

impl Inflow {
    fn follow(&self, piece: &Piece) -> Next {
        let (held, at) = (self.held, piece.at);
        let same = held.piece > 0 && at.stream == held.stream;
        let follows = same && at.piece.checked_sub(1) == Some(held.piece);
        if same && at.piece == held.piece {
            Next::Repeat
        } else if follows || (at.stream > held.stream && at.piece == 1 && piece.begins) {
            Next::Take
        } else {
            Next::Stray
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let calm = self.complete && self.doubts == 0;
        let period = if calm { CHECK } else { ASK };
        let long_ago = |then| now.saturating_duration_since(then) >= period;
        self.dealt_with.is_none_or(long_ago)
    }
}
