use std::{
    hash::BuildHasher,
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use tokio::sync::oneshot;

use super::job::Gone;
use crate::message::User;

/// A session of ours.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) user: User,
    pub(super) opened: Instant,
    /// Known once it was stored.
    pub(super) generation: Option<u64>,
    /// The generation of the last join of the session that was told.
    pub(super) told: Option<NonZeroU64>,
    /// Whether it may be stored.
    pub(super) attempted: bool,
    /// Whether somebody may have lost it to us and not know.
    pub(super) untold: bool,
    /// Whether the index of the node may list it.
    pub(super) listed: bool,
    /// Whether it is gone after a while unless it is written again.
    pub(super) expiring: bool,
    /// Hears when it is stored.
    pub(super) waiter: Option<oneshot::Sender<()>>,
}

/// Within this time after it began, a first attempt takes the place of whatever is there. In that
/// case its generation is of that time too.
pub(super) const FRESH: Duration = Duration::from_secs(1);

impl Own {
    /// A connection that begins.
    pub(super) fn new(user: &User, now: Instant, waiter: Option<oneshot::Sender<()>>) -> Self {
        Self {
            user: user.clone(),
            opened: now,
            generation: None,
            told: None,
            attempted: false,
            untold: false,
            listed: true,
            expiring: false,
            waiter,
        }
    }

    /// Others may have told that it left: a join above that generation overrides it. Who took the
    /// session over meanwhile is above that too.
    fn raise(&mut self) {
        match &mut self.generation {
            Some(generation) => *generation += 1,
            None if self.attempted => self.opened += FRESH,
            None => {}
        }
    }

    /// What is to be removed of it.
    pub(super) fn into_gone(self) -> Gone {
        Gone {
            user: self.user,
            generation: self.generation,
            untold: self.untold,
            again: false,
            listed: self.listed,
        }
    }
}

/// Our sessions in one bucket, and how much of them the store has.
#[derive(Debug)]
pub(super) struct Bucket {
    sessions: HashTable<Own>,
    pub(super) marker: Option<Arc<str>>,
    pub(super) phase: Phase,
    /// The clock of its server, once that told it.
    pub(super) clock: Option<Clock>,
    /// Since when all of it was written, while the store may say that it is.
    pub(super) written: Option<Instant>,
    /// What is to be written again before it expires.
    pub(super) sweep: Option<Sweep>,
}

/// One round through what expires.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) began: Instant,
    /// How many there were.
    pub(super) count: usize,
    pub(super) left: Vec<User>,
    /// So many may still wait.
    pub(super) spare: usize,
}

/// The store's clock in microseconds, as it was at an instant of ours, or a little later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    at: Instant,
    micros: u64,
}

impl Clock {
    pub(super) const fn new(at: Instant, micros: u64) -> Self {
        Self { at, micros }
    }

    /// What it shows, or showed, at another instant.
    pub(super) fn read(self, at: Instant) -> u64 {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let after = micros(at.saturating_duration_since(self.at));
        let before = micros(self.at.saturating_duration_since(at));
        let shown = self.micros.saturating_add(after).saturating_sub(before);
        shown.max(1)
    }
}

/// How much of our part of a bucket is written.
#[derive(Debug)]
pub(super) enum Phase {
    /// All of it, and the store says so.
    Complete,
    /// These are to be written again; then it is to be said.
    Writing(Vec<User>),
    /// The store refused to hear it; until somebody asks again.
    Refused,
    /// Its server was not reached; until what the store says of it is taken back.
    Lost,
}

impl Bucket {
    pub(super) const fn new() -> Self {
        Self {
            sessions: HashTable::new(),
            marker: None,
            phase: Phase::Writing(Vec::new()),
            clock: None,
            written: None,
            sweep: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) const fn is_complete(&self) -> bool {
        matches!(self.phase, Phase::Complete)
    }

    pub(super) const fn is_lost(&self) -> bool {
        matches!(self.phase, Phase::Lost)
    }

    /// All of it is to be written again.
    pub(super) fn start_over(&mut self) {
        let users = self.sessions.iter().map(|own| own.user.clone());
        self.phase = Phase::Writing(users.collect());
        self.sweep = None;
    }

    /// The generations of all of it are raised.
    pub(super) fn raise(&mut self) {
        self.sessions.iter_mut().for_each(Own::raise);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Own> {
        self.sessions.iter()
    }

    pub(super) fn users(&self) -> impl Iterator<Item = &User> {
        self.sessions.iter().map(|own| &own.user)
    }

    pub(super) fn get(&self, account: &str, session: &str, hasher: &RandomState) -> Option<&Own> {
        let hash = hasher.hash_one((account, session));
        self.sessions.find(hash, |own| is(own, account, session))
    }

    /// The session, if it is still this connection's.
    pub(super) fn get_mut(&mut self, user: &User, hasher: &RandomState) -> Option<&mut Own> {
        let hash = hasher.hash_one((user.account(), user.session()));
        let found = self
            .sessions
            .find_mut(hash, |own| is(own, user.account(), user.session()))?;
        (found.user.sid() == user.sid()).then_some(found)
    }

    pub(super) fn insert(&mut self, own: Own, hasher: &RandomState) -> Option<Own> {
        let hash = |own: &Own| hasher.hash_one((own.user.account(), own.user.session()));
        let here = hash(&own);
        let same = |other: &Own| is(other, own.user.account(), own.user.session());
        if let Some(older) = self.sessions.find_mut(here, same) {
            return Some(std::mem::replace(older, own));
        }
        self.sessions.insert_unique(here, own, hash);
        None
    }

    /// Removes the session, if it is still this connection's.
    pub(super) fn remove(&mut self, user: &User, hasher: &RandomState) -> Option<Own> {
        let hash = hasher.hash_one((user.account(), user.session()));
        let found = self.sessions.find_entry(hash, |own| {
            is(own, user.account(), user.session()) && own.user.sid() == user.sid()
        });
        found.ok().map(|entry| entry.remove().0)
    }
}

fn is(own: &Own, account: &str, session: &str) -> bool {
    own.user.session() == session && own.user.account() == account
}
