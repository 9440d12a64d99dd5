mod part;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use self::part::Part;
use super::{
    job::{Beat, Gone, Job, Lookup, Reply, Table, Terms},
    keys::bucket,
    liveness::Corpse,
    store::{Later, Reaped, Store, Written},
    value::Lease,
};
use crate::{condition::Access, error::StoreError, message::User};

/// So many evictions wait for a node to fetch them. Beyond that the oldest is dropped: the node
/// finds out when it writes again.
const EVICTIONS: usize = 1000;

/// A write that is older, in microseconds, has been given up by its sender.
const LATEST: u64 = 1_000_000;

/// A directory in this process that several nodes share: what the scripts do in Redis, in Rust.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    data: Arc<Mutex<Data>>,
    access: Access,
    /// How long a store may take that is stalled.
    patience: Duration,
    terms: Terms,
}

struct Data {
    leases: BTreeMap<String, String>,
    evictions: BTreeMap<String, VecDeque<String>>,
    buckets: BTreeMap<u8, Part>,
    /// How many markers there ever were: none comes twice.
    markers: u64,
    since: Instant,
    #[cfg(test)]
    time: Option<u64>,
    #[cfg(test)]
    stranded: Vec<tests::Stranded>,
}

impl Memory {
    /// The same directory as one node sees it.
    pub(crate) fn seen(&self, access: Access) -> Self {
        let data = Arc::clone(&self.data);
        Self {
            data,
            access,
            ..*self
        }
    }

    /// For a node that waits so long and keeps its entries so.
    pub(super) fn with(self, patience: Duration, terms: Terms) -> Self {
        Self {
            patience,
            terms,
            ..self
        }
    }

    /// Loses everything, as a restart without persistence does.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn flush(&self) {
        let mut data = self.data.lock();
        data.leases.clear();
        data.evictions.clear();
        data.buckets.clear();
    }

    /// Whether both are one directory.
    #[cfg(feature = "testing")]
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.data, &other.data)
    }

    fn lock(&self) -> Result<MutexGuard<'_, Data>, StoreError> {
        self.access.check()?;
        Ok(self.data.lock())
    }

    pub(super) fn beat_now(&self, node: &str, beat: &Beat) -> Result<Table, StoreError> {
        let mut data = self.lock()?;
        let row = data.leases.get(node).and_then(|row| Lease::parse(row));
        let row = row.filter(|row| row.epoch == beat.lease.epoch);
        let known = row.as_ref().is_some_and(|row| !row.dead);
        if known || beat.register {
            data.leases.insert(node.to_owned(), beat.lease.encode());
        }
        Ok(Table {
            known,
            buried: row.is_some_and(|row| row.dead),
            time: data.time(),
            leases: data.leases.clone().into_iter().collect(),
            evictions: data.evictions.remove(node).unwrap_or_default().into(),
        })
    }

    pub(super) fn write_now(&self, node: &str, jobs: &[Job]) -> Result<Written, StoreError> {
        let mut data = self.lock()?;
        Ok(jobs
            .iter()
            .map(|job| Ok(data.apply(node, job, &self.terms)))
            .collect())
    }

    pub(super) fn find_now(
        &self,
        account: &str,
        session: &str,
        full: bool,
    ) -> Result<Lookup, StoreError> {
        let mut data = self.lock()?;
        let Some(part) = data.part_of(account) else {
            return Ok(Lookup::default());
        };
        let value = part.entry(account, session);
        let entries = value.map(|value| (session.to_owned(), value.to_owned()));
        if entries.is_some() && !full {
            let entries = entries.into_iter().collect();
            return Ok(Lookup {
                entries,
                ..Lookup::default()
            });
        }
        Ok(part.lookup(entries))
    }

    pub(super) fn sessions_now(&self, account: &str) -> Result<Lookup, StoreError> {
        let mut data = self.lock()?;
        let part = data.part_of(account);
        Ok(part.map_or_else(Lookup::default, |part| {
            part.lookup(part.of_account(account))
        }))
    }

    pub(super) fn evict_now(&self, node: &str, eviction: &str) -> Result<(), StoreError> {
        let mut data = self.lock()?;
        if data.leases.contains_key(node) {
            let waiting = data.evictions.entry(node.to_owned()).or_default();
            if waiting.len() == EVICTIONS {
                waiting.pop_front();
            }
            waiting.push_back(eviction.to_owned());
        }
        Ok(())
    }

    pub(super) fn bury_now(&self, corpse: &Corpse) -> Result<bool, StoreError> {
        let mut data = self.lock()?;
        let stands = data.leases.get(&*corpse.node).map_or("", |row| row) == corpse.row();
        if stands {
            data.leases
                .insert(corpse.node.to_string(), corpse.tombstone());
        }
        Ok(stands)
    }

    pub(super) fn reap_now(
        &self,
        node: &str,
        epoch: u64,
        bucket: u8,
    ) -> Result<Vec<(User, u64)>, StoreError> {
        let mut data = self.lock()?;
        let part = data.buckets.get_mut(&bucket);
        Ok(part.map_or_else(Vec::new, |part| part.reap(node, epoch)))
    }

    pub(super) fn forget_now(&self, corpse: &Corpse) -> Result<(), StoreError> {
        let mut data = self.lock()?;
        if data.leases.get(&*corpse.node) == Some(&corpse.tombstone()) {
            data.leases.remove(&*corpse.node);
            data.evictions.remove(&*corpse.node);
        }
        Ok(())
    }

    fn follow_now(&self, account: &str, pairs: &[String], on: bool) -> Result<(), StoreError> {
        let mut data = self.lock()?;
        let part = data.buckets.entry(bucket(account)).or_default();
        part.follow(account, pairs, on);
        Ok(())
    }

    fn leave_now(&self, node: &str, last: &Lease) -> Result<(), StoreError> {
        let mut data = self.lock()?;
        data.leases.insert(node.to_owned(), last.encode());
        Ok(())
    }
}

