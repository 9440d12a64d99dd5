//! Entries that no index lists: they expire unless their node writes them again.

use std::time::{Duration, Instant};

use super::super::{
    Find, PresenceState,
    core::{Change, Core},
    directory::Event,
    job::{Job, Terms},
    liveness::Periods,
    memory::Memory,
};
use crate::message::User;

const LEASE: Duration = Duration::from_secs(2);
const EXPIRY: Duration = Duration::from_secs(3600);

/// So many heartbeats.
const HOUR: u32 = 1800;

/// So many jobs fit into a batch.
const BATCH: usize = 512;

struct Node {
    core: Core,
    store: Memory,
    /// Whether it writes; it renews its lease all the same.
    writes: bool,
    lives: bool,
    /// The most puts between two heartbeats.
    most: usize,
    epochs: usize,
}

struct World {
    store: Memory,
    start: Instant,
    now: Instant,
    nodes: Vec<Node>,
}

impl World {
    /// Nodes that list their sessions, or do not.
    fn of(listed: &[bool]) -> Self {
        let (store, now) = (Memory::default(), super::start());
        let nodes = listed.iter().enumerate().map(|(number, listed)| {
            let terms = Terms {
                listed: *listed,
                expiry: EXPIRY,
            };
            Node::new(&format!("n{number}"), store.clone().with(LEASE, terms))
        });
        let mut world = Self {
            nodes: nodes.collect(),
            store,
            start: now,
            now,
        };
        world.beats(20);
        world
    }

    fn beats(&mut self, count: u32) {
        for _ in 0..count {
            self.pass(LEASE);
            for node in self.nodes.iter_mut().filter(|node| node.lives) {
                node.beat(self.now);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let micros = self.now.duration_since(self.start).as_micros();
        self.store
            .set_time(1_000_000 + u64::try_from(micros).unwrap());
    }

    fn connect(&mut self, node: usize, account: &str, session: &str) {
        let user = User::new(account, session, &format!("sid-{session}"));
        self.nodes[node]
            .core
            .directory
            .connect(&user, self.now, None);
        self.beats(1);
    }

    fn find(&mut self, node: usize, account: &str, session: &str) -> Find {
        let core = &mut self.nodes[node].core;
        let lookup = self.store.find_now(account, session, true).unwrap();
        let (find, _) = core.judge(self.now, account, &lookup, true);
        find.unwrap()
    }

    fn found(&self, node: usize) -> Find {
        Find::Found((**self.nodes[node].core.node()).into())
    }
}

impl Node {
    fn new(name: &str, store: Memory) -> Self {
        let periods = Periods {
            lease: LEASE,
            suspect: LEASE * 5,
            dead: LEASE * 8,
        };
        Self {
            core: Core::new(name, periods, 8, EXPIRY),
            store,
            writes: true,
            lives: true,
            most: 0,
            epochs: 0,
        }
    }

    fn beat(&mut self, now: Instant) {
        let name = self.core.node().to_string();
        loop {
            let beat = self.core.beat(now);
            let table = self.store.beat_now(&name, &beat).unwrap();
            let changes = self.core.handle_table(now, table);
            self.note(&changes);
            if !self.core.wants_beat() {
                break;
            }
        }
        let mut puts = 0;
        while self.writes {
            let jobs = self.core.take_batch(now, BATCH);
            if jobs.is_empty() {
                break;
            }
            let is_put = |job: &&Job| matches!(job, Job::Put { .. });
            puts += jobs.iter().filter(is_put).count();
            let written = self.store.write_now(&name, &jobs);
            let changes = self.core.settle(now, self.core.epoch(), jobs, written);
            self.note(&changes);
        }
        self.most = self.most.max(puts);
    }

    fn note(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Outlived(_) => self.epochs += 1,
                Change::Of(Event::Superseded(user)) => panic!("{user:?}"),
                _ => {}
            }
        }
    }
}

#[test]
fn what_is_written_again_in_time_lasts_without_a_spike() {
    let mut world = World::of(&[false, false]);
    for number in 0..600 {
        world.connect(0, &format!("a{number}"), "s");
    }
    world.nodes[0].most = 0;
    for _ in 0..3 * 60 {
        world.beats(HOUR / 60);
        for number in [0, 299, 599] {
            let find = world.find(1, &format!("a{number}"), "s");
            assert_eq!(find, world.found(0), "a{number}");
        }
        assert_eq!(world.find(1, "a0", "t"), Find::NotFound);
    }
    let most = world.nodes[0].most;
    assert!((1..=6).contains(&most), "{most} puts in one heartbeat");
    assert_eq!(world.nodes[0].epochs, 0);
    assert_eq!(world.store.dump().len(), 600);
}

