//! Many nodes, one store, random misfortune, against a plain map of what is true.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::super::{
    Find, PresenceState,
    core::{Change, Core},
    directory::Event,
    job::{Terms, eviction},
    liveness::{Corpse, Periods},
    memory::Memory,
    value::Entry,
};
use crate::{error::StoreError, message::User};

const PERIODS: Periods = Periods {
    lease: Duration::from_millis(500),
    suspect: Duration::from_millis(2500),
    dead: Duration::from_secs(4),
};

/// One step of time.
const STEP: Duration = Duration::from_millis(100);

/// By then everything is known again, whatever happened before.
const CATCH_UP: Duration = Duration::from_secs(12);

/// How long entries stay that nobody writes again and no index lists.
const EXPIRY: Duration = Duration::from_secs(16);

const ACCOUNTS: u64 = 40;
const SESSIONS: u64 = 3;

fn unheard<T>() -> Result<T, StoreError> {
    Err(StoreError::Unreachable("unheard".into()))
}

/// A small generator: the same numbers for the same seed. (xorshift64*)
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

/// Which nodes list their sessions in an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feed {
    All,
    None,
    /// Every other one.
    Half,
}

struct Node {
    core: Core,
    /// The store as it writes there.
    store: Memory,
    /// Who is connected, as the node itself knows.
    open: BTreeMap<(String, String), Open>,
    next_beat: Instant,
    /// It does nothing until then, and wakes without knowing.
    frozen_until: Instant,
    /// When sessions ended here.
    closed: BTreeMap<(String, String), Instant>,
    outlived: u64,
    cleared: HashSet<Arc<str>>,
}

struct Open {
    user: User,
    since: Instant,
    /// Whether its client has seen the open packet.
    seen: bool,
}

struct World {
    seed: u64,
    feed: Feed,
    dice: Dice,
    store: Memory,
    start: Instant,
    now: Instant,
    nodes: Vec<Node>,
    /// When sessions ended last, wherever that was.
    ended: BTreeMap<(String, String), Instant>,
    /// When the last node of this name was killed.
    killed: BTreeMap<String, Instant>,
    /// When something last went wrong.
    trouble: Instant,
    stalled: bool,
    /// Nothing goes wrong now.
    calm: bool,
    names: u64,
}

#[test]
fn no_ghost_no_loss_no_false_answer() {
    no_trouble(Feed::All);
}

#[test]
fn nor_where_nothing_is_listed_and_all_expires() {
    no_trouble(Feed::None);
}

#[test]
fn nor_where_some_expires() {
    no_trouble(Feed::Half);
}

fn no_trouble(feed: Feed) {
    for seed in 1..=12 {
        let mut world = World::new(seed, feed);
        for _ in 0..4 {
            for _ in 0..300 {
                world.misfortune();
                world.step();
                world.check_always();
            }
            world.recover();
            if feed != Feed::All {
                // Nobody clears up what is not listed: who meets it first has to learn of whom it is.
                world.ask_all();
                world.recover();
            }
            world.check_settled();
            // Asking made known who died before anybody had seen it.
            world.recover();
            world.check_nothing_left();
        }
    }
}

impl World {
    fn new(seed: u64, feed: Feed) -> Self {
        let now = super::start();
        let mut world = Self {
            seed,
            feed,
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            store: Memory::default(),
            start: now,
            now,
            nodes: Vec::new(),
            ended: BTreeMap::new(),
            killed: BTreeMap::new(),
            trouble: now,
            stalled: false,
            calm: false,
            names: 0,
        };
        for _ in 0..3 {
            world.boot();
        }
        world
    }

    fn boot(&mut self) {
        self.names += 1;
        let core = Core::new(&format!("n{}", self.names), PERIODS, 8, EXPIRY);
        let terms = Terms {
            listed: match self.feed {
                Feed::All => true,
                Feed::None => false,
                Feed::Half => self.names.is_multiple_of(2),
            },
            expiry: EXPIRY,
        };
        self.nodes.push(Node {
            core,
            store: self.store.clone().with(Duration::ZERO, terms),
            open: BTreeMap::new(),
            next_beat: self.now,
            frozen_until: self.now,
            closed: BTreeMap::new(),
            outlived: 0,
            cleared: HashSet::new(),
        });
    }

    fn misfortune(&mut self) {
        let node = usize::try_from(self.dice.below(self.nodes.len() as u64)).unwrap();
        match self.dice.below(100) {
            0..=39 => self.connect(node),
            40..=59 => self.disconnect(node),
            60 if self.nodes.len() > 1 => {
                let dead = self.nodes.swap_remove(node);
                self.killed.insert(dead.core.node().to_string(), self.now);
                self.trouble = self.now;
            }
            61 if self.nodes.len() < 7 => {
                self.boot();
                self.trouble = self.now;
            }
            62 => {
                self.store.flush();
                self.trouble = self.now;
            }
            63 => {
                let from = u8::try_from(self.dice.below(64)).unwrap();
                self.store.flush_buckets(from..64);
                self.trouble = self.now;
            }
            64 | 65 => {
                self.stalled = !self.stalled;
                self.store.stall(self.stalled);
                self.trouble = self.now;
            }
            66 => {
                let frozen = STEP * u32::try_from(self.dice.below(90)).unwrap();
                self.nodes[node].frozen_until = self.now + frozen;
                self.trouble = self.now + frozen;
            }
            _ => {}
        }
    }

