//! What nobody heard of, and what becomes of it.

use std::time::{Duration, Instant};

use super::super::{
    core::{Change, Core},
    directory::{Directory, Event},
    job::{Job, eviction},
    keys::bucket,
    liveness::Periods,
    memory::Memory,
};
use crate::{error::StoreError, message::User};

const LEASE: Duration = Duration::from_millis(500);

const EXPIRY: Duration = Duration::from_secs(3600);

struct Node {
    core: Core,
    store: Memory,
    superseded: Vec<User>,
    removed: Vec<u64>,
}

impl Node {
    fn new(name: &str, store: &Memory) -> Self {
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

    fn beat(&mut self, now: Instant) {
        let name = self.core.node().to_string();
        let beat = self.core.beat(now);
        let table = self.store.beat_now(&name, &beat).unwrap();
        let changes = self.core.handle_table(now, table);
        self.handle(now, changes);
    }

    /// Writes all there is; whether it hears what became of it.
    fn write(&mut self, now: Instant, heard: bool) {
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

    fn handle(&mut self, now: Instant, changes: Vec<Change>) {
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
                _ => {}
            }
        }
    }
}

fn away() -> StoreError {
    StoreError::Unreachable("unheard".into())
}

fn two(store: &Memory) -> (Node, Node, Instant) {
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

#[test]
fn who_was_displaced_without_a_word_is_told_later() {
    for leaves in [false, true] {
        let store = Memory::default();
        let (mut one, mut two, now) = two(&store);
        let (old, new) = (User::new("ann", "s", "old"), User::new("ann", "s", "new"));
        one.core.directory.connect(&old, now, None);
        one.write(now, true);

        store.set_time(5_000_000);
        two.core.directory.connect(&new, now, None);
        two.write(now, false);
        if leaves {
            two.core.directory.disconnect(&new);
        }
        two.beat(now);
        two.write(now, true);
        one.beat(now);

        assert_eq!(one.superseded, [old], "leaves: {leaves}");
        assert!(two.superseded.is_empty());
        two.beat(now);
        assert_eq!(two.core.directory.len(), usize::from(!leaves));
    }
}

#[test]
fn who_is_newer_does_not_mind_what_an_older_one_tells_late() {
    let store = Memory::default();
    let (mut one, _, now) = two(&store);
    let user = User::new("ann", "s", "new");
    one.core.directory.connect(&user, now, None);
    one.write(now, true);
    let nobody = User::new("ann", "s", "");
    assert_eq!(one.core.directory.evict(&nobody, 5), None);
    assert_eq!(one.core.directory.len(), 1);
}

#[test]
fn a_removal_that_nobody_heard_of_is_told_once_it_is_sure() {
    let store = Memory::default();
    let (mut one, _, now) = two(&store);
    let user = User::new("ann", "s", "sid");
    one.core.directory.connect(&user, now, None);
    one.write(now, true);
    one.core.directory.disconnect(&user);
    one.write(now, false);
    assert!(one.removed.is_empty() && store.dump().is_empty());

    one.beat(now);
    one.write(now, true);

    assert_eq!(one.removed.len(), 1);
}

#[test]
fn what_is_lost_stays_lost_where_something_was_refused() {
    let (now, user) = (super::start(), User::new("ann", "s", "sid"));
    let mut directory = Directory::new(8, EXPIRY);
    directory.set_clock(now, 1_000_000);
    directory.connect(&user, now, None);
    let jobs = directory.take_batch(now, 1, 1);
    let mut events = Vec::new();
    let lost = Job::Commit {
        bucket: bucket("ann"),
        expected: None,
        epoch: 1,
        sent: 1,
    };
    directory.settle(lost, Err(away()), now, &mut events);
    for job in jobs {
        let refused = StoreError::Refused("full".into());
        directory.settle(job, Err(refused), now, &mut events);
    }
    assert!(directory.has_lost("ann"));
}