#[test]
fn what_nobody_writes_again_expires_and_is_not_there() {
    let mut world = World::of(&[false, false]);
    world.connect(0, "ann", "s");
    world.nodes[0].lives = false;
    world.beats(10);
    assert_eq!(world.find(1, "ann", "s"), Find::NotFound);
    assert_eq!(world.store.dump().len(), 1, "nobody cleared up");
    world.beats(HOUR);
    assert!(world.store.dump().is_empty());
    assert_eq!(world.find(1, "ann", "s"), Find::NotFound);
}

#[test]
fn who_gets_far_behind_does_not_say_that_all_is_written() {
    let mut world = World::of(&[false, false]);
    world.connect(0, "ann", "s");
    world.beats(HOUR / 6);
    world.nodes[0].writes = false;
    for _ in 0..100 {
        world.beats(HOUR / 50);
        let find = world.find(1, "ann", "s");
        assert_ne!(find, Find::NotFound, "{:?}", world.now - world.start);
    }
    assert!(world.store.dump().is_empty(), "it has expired");
    assert_eq!(world.nodes[0].core.state(), PresenceState::Syncing);

    world.nodes[0].writes = true;
    world.beats(20);
    assert_eq!(world.find(1, "ann", "s"), world.found(0));
    assert_eq!(world.find(1, "ann", "t"), Find::NotFound);
}

#[test]
fn who_is_half_behind_takes_back_that_a_bucket_is_written() {
    let mut world = World::of(&[false]);
    world.connect(0, "ann", "s");
    world.nodes[0].writes = false;
    world.beats(HOUR / 2 + 100);
    let node = &mut world.nodes[0];
    let jobs = node.core.take_batch(world.now, BATCH);
    let uncommits = jobs
        .iter()
        .filter(|job| matches!(job, Job::Uncommit { .. }));
    assert_eq!(uncommits.count(), 1, "only the bucket that has something");
    assert_eq!(node.epochs, 0);
}

#[test]
fn who_slept_for_hours_vouches_for_nothing_when_it_wakes() {
    let mut world = World::of(&[false]);
    world.connect(0, "ann", "s");
    world.pass(EXPIRY * 2);
    // Another one came a moment before, and does not take it for dead yet.
    let store = world.store.clone().with(LEASE, Terms::default());
    world.nodes.push(Node::new("late", store));
    world.nodes[0].lives = false;
    world.beats(6);
    world.nodes[0].lives = true;
    world.nodes[0].writes = false;
    world.beats(10);
    assert_eq!(world.find(1, "ann", "s"), Find::Uncertain);
    assert_eq!(world.nodes[0].epochs, 1);
    world.nodes[0].writes = true;
    world.beats(10);
    assert_eq!(world.find(1, "ann", "s"), world.found(0));
}

#[test]
fn an_account_of_both_kinds_of_nodes_loses_nobody() {
    for (first, second) in [(0, 1), (1, 0)] {
        let mut world = World::of(&[true, false, true]);
        world.connect(first, "ann", "s1");
        world.connect(second, "ann", "s2");
        world.beats(2 * HOUR);
        assert_eq!(world.find(2, "ann", "s1"), world.found(first));
        assert_eq!(world.find(2, "ann", "s2"), world.found(second));

        world.nodes[first].lives = false;
        for _ in 0..20 {
            world.beats(HOUR / 10);
            assert_eq!(world.find(2, "ann", "s2"), world.found(second));
        }
        assert_eq!(world.find(2, "ann", "s1"), Find::NotFound);
    }
}

#[test]
fn an_entry_of_a_node_without_an_index_is_listed_where_it_would_stay() {
    let mut world = World::of(&[true, false]);
    world.connect(0, "ann", "s1");
    world.connect(1, "ann", "s2");
    world.connect(1, "bob", "s3");
    let reaped: usize = (0..64)
        .map(|bucket| world.store.reap_now("n1", 1, bucket).unwrap().len())
        .sum();
    assert_eq!(reaped, 1);
    let left = world.store.dump();
    let mut left: Vec<&str> = left.iter().map(|(_, session, _)| &**session).collect();
    left.sort_unstable();
    assert_eq!(left, ["s1", "s3"]);
}

#[test]
fn what_is_left_of_the_dead_goes_when_it_is_read() {
    let mut world = World::of(&[false, false]);
    world.connect(0, "ann", "s1");
    world.connect(1, "ann", "s2");
    world.nodes[0].lives = false;
    world.beats(20);
    let corpse = world.nodes[1].core.liveness.corpses(world.now).next();
    let corpse = corpse.expect("a dead node");
    assert_eq!(world.find(1, "ann", "s1"), Find::NotFound);
    world.beats(2);
    assert_eq!(world.store.dump().len(), 2, "somebody may clear up yet");

    world.store.clear_up(&corpse).unwrap();
    world.beats(2);
    world.store.forget_now(&corpse).unwrap();
    world.beats(2);
    assert_eq!(world.find(1, "ann", "s1"), Find::NotFound);
    world.beats(2);

    let left = world.store.dump();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].1, "s2");
}
