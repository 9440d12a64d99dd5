use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::value::Lease;
use crate::reach::Reach;

/// So many peers must be known before most of them standing still is taken for Redis' fault.
const CROWD: usize = 4;

/// After so many dead times a node that left no lease is forgotten, and no sooner than its entries
/// have expired.
const MEMORY: u32 = 16;

/// What an observer thinks of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Live {
        epoch: u64,
    },
    /// It has not been heard of for a while, or it is new and has not moved in our sight.
    Suspect,
    Dead {
        epoch: u64,
    },
}

/// The periods of liveness.
#[derive(Clone, Copy, Debug)]
pub(super) struct Periods {
    pub(super) lease: Duration,
    pub(super) suspect: Duration,
    pub(super) dead: Duration,
}

/// A dead node that may have left something.
#[derive(Clone, Debug)]
pub(super) struct Corpse {
    pub(super) node: Arc<str>,
    pub(super) lease: Lease,
    /// Whether its row stands in the table.
    pub(super) listed: bool,
}

impl Corpse {
    /// Its row as it was seen, empty if there was none.
    pub(super) fn row(&self) -> String {
        if self.listed {
            self.lease.encode()
        } else {
            String::new()
        }
    }

    /// The row that says that it is dead.
    pub(super) fn tombstone(&self) -> String {
        let dead = Lease {
            dead: true,
            ..self.lease.clone()
        };
        dead.encode()
    }
}

/// One node's view of who lives.
///
/// Time counts only as far as the observer reached Redis itself: `observed` stands still while it
/// does not.
#[derive(Debug)]
pub(super) struct Liveness {
    periods: Periods,
    peers: HashMap<Arc<str>, Peer>,
    observed: Duration,
    reached: Option<Instant>,
    /// Up to here some peer may not be known yet.
    unsettled_until: Duration,
    /// Nodes whose rows cannot be read.
    strange: HashMap<Arc<str>, Strange>,
    /// How long entries of a dead node may stay.
    expiry: Duration,
}

/// A row that cannot be read, of a later version perhaps.
struct Strange {
    row: String,
    /// When it last changed, in observed time.
    moved: Duration,
}

#[derive(Debug)]
struct Peer {
    lease: Lease,
    /// When it was last known to move, in observed time.
    moved: Duration,
    /// Whether it moved in our sight.
    moves: bool,
    /// Whether the lease table has it.
    listed: bool,
}

/// What stands in the row may be a key.
impl std::fmt::Debug for Strange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Strange").finish_non_exhaustive()
    }
}

impl Liveness {
    pub(super) fn new(periods: Periods) -> Self {
        Self {
            periods,
            peers: HashMap::new(),
            observed: Duration::ZERO,
            reached: None,
            unsettled_until: periods.suspect,
            strange: HashMap::new(),
            expiry: Duration::ZERO,
        }
    }

    pub(super) const fn set_expiry(&mut self, expiry: Duration) {
        self.expiry = expiry;
    }

    /// These rows of the table that was just read make no sense: whose are new. Who moves lives,
    /// whatever it says.
    pub(super) fn handle_strange(&mut self, rows: Vec<(String, String)>) -> Vec<Arc<str>> {
        let mut before = std::mem::take(&mut self.strange);
        let mut news = Vec::new();
        for (node, row) in rows {
            let (node, known) = match before.remove_entry(&*node) {
                Some((node, known)) => (node, Some(known)),
                None => (Arc::from(node), None),
            };
            let strange = match known {
                Some(known) if known.row == row => known,
                known => {
                    if known.is_none() {
                        news.push(Arc::clone(&node));
                    }
                    let moved = self.observed;
                    Strange { row, moved }
                }
            };
            self.strange.insert(node, strange);
        }
        news
    }

    /// The lease table was read at `now`. `known` says whether our own row was still there.
    pub(super) fn handle_table(
        &mut self,
        now: Instant,
        known: bool,
        table: impl IntoIterator<Item = (Arc<str>, Lease)>,
    ) {
        // What moved since may have moved right after the table was read before.
        let moved = self.observed;
        let contiguous = self.pass_time(now);
        if !known || !contiguous {
            self.unsettled_until = self.observed + self.periods.suspect;
        }
        for peer in self.peers.values_mut() {
            peer.listed = false;
            // Whatever happened while nobody looked: who lives moves soon.
            peer.moves &= contiguous;
        }
        for (node, lease) in table {
            match self.peers.get_mut(&node) {
                Some(peer) => peer.update(lease, moved, contiguous),
                None => {
                    let peer = Peer {
                        lease,
                        moved,
                        // It was not there a moment ago: it came just now.
                        moves: contiguous && known,
                        listed: true,
                    };
                    self.peers.insert(node, peer);
                }
            }
        }
        let forget = self.observed;
        let forget = forget.saturating_sub(self.periods.dead * MEMORY + self.expiry);
        self.peers
            .retain(|_, peer| peer.listed || peer.moved >= forget);
    }

    /// An entry names a node that no table had, or had in that epoch.
    pub(super) fn handle_rumour(&mut self, node: &Arc<str>, epoch: u64) {
        let known = self.peers.get(node);
        if known.is_none_or(|peer| !peer.listed && peer.lease.epoch < epoch) {
            let lease = Lease {
                epoch,
                seq: 0,
                dead: false,
                draining: false,
                sessions: 0,
                reach: None,
                rest: None,
            };
            let peer = Peer {
                lease,
                moved: self.observed,
                moves: false,
                listed: false,
            };
            self.peers.insert(Arc::clone(node), peer);
        }
    }