    fn connect(&mut self, node: usize) {
        let now = self.now;
        if self.nodes[node].frozen_until > now {
            return;
        }
        let account = format!("a{}", self.dice.below(ACCOUNTS));
        let session = format!("s{}", self.dice.below(SESSIONS));
        self.names += 1;
        let user = User::new(&account, &session, &format!("sid{}", self.names));
        let node = &mut self.nodes[node];
        node.core.directory.connect(&user, now, None);
        let open = Open {
            user,
            since: now,
            seen: false,
        };
        node.open.insert((account, session), open);
    }

    fn disconnect(&mut self, node: usize) {
        let count = self.nodes[node].open.len() as u64;
        if count == 0 || self.nodes[node].frozen_until > self.now {
            return;
        }
        let which = usize::try_from(self.dice.below(count)).unwrap();
        let node = &mut self.nodes[node];
        let key = node.open.keys().nth(which).unwrap().clone();
        let open = node.open.remove(&key).unwrap();
        node.core.directory.disconnect(&open.user);
        node.closed.insert(key.clone(), self.now);
        self.ended.insert(key, self.now);
    }

    fn step(&mut self) {
        self.now += STEP;
        let micros = self.now.duration_since(self.start).as_micros();
        self.store
            .set_time(1_000_000 + u64::try_from(micros).unwrap());
        for index in 0..self.nodes.len() {
            if self.nodes[index].frozen_until <= self.now {
                self.run(index);
            }
        }
    }

    fn run(&mut self, index: usize) {
        let now = self.now;
        let node = &mut self.nodes[index];
        let store = node.store.clone();
        let name = node.core.node().to_string();
        while node.next_beat <= now {
            let beat = node.core.beat(now);
            let changes = match store.beat_now(&name, &beat) {
                Ok(table) => node.core.handle_table(now, table),
                Err(error) => node.core.handle_loss(error),
            };
            node.handle(&store, now, changes);
            if !node.core.wants_beat() {
                node.next_beat = now + PERIODS.lease;
            }
        }
        for _ in 0..20 {
            let epoch = node.core.epoch();
            let jobs = node.core.take_batch(now, 16);
            if jobs.is_empty() {
                break;
            }
            let luck = if self.calm { 9 } else { self.dice.below(150) };
            let results = match luck {
                // Nobody hears what became of it.
                0 => store.write_now(&name, &jobs).and_then(|_| unheard()),
                // It is given up, and arrives all the same.
                1 => {
                    store.strand(&name, &jobs, self.dice.below(5_000_000));
                    unheard()
                }
                _ => store.write_now(&name, &jobs),
            };
            if results.is_err() {
                self.trouble = now;
            }
            let changes = node.core.settle(now, epoch, jobs, results);
            node.handle(&store, now, changes);
        }
        if node.core.is_settled(now) {
            let corpses = node.core.liveness.corpses(now);
            let corpses: Vec<Corpse> = corpses.collect();
            for corpse in corpses {
                if node.cleared.remove(&corpse.node) {
                    let _ = store.forget_now(&corpse);
                } else if store.clear_up(&corpse).is_ok() {
                    node.cleared.insert(corpse.node);
                }
            }
            for bucket in 0..64 {
                let _ = store.reap_now(&name, node.outlived, bucket);
            }
        }
        for open in node.open.values_mut() {
            open.seen |= node.core.state() == PresenceState::Offline
                || now.duration_since(open.since) >= STEP;
        }
    }

    /// Asks every node for a few sessions.
    fn check_always(&mut self) {
        let account = format!("a{}", self.dice.below(ACCOUNTS));
        let session = format!("s{}", self.dice.below(SESSIONS));
        for index in 0..self.nodes.len() {
            if self.nodes[index].frozen_until > self.now {
                continue;
            }
            let find = self.find(index, &account, &session);
            let context = format!("seed {} at {:?}", self.seed, self.now - self.start);
            match &find {
                Find::Found(node) => {
                    let owner = self.nodes.iter().find(|one| **one.core.node() == **node);
                    let key = (account.clone(), session.clone());
                    let closed = owner.filter(|owner| !owner.open.contains_key(&key));
                    let closed = closed.filter(|owner| owner.frozen_until < self.now);
                    let closed = closed.filter(|owner| owner.core.state() == PresenceState::Synced);
                    let closed = closed.and_then(|owner| owner.closed.get(&key));
                    if let Some(closed) = closed {
                        let since = self.now - *closed;
                        assert!(
                            since <= Duration::from_secs(1),
                            "{context}: left for {since:?}"
                        );
                    }
                    if let Some(killed) = self.killed.get(&**node) {
                        let since = self.now - *killed;
                        assert!(
                            since <= Duration::from_secs(3),
                            "{context}: ghost for {since:?}"
                        );
                    }
                }
                Find::NotFound => {
                    for owner in &self.nodes {
                        let key = (account.clone(), session.clone());
                        let synced = owner.core.state() == PresenceState::Synced;
                        // Who has slept or was cut off for long is dead to others.
                        let awake = owner.frozen_until + PERIODS.dead <= self.now;
                        let stored = owner.open.get(&key).filter(|open| open.seen);
                        let stored = stored.is_some_and(|open| !self.was_outlived(&key, open));
                        assert!(
                            !(stored && awake && synced),
                            "{context}: {} does not find {account} {session} of {}",
                            self.nodes[index].core.node(),
                            owner.core.node(),
                        );
                    }
                }
                Find::Uncertain => {}
            }
        }
    }