impl Data {
    fn apply(&mut self, node: &str, job: &Job, terms: &Terms) -> Reply {
        let time = self.time();
        match job {
            Job::Put {
                user,
                epoch,
                generation,
                force,
                sent,
            } => {
                if time.saturating_sub(*sent) > LATEST {
                    return Reply::Late { time };
                }
                let (part, marker) = self.part_with_marker(bucket(user.account()));
                let wish = part::Wish {
                    epoch: *epoch,
                    generation: *generation,
                    force: *force,
                    time,
                    terms: *terms,
                };
                part.put(node, user, &wish, marker)
            }
            Job::Delete {
                gone: Gone { user, .. },
                ..
            } => {
                let part = self.buckets.entry(bucket(user.account())).or_default();
                part.expire(user.account(), time);
                part.delete(node, user)
            }
            Job::Prune {
                account,
                session,
                entry,
            } => {
                if let Some(part) = self.part_of(account) {
                    part.prune(account, session, entry);
                }
                Reply::Prune
            }
            Job::Commit {
                bucket,
                expected,
                epoch,
                sent,
            } => {
                if time.saturating_sub(*sent) > LATEST {
                    return Reply::Late { time };
                }
                let (part, marker) = self.part_with_marker(*bucket);
                if !terms.listed {
                    part.expire_all(time);
                }
                let done = expected.as_ref().is_none_or(|expected| *expected == marker);
                if done {
                    part.commit(node, &marker, *epoch);
                }
                Reply::Commit { marker, done, time }
            }
            Job::Uncommit { bucket } => {
                if let Some(part) = self.buckets.get_mut(bucket) {
                    part.uncommit(node);
                }
                Reply::Uncommit
            }
        }
    }

    fn part_with_marker(&mut self, bucket: u8) -> (&mut Part, Arc<str>) {
        let part = self.buckets.entry(bucket).or_default();
        let markers = &mut self.markers;
        let marker = part.marker_or(|| {
            *markers += 1;
            format!("m{markers}").into()
        });
        (part, marker)
    }

    /// What there is of an account's bucket, without what has expired.
    fn part_of(&mut self, account: &str) -> Option<&mut Part> {
        let time = self.time();
        let part = self.buckets.get_mut(&bucket(account))?;
        part.expire(account, time);
        Some(part)
    }

    /// In microseconds; never 0.
    fn time(&self) -> u64 {
        #[cfg(test)]
        if let Some(time) = self.time {
            return time;
        }
        let micros = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        micros.saturating_add(1)
    }
}

impl Default for Data {
    fn default() -> Self {
        Self {
            leases: BTreeMap::new(),
            evictions: BTreeMap::new(),
            buckets: BTreeMap::new(),
            markers: 0,
            since: Instant::now(),
            #[cfg(test)]
            time: None,
            #[cfg(test)]
            stranded: Vec::new(),
        }
    }
}

/// What is in it holds credentials.
impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Store for Memory {
    fn beat<'a>(&'a self, node: &'a str, beat: &'a Beat) -> Later<'a, Table> {
        self.later(move || self.beat_now(node, beat))
    }

    fn write<'a>(&'a self, node: &'a str, jobs: &'a [Job]) -> Later<'a, Written> {
        self.later(move || self.write_now(node, jobs))
    }

    fn find<'a>(&'a self, account: &'a str, session: &'a str, full: bool) -> Later<'a, Lookup> {
        self.later(move || self.find_now(account, session, full))
    }

    fn sessions<'a>(&'a self, account: &'a str) -> Later<'a, Lookup> {
        self.later(move || self.sessions_now(account))
    }

    fn evict<'a>(&'a self, node: &'a str, evictions: &'a [String]) -> Later<'a, ()> {
        self.later(move || {
            evictions
                .iter()
                .try_for_each(|eviction| self.evict_now(node, eviction))
        })
    }

    fn claim<'a>(&'a self, _: &'a str, _: &'a str) -> Later<'a, bool> {
        // Clearing up is quick here: who comes second finds nothing.
        self.later(|| Ok(true))
    }

    fn bury<'a>(&'a self, corpse: &'a Corpse) -> Later<'a, bool> {
        self.later(move || self.bury_now(corpse))
    }

    fn reap<'a>(&'a self, node: &'a str, epoch: u64, bucket: u8, _: u64) -> Later<'a, Reaped> {
        self.later(move || Ok((self.reap_now(node, epoch, bucket)?, 0)))
    }

    fn forget<'a>(&'a self, corpse: &'a Corpse) -> Later<'a, ()> {
        self.later(move || self.forget_now(corpse))
    }

    fn follow<'a>(&'a self, account: &'a str, pairs: &'a [String], on: bool) -> Later<'a, ()> {
        self.later(move || self.follow_now(account, pairs, on))
    }

    fn leave<'a>(&'a self, node: &'a str, last: &'a Lease) -> Later<'a, ()> {
        self.later(move || self.leave_now(node, last))
    }
}

impl Memory {
    fn later<'a, T>(
        &'a self,
        what: impl FnOnce() -> Result<T, StoreError> + Send + 'a,
    ) -> Later<'a, T> {
        Box::pin(async move {
            self.access.answer(self.patience).await?;
            what()
        })
    }
}
