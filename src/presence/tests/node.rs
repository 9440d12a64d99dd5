//! A node's core and the store in this process, step by step.

use std::time::{Duration, Instant};

use super::super::{
    core::{Change, Core},
    directory::Event,
    job::eviction,
    liveness::Periods,
    memory::Memory,
    types::Find,
};
use crate::{error::StoreError, message::User};

pub(super) const LEASE: Duration = Duration::from_millis(500);

pub(super) const EXPIRY: Duration = Duration::from_secs(3600);

pub(super) struct Node {
    pub(super) core: Core,
    pub(super) store: Memory,
    pub(super) superseded: Vec<User>,
    pub(super) removed: Vec<u64>,
}

impl Node {
    pub(super) fn new(name: &str, store: &Memory) -> Self {
        let periods = Periods {
            lease: LEASE,
            suspect: LEASE * 5,
            dead: LEASE * 8,
        };
        Self {
            core: Core::new(name, periods, 8, EXPIRY),
            store: store.clone(),
            superseded: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// One heartbeat; what came of it, beside what the node does about it.
    pub(super) fn beat(&mut self, now: Instant) -> Vec<Change> {
        let name = self.core.node().to_string();
        let beat = self.core.beat(now);
        let table = self.store.beat_now(&name, &beat).unwrap();
        let changes = self.core.handle_table(now, table);
        self.handle(now, changes)
    }

    /// Writes all there is; whether it hears what became of it.
    pub(super) fn write(&mut self, now: Instant, heard: bool) {
        let name = self.core.node().to_string();
        loop {
            let (epoch, jobs) = (self.core.epoch(), self.core.take_batch(now, 100));
            if jobs.is_empty() {
                return;
            }
            let written = self.store.write_now(&name, &jobs);
            let results = written.and_then(|written| heard.then_some(written).ok_or_else(away));
            let changes = self.core.settle(now, epoch, jobs, results);
            self.handle(now, changes);
        }
    }

    pub(super) fn find(&mut self, now: Instant, account: &str, session: &str) -> Option<Find> {
        let lookup = self.store.find_now(account, session, true).unwrap();
        self.core.judge(now, account, &lookup, true).0
    }

    fn handle(&mut self, now: Instant, changes: Vec<Change>) -> Vec<Change> {
        let mut others = Vec::new();
        for change in changes {
            match change {
                Change::Of(Event::Superseded(user)) => self.superseded.push(user),
                Change::Of(Event::Removed(_, generation)) => self.removed.push(generation),
                Change::Of(Event::Usurped(user, generation)) => {
                    for peer in self.core.peers(now) {
                        let told = eviction(&user, "", generation);
                        self.store.evict_now(&peer, &told).unwrap();
                    }
                }
                other => others.push(other),
            }
        }
        others
    }
}

pub(super) fn away() -> StoreError {
    StoreError::Unreachable("unheard".into())
}

/// Two nodes that know each other and the whole directory.
pub(super) fn two(store: &Memory) -> (Node, Node, Instant) {
    let (mut one, mut two) = (Node::new("one", store), Node::new("two", store));
    let mut now = super::start();
    for beat in 0..8 {
        now += LEASE;
        store.set_time(1_000_000 + beat * 500_000);
        for node in [&mut one, &mut two] {
            node.beat(now);
            node.write(now, true);
        }
    }
    (one, two, now)
}