    /// Whether another node took the session over and has seen it end, so lately that who had it
    /// before need not know.
    fn was_outlived(&self, key: &(String, String), open: &Open) -> bool {
        let ended = self.ended.get(key).filter(|ended| **ended > open.since);
        ended.is_some_and(|ended| self.now - *ended <= PERIODS.lease + STEP)
    }

    fn find(&mut self, index: usize, account: &str, session: &str) -> Find {
        let now = self.now;
        let core = &mut self.nodes[index].core;
        if core.directory.has(account, session) {
            return Find::Found((**core.node()).into());
        }
        for full in [false, true] {
            let Ok(lookup) = self.store.find_now(account, session, full) else {
                return Find::Uncertain;
            };
            let full = full || lookup.entries.is_empty();
            if let (Some(find), _) = core.judge(now, account, &lookup, full) {
                return find;
            }
        }
        Find::Uncertain
    }

    /// Nothing goes wrong for a while.
    fn recover(&mut self) {
        self.stalled = false;
        self.store.stall(false);
        for node in &mut self.nodes {
            node.frozen_until = node.frozen_until.min(self.now);
        }
        let until = self.now + CATCH_UP;
        self.calm = true;
        while self.now < until {
            self.step();
        }
        self.calm = false;
    }

    /// Everybody is asked for everything.
    fn ask_all(&mut self) {
        for account in 0..ACCOUNTS {
            for session in 0..SESSIONS {
                for index in 0..self.nodes.len() {
                    self.find(index, &format!("a{account}"), &format!("s{session}"));
                }
            }
        }
    }

    /// Everybody knows everything, and there is nothing else.
    fn check_settled(&mut self) {
        let seed = self.seed;
        let truth = self.truth();
        for node in &self.nodes {
            assert_eq!(node.core.state(), PresenceState::Synced, "seed {seed}");
        }
        for account in 0..ACCOUNTS {
            for session in 0..SESSIONS {
                let key = (format!("a{account}"), format!("s{session}"));
                let owners = truth.get(&key);
                assert!(
                    owners.is_none_or(|owners| owners.len() == 1),
                    "seed {seed}: {key:?} twice"
                );
                for index in 0..self.nodes.len() {
                    let find = self.find(index, &key.0, &key.1);
                    let expected = match owners.and_then(|owners| owners.iter().next()) {
                        Some(owner) => Find::Found(owner.as_str().into()),
                        None => Find::NotFound,
                    };
                    assert_eq!(
                        find,
                        expected,
                        "seed {seed}: {key:?} by {}",
                        self.nodes[index].core.node()
                    );
                }
            }
        }
    }

    fn truth(&self) -> BTreeMap<(String, String), HashSet<String>> {
        let mut truth: BTreeMap<_, HashSet<String>> = BTreeMap::new();
        for node in &self.nodes {
            for key in node.open.keys() {
                let owners = truth.entry(key.clone()).or_default();
                owners.insert(node.core.node().to_string());
            }
        }
        truth
    }

    fn check_nothing_left(&mut self) {
        let seed = self.seed;
        let truth = self.truth();
        for (account, session, value) in self.store.dump() {
            let entry = Entry::parse(&value).unwrap();
            let owners = truth.get(&(account.clone(), session.clone()));
            assert!(
                owners.is_some_and(|owners| owners.contains(&*entry.node)),
                "seed {seed}: {account} {session} is left of {}",
                entry.node
            );
        }
    }
}

impl Node {
    fn handle(&mut self, store: &Memory, now: Instant, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Of(Event::Superseded(user)) => {
                    let key = (user.account().to_owned(), user.session().to_owned());
                    if self.open.get(&key).is_some_and(|open| open.user == user) {
                        self.open.remove(&key);
                    }
                }
                Change::Of(Event::Displaced(user, other, generation)) => {
                    let entry = Entry::parse(&other).unwrap();
                    if entry.node != *self.core.node() {
                        let eviction = eviction(&user, &entry.sid, generation);
                        let _ = store.evict_now(&entry.node, &eviction);
                    }
                }
                Change::Of(Event::Usurped(user, generation)) => {
                    for peer in self.core.peers(now) {
                        let _ = store.evict_now(&peer, &eviction(&user, "", generation));
                    }
                }
                Change::Outlived(epoch) => self.outlived = epoch,
                Change::Nonsense(what) => panic!("nonsense: {what}"),
                _ => {}
            }
        }
    }
}
