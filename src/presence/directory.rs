mod batch;
mod settle;
mod sweep;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use tokio::sync::oneshot;

pub(super) use self::batch::Hurry;
use self::{batch::Ghost, sweep::Pace};
use super::{
    job::Gone,
    keys::{BUCKETS, bucket},
    moves::{Log, Move},
    own::{Bucket, Clock, Own, Phase},
};
use crate::{error::StoreError, message::User};

/// What became of sessions.
#[derive(Debug)]
pub(super) enum Event {
    Stored(User, u64),
    Removed(User, u64),
    /// Somebody newer has the session.
    Superseded(User),
    /// These sessions follow ours.
    Followed(User, Vec<String>),
    /// We took the place of this entry.
    Displaced(User, String, u64),
    /// We may have taken the place of an entry, and did not hear of which.
    Usurped(User, u64),
    ConnectFailed(User, StoreError),
    DisconnectFailed(User, StoreError),
}

enum Fresh {
    Put(User),
    Delete(Gone),
}

/// The sessions of this node, and what of them is to be written.
///
/// One batch is under way at a time: what [`take_batch`](Self::take_batch) gives is settled, or
/// given up with [`give_up`](Self::give_up), before the next one. Buckets whose server was not
/// reached are in none, so that the others do not wait for them: [`take_probes`](Self::take_probes)
/// gives a batch of their own.
pub(super) struct Directory {
    hasher: RandomState,
    buckets: Vec<Bucket>,
    queue: VecDeque<Fresh>,
    deletes: usize,
    max_deletes: usize,
    uncommits: Vec<u8>,
    checks: Vec<u8>,
    refused: Vec<Gone>,
    overflowed: bool,
    /// The store's clock, by the last heartbeat.
    clock: Option<Clock>,
    /// Entries of the dead that were met.
    ghosts: Vec<Ghost>,
    pace: Pace,
    /// What came and went.
    pub(super) log: Log,
}

impl Directory {
    pub(super) fn new(max_deletes: usize, expiry: Duration) -> Self {
        Self {
            hasher: RandomState::default(),
            buckets: (0..BUCKETS).map(|_| Bucket::new()).collect(),
            queue: VecDeque::new(),
            deletes: 0,
            max_deletes,
            uncommits: Vec::new(),
            checks: Vec::new(),
            refused: Vec::new(),
            overflowed: false,
            clock: None,
            ghosts: Vec::new(),
            pace: Pace::new(expiry),
            log: Log::default(),
        }
    }

    /// A session begins here; its waiter hears when it is stored.
    pub(super) fn connect(
        &mut self,
        user: &User,
        now: Instant,
        waiter: Option<oneshot::Sender<()>>,
    ) {
        let own = Own::new(user, now, waiter);
        let bucket = &mut self.buckets[usize::from(bucket(user.account()))];
        let older = bucket.insert(own, &self.hasher);
        if !bucket.is_lost() {
            self.queue.push_back(Fresh::Put(user.clone()));
        }
        if let Some(older) = &older
            && let Some(own) = bucket.get_mut(user, &self.hasher)
        {
            (own.untold, own.told) = (older.untold, older.told);
        }
        if let Some(older) = older.filter(|older| older.attempted) {
            // The new one may end before it is stored, and the old entry must not stay.
            self.push_delete(older.into_gone());
        }
    }

    /// A connection ends; whether its session was still its own.
    pub(super) fn disconnect(&mut self, user: &User) -> bool {
        let hasher = self.hasher.clone();
        let Some(own) = self.bucket_of(user).remove(user, &hasher) else {
            return false;
        };
        self.note_end(&own);
        if own.attempted {
            self.push_delete(own.into_gone());
        }
        true
    }

    pub(super) fn has(&self, account: &str, session: &str) -> bool {
        let bucket = &self.buckets[usize::from(bucket(account))];
        bucket.get(account, session, &self.hasher).is_some()
    }

    /// Our sessions of an account, with the generations of those that were stored.
    pub(super) fn of_account(&self, account: &str) -> Vec<(User, Option<u64>)> {
        let own = self.buckets[usize::from(bucket(account))].iter();
        let of_account = own.filter(|own| own.user.account() == account);
        of_account
            .map(|own| (own.user.clone(), own.generation))
            .collect()
    }

    /// All our sessions.
    pub(super) fn users(&self) -> Vec<User> {
        let users = self.buckets.iter().flat_map(Bucket::users);
        users.cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.iter().map(Bucket::len).sum()
    }

    /// Those of our sessions in a bucket whose joins were told.
    pub(super) fn told_in(&self, bucket: u8) -> Vec<Move> {
        let all = self.buckets.get(usize::from(bucket)).into_iter();
        let told = all.flat_map(Bucket::iter).filter_map(|own| {
            own.told.map(|generation| Move {
                user: own.user.clone(),
                generation: generation.get(),
                joined: true,
            })
        });
        told.collect()
    }

    /// A session is not ours any more.
    fn note_end(&mut self, own: &Own) {
        if let Some(generation) = own.told {
            self.log.push(&own.user, generation.get(), false);
        }
    }

    /// Whether the server of an account was not reached.
    pub(super) fn has_lost(&self, account: &str) -> bool {
        self.buckets[usize::from(bucket(account))].is_lost()
    }

    /// The marker under which a bucket is written completely.
    pub(super) fn complete_under(&self, bucket: u8) -> Option<&Arc<str>> {
        let bucket = &self.buckets[usize::from(bucket)];
        bucket.marker.as_ref().filter(|_| bucket.is_complete())
    }