    /// What there is to be thought of a node; nothing if it was never heard of.
    pub(super) fn verdict(&self, node: &str, now: Instant) -> Option<Verdict> {
        let peer = self.peers.get(node)?;
        Some(peer.verdict(self.clock(now), self.dead_after(now), &self.periods))
    }

    /// Whether nobody cares for an entry of this epoch any more: the node is dead and was cleared up
    /// after, or it has gone on to another epoch.
    pub(super) fn has_left(&self, node: &str, epoch: u64) -> bool {
        let peer = self.peers.get(node);
        peer.is_some_and(|peer| match peer.lease.dead {
            true => !peer.listed && peer.lease.epoch >= epoch,
            false => peer.listed && peer.lease.epoch > epoch,
        })
    }

    /// The node that is not dead, can be reached, and whose id begins like this.
    pub(super) fn reachable(&self, tag: &str, now: Instant) -> Option<(&Arc<str>, &Arc<Reach>)> {
        let (node, peer) = self.peers.iter().find(|(node, _)| node.starts_with(tag))?;
        let verdict = self.verdict(node, now)?;
        let dead = matches!(verdict, Verdict::Dead { .. });
        (!dead).then(|| peer.lease.reach.as_ref().map(|reach| (node, reach)))?
    }

    /// The nodes that are not dead, with what there is to be thought of them.
    pub(super) fn present(
        &self,
        now: Instant,
    ) -> impl Iterator<Item = (&Arc<str>, &Lease, Verdict)> {
        let (clock, dead_after) = (self.clock(now), self.dead_after(now));
        self.peers.iter().filter_map(move |(node, peer)| {
            let verdict = peer.verdict(clock, dead_after, &self.periods);
            let dead = matches!(verdict, Verdict::Dead { .. });
            (!dead).then_some((node, &peer.lease, verdict))
        })
    }

    /// Dead nodes that may have left something.
    pub(super) fn corpses(&self, now: Instant) -> impl Iterator<Item = Corpse> {
        let (clock, dead_after) = (self.clock(now), self.dead_after(now));
        self.peers.iter().filter_map(move |(node, peer)| {
            let verdict = peer.verdict(clock, dead_after, &self.periods);
            let dead = matches!(verdict, Verdict::Dead { .. });
            // A row that says so and is gone was taken away by who cleared up.
            let remains = peer.listed || !peer.lease.dead;
            (dead && remains).then(|| Corpse {
                node: Arc::clone(node),
                lease: peer.lease.clone(),
                listed: peer.listed,
            })
        })
    }

    /// Whether Redis was reached lately.
    pub(super) fn is_current(&self, now: Instant) -> bool {
        self.reached
            .is_some_and(|reached| now.saturating_duration_since(reached) <= self.periods.suspect)
    }

    /// Whether every node that lives had the time to show itself.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        self.is_current(now) && self.clock(now) >= self.unsettled_until && !self.strangers_live(now)
    }

    /// Whether some node may live whose row cannot be read.
    fn strangers_live(&self, now: Instant) -> bool {
        let (clock, dead_after) = (self.clock(now), self.dead_after(now));
        let mut strange = self.strange.values();
        strange.any(|strange| clock.saturating_sub(strange.moved) < dead_after)
    }

    /// From now on some node may not be known.
    pub(super) fn unsettle(&mut self) {
        self.unsettled_until = self.observed + self.periods.suspect;
    }

    /// Lets observed time pass; whether Redis was reached all the while.
    fn pass_time(&mut self, now: Instant) -> bool {
        let gap = self
            .reached
            .replace(now)
            .map(|reached| now.saturating_duration_since(reached));
        match gap {
            Some(gap) if gap <= self.longest_gap() => {
                self.observed += gap;
                true
            }
            Some(_) => {
                self.observed += self.periods.lease;
                false
            }
            None => false,
        }
    }

    /// Observed time at `now`: it goes on between two reads of the table.
    fn clock(&self, now: Instant) -> Duration {
        let since = self.reached.map_or(Duration::ZERO, |reached| {
            now.saturating_duration_since(reached)
        });
        self.observed + since.min(self.longest_gap())
    }

    fn longest_gap(&self) -> Duration {
        self.periods.lease * 2
    }

    /// After how long a node that stands still is dead.
    fn dead_after(&self, now: Instant) -> Duration {
        let clock = self.clock(now);
        let suspect = self.periods.suspect;
        let given_up = self.periods.dead * 2;
        let stands = |peer: &&Peer| clock.saturating_sub(peer.moved) >= suspect;
        // Who is long dead says nothing about Redis.
        let counts = |peer: &&Peer| !peer.lease.dead && clock.saturating_sub(peer.moved) < given_up;
        let peers = self.peers.values().filter(counts).count();
        let still = self.peers.values().filter(counts).filter(stands).count();
        if peers >= CROWD && still * 2 > peers {
            self.periods.dead * 2
        } else {
            self.periods.dead
        }
    }
}

impl Peer {
    fn update(&mut self, lease: Lease, moved: Duration, in_sight: bool) {
        let news = (lease.epoch, lease.seq) != (self.lease.epoch, self.lease.seq);
        if news {
            self.moved = moved;
            self.moves = in_sight;
        }
        self.lease = lease;
        self.listed = true;
    }

    fn verdict(&self, clock: Duration, dead_after: Duration, periods: &Periods) -> Verdict {
        let still = clock.saturating_sub(self.moved);
        if self.lease.dead || still >= dead_after {
            Verdict::Dead {
                epoch: self.lease.epoch,
            }
        } else if !self.moves || !self.listed || still >= periods.suspect {
            Verdict::Suspect
        } else {
            Verdict::Live {
                epoch: self.lease.epoch,
            }
        }
    }
}
