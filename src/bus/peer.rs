use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use foldhash::fast::RandomState;
use tokio::sync::oneshot;

use super::{
    Answer, Refused, Unreached,
    batch::{Batch, Kind, Sealed},
    entry::Answered,
};

/// Who waits for the answer of a call.
pub(super) type Waiter = oneshot::Sender<Result<Answer, Unreached>>;

/// An entry that may have been appended is repeated no longer than that.
const REPEATS: Duration = Duration::from_secs(60);

/// What is on its way to one other node, and what is awaited from it.
#[derive(Debug)]
pub(super) struct Peer {
    /// The number of the entry that is under way, or of the next one.
    pub(super) seq: u64,
    /// The first number.
    since: u64,
    waiting: Batch,
    under_way: Option<Sealed>,
    /// Whether the entry under way may have been appended by an attempt before this one.
    ambiguous: bool,
    /// When the entry under way was made.
    began: Instant,
    calls: HashMap<u64, Waiter, RandomState>,
    /// Somebody looks after it.
    pub(super) tended: bool,
    /// The last attempt came to nothing.
    pub(super) failing: bool,
    /// Its inbox was full the last time.
    pub(super) full: bool,
    /// When it was last asked whether it lives.
    pub(super) looked: Option<Instant>,
    pub(super) used: Instant,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It surely did not leave.
    Waiting,
    UnderWay,
    /// It is in the other node's inbox, or was.
    Appended,
}

impl Peer {
    pub(super) fn new(node: &str, since: u64, now: Instant) -> Self {
        Self {
            seq: since,
            since,
            waiting: Batch::new(node, 0),
            under_way: None,
            ambiguous: false,
            began: now,
            calls: HashMap::default(),
            tended: false,
            failing: false,
            full: false,
            looked: None,
            used: now,
        }
    }

    /// Whether nothing is on its way, and nothing is awaited.
    pub(super) fn is_idle(&self) -> bool {
        self.is_sent() && self.calls.is_empty()
    }

    /// Whether nothing is on its way.
    pub(super) const fn is_sent(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_none()
    }

    /// Whether so many bytes more may wait. What is under way may have to wait again.
    pub(super) fn has_room(&mut self, now: Instant, bytes: usize, backlog: usize) -> bool {
        let under_way = self
            .under_way
            .as_ref()
            .map_or(0, |sealed| sealed.bytes.len());
        let others = under_way.saturating_add(bytes);
        let fits = |waiting: &Batch| waiting.len().saturating_add(others) <= backlog;
        if !fits(&self.waiting) {
            self.waiting.compact(now);
        }
        fits(&self.waiting)
    }

    pub(super) fn add(&mut self, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) {
        self.waiting.add(kind, write);
    }

    /// The number of a call is above those of all before it.
    pub(super) fn ask(&mut self, id: u64, waiter: Waiter, write: impl FnOnce(&mut Vec<u8>)) {
        self.waiting.add(Kind::Asked(id), write);
        self.calls.insert(id, waiter);
    }

    /// Nobody waits for that call any longer: what there is to be said of it.
    pub(super) fn give_up(&mut self, id: u64) -> Unreached {
        let asked = self.calls.remove(&id);
        match asked.map(|_| self.stage(id)) {
            Some(Stage::Waiting) => {
                self.waiting.withdraw(id);
                Unreached::Refused(Refused::BusOffline)
            }
            Some(Stage::UnderWay | Stage::Appended) | None => Unreached::Unknown,
        }
    }

    pub(super) fn answered(&mut self, id: u64, answered: Answered) {
        self.end(id, answered.map_err(Unreached::Refused));
    }

    /// The entry that is to be appended now, of so many bytes at most.
    pub(super) fn next(&mut self, now: Instant, node: &str, most: usize) -> Option<Bytes> {
        if now.saturating_duration_since(self.began) > REPEATS {
            // Who waits for it has given up, and the other node may not know it any more.
            self.refused(Unreached::Unknown);
        }
        if self.under_way.is_none() {
            self.waiting.compact(now);
            if self.waiting.is_empty() {
                // Without anything for it, nobody finds out whether it is reached again.
                self.failing = false;
                return None;
            }
            self.began = now;
            let mut batch = self.waiting.take(node, most);
            self.under_way = Some(batch.seal(self.seq, self.since));
        }
        self.under_way.as_ref().map(|sealed| sealed.bytes.clone())
    }

    /// It is in the inbox.
    pub(super) fn appended(&mut self) {
        if self.under_way.take().is_some() {
            self.pass();
        }
        (self.failing, self.full) = (false, false);
    }

    /// The inbox does not take it; why.
    pub(super) fn refused(&mut self, why: Unreached) {
        self.failing = false;
        let Some(sealed) = self.under_way.take() else {
            return;
        };
        let result = if self.ambiguous {
            self.pass();
            Unreached::Unknown
        } else {
            why
        };
        for id in sealed.asked() {
            self.end(id, Err(result));
        }
    }

    /// An attempt failed; perhaps it was appended all the same.
    pub(super) fn failed(&mut self, perhaps: bool) {
        self.failing = true;
        // It may be gone: the node was taken for dead meanwhile.
        let Some(sealed) = self.under_way.take() else {
            return;
        };
        self.ambiguous |= perhaps;
        if self.ambiguous {
            self.under_way = Some(sealed);
            return;
        }
        // It can still change, and its calls can be taken back.
        let mut batch = sealed.open();
        // Who gave up meanwhile was told that it is not known.
        batch.retain_asked(|id| self.calls.contains_key(&id));
        batch.extend(&self.waiting);
        self.waiting = batch;
    }

    /// The node is dead: nothing more leaves for it, and no answer comes.
    pub(super) fn bury(&mut self, node: &str) {
        for (id, waiter) in std::mem::take(&mut self.calls) {
            let result = match self.stage(id) {
                Stage::Waiting => Unreached::NodeGone,
                Stage::UnderWay | Stage::Appended => Unreached::Unknown,
            };
            let _ = waiter.send(Err(result));
        }
        self.drop_all(node);
    }

    /// This node ends.
    pub(super) fn end_all(&mut self, node: &str) {
        for (id, waiter) in std::mem::take(&mut self.calls) {
            let result = match self.stage(id) {
                Stage::Waiting => Unreached::Refused(Refused::Closing),
                Stage::UnderWay | Stage::Appended => Unreached::Unknown,
            };
            let _ = waiter.send(Err(result));
        }
        self.drop_all(node);
    }

    fn drop_all(&mut self, node: &str) {
        if self.under_way.take().is_some() {
            // Its number may be taken.
            self.pass();
        }
        self.waiting = Batch::new(node, self.waiting.first);
        self.failing = false;
    }

    /// That number is used.
    const fn pass(&mut self) {
        self.seq += 1;
        self.ambiguous = false;
    }

    fn stage(&self, id: u64) -> Stage {
        if id >= self.waiting.first {
            return Stage::Waiting;
        }
        match &self.under_way {
            Some(sealed) if id >= sealed.first => Stage::UnderWay,
            _ => Stage::Appended,
        }
    }

    fn end(&mut self, id: u64, result: Result<Answer, Unreached>) {
        if let Some(waiter) = self.calls.remove(&id) {
            // Whoever waited may have gone away just now.
            let _ = waiter.send(result);
        }
    }
}