    pub(super) fn is_complete(&self) -> bool {
        self.buckets.iter().all(Bucket::is_complete)
    }

    /// Whether so much was forgotten that only a new epoch helps; says so once.
    pub(super) fn take_overflow(&mut self) -> bool {
        std::mem::take(&mut self.overflowed)
    }

    /// Hears the store's clock; how far that has jumped ahead.
    pub(super) fn set_clock(&mut self, now: Instant, micros: u64) -> Duration {
        let before = self.clock.replace(Clock::new(now, micros));
        let ahead = before.map_or(0, |before| micros.saturating_sub(before.read(now)));
        Duration::from_micros(ahead)
    }

    /// The clock of the server of a bucket.
    fn clock_of(&self, bucket: u8) -> Option<Clock> {
        self.buckets[usize::from(bucket)].clock.or(self.clock)
    }

    /// The store may have lost something: all is written again, under the same epoch.
    pub(super) fn doubt(&mut self) {
        let complete = (0..BUCKETS).filter(|b| self.buckets[usize::from(*b)].is_complete());
        let mut uncommits: Vec<u8> = complete.collect();
        self.uncommits.append(&mut uncommits);
        for (index, bucket) in (0..BUCKETS).zip(&mut self.buckets) {
            if !bucket.is_lost() && !self.uncommits.contains(&index) {
                bucket.written = None;
            }
        }
        self.start_over();
    }

    /// Others may have told that all of ours left: it is all written again, and told, under higher
    /// generations.
    pub(super) fn raise(&mut self) {
        self.buckets.iter_mut().for_each(Bucket::raise);
        self.start_over();
    }

    /// The store is to be told everything, under a new epoch: what the older ones wrote does not
    /// count any more.
    pub(super) fn begin_epoch(&mut self) {
        self.start_over();
        for bucket in &mut self.buckets {
            bucket.written = None;
        }
        self.queue.clear();
        self.refused.clear();
        self.deletes = 0;
        self.uncommits.clear();
    }

    fn start_over(&mut self) {
        // What is lost begins anew when it is found again.
        for bucket in self.buckets.iter_mut().filter(|bucket| !bucket.is_lost()) {
            bucket.marker = None;
            bucket.start_over();
        }
        self.checks.clear();
        self.queue.retain(|fresh| matches!(fresh, Fresh::Delete(_)));
    }

    /// Looks whether these buckets are still as we left them.
    pub(super) fn check(&mut self, buckets: impl IntoIterator<Item = u8>) {
        for bucket in buckets {
            if !self.checks.contains(&bucket) {
                self.checks.push(bucket);
            }
        }
    }

    /// Tries again what was refused.
    pub(super) fn retry_refused(&mut self) {
        self.queue.extend(self.refused.drain(..).map(Fresh::Delete));
        for bucket in &mut self.buckets {
            if matches!(bucket.phase, Phase::Refused) {
                bucket.start_over();
            }
        }
    }

    /// Nobody is to wait for what is not stored yet: who it is.
    pub(super) fn release_waiters(&mut self) -> Vec<User> {
        let hasher = self.hasher.clone();
        let mut users = Vec::new();
        for fresh in std::mem::take(&mut self.queue) {
            if let Fresh::Put(user) = &fresh
                && let Some(own) = self.bucket_of(user).get_mut(user, &hasher)
            {
                own.waiter = None;
                if own.generation.is_none() {
                    users.push(user.clone());
                }
            }
            self.queue.push_back(fresh);
        }
        users
    }

    /// Somebody else took the place of one of our sessions: whose it was. Without a sid it is any
    /// that was stored before.
    pub(super) fn evict(&mut self, user: &User, generation: u64) -> Option<User> {
        let hasher = self.hasher.clone();
        let bucket = self.bucket_of(user);
        let own = bucket.get(user.account(), user.session(), &hasher)?;
        let older = if user.sid().is_empty() {
            own.generation.is_some_and(|own| own < generation)
        } else {
            let same = own.user.sid() == user.sid();
            same && own.generation.is_none_or(|own| own < generation)
        };
        let user = older.then(|| own.user.clone())?;
        let own = bucket.remove(&user, &hasher)?;
        self.note_end(&own);
        let user = own.user.clone();
        self.unlist(own);
        Some(user)
    }

    /// Somebody else has the session: what is left of it here is its place in the index.
    fn unlist(&mut self, own: Own) {
        if own.attempted && own.listed {
            self.push_delete(Gone {
                generation: None,
                untold: false,
                ..own.into_gone()
            });
        }
    }

    /// From now on nothing is stored; what ended is still removed.
    pub(super) fn end(&mut self) {
        self.uncommits.clear();
        self.checks.clear();
        self.queue.retain(|fresh| matches!(fresh, Fresh::Delete(_)));
        for bucket in self.buckets.iter_mut().filter(|bucket| !bucket.is_lost()) {
            bucket.phase = Phase::Refused;
        }
    }

    fn push_delete(&mut self, gone: Gone) {
        if self.deletes >= self.max_deletes {
            self.queue.retain(|fresh| matches!(fresh, Fresh::Put(_)));
            self.refused.clear();
            self.deletes = 0;
            self.overflowed = true;
            return;
        }
        self.deletes += 1;
        self.queue.push_back(Fresh::Delete(gone));
    }

    fn bucket_of(&mut self, user: &User) -> &mut Bucket {
        let index = bucket(user.account());
        &mut self.buckets[usize::from(index)]
    }
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory")
            .field("sessions", &self.len())
            .finish_non_exhaustive()
    }
}
