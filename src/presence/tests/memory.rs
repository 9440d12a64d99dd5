use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::Mutex;

use super::super::{
    job::{Beat, Job, Lookup, Reply, Table, commitment},
    keys::{BUCKETS, bucket, member, parse_member},
    liveness::Corpse,
    store::{Later, Reaped, Store, Written},
    value::{Entry, Lease},
};
use crate::{error::StoreError, message::User};

/// After so many microseconds a write has been given up by its sender.
const LATEST: u64 = 1_000_000;

/// A directory in this process that several nodes share: what the scripts do in Redis, in Rust.
#[derive(Clone, Debug, Default)]
pub(in crate::presence) struct Memory {
    data: Arc<Mutex<Data>>,
}

#[derive(Debug, Default)]
struct Data {
    leases: BTreeMap<String, String>,
    evictions: BTreeMap<String, Vec<String>>,
    buckets: BTreeMap<u8, Part>,
    markers: u64,
    time: u64,
    unreachable: bool,
    /// Writes on their way: when they arrive, of which node.
    late: Vec<(u64, String, Vec<Job>)>,
}

#[derive(Debug, Default)]
struct Part {
    marker: Option<Arc<str>>,
    accounts: BTreeMap<String, BTreeMap<String, String>>,
    written: BTreeMap<String, String>,
    index: BTreeMap<String, BTreeSet<String>>,
}

impl Memory {
    /// Loses everything, as a restart without persistence does.
    pub(in crate::presence) fn flush(&self) {
        let mut data = self.data.lock();
        data.leases.clear();
        data.evictions.clear();
        data.buckets.clear();
    }

    /// Loses some buckets, as when one master of a Cluster is lost alone.
    pub(in crate::presence) fn flush_buckets(&self, range: std::ops::Range<u8>) {
        self.data
            .lock()
            .buckets
            .retain(|bucket, _| !range.contains(bucket));
    }

    /// From now on nobody reaches it, or everybody does.
    pub(in crate::presence) fn stall(&self, unreachable: bool) {
        self.data.lock().unreachable = unreachable;
    }

    pub(in crate::presence) fn set_time(&self, micros: u64) {
        let mut data = self.data.lock();
        data.time = micros;
        if data.unreachable {
            return;
        }
        let due = data.late.extract_if(.., |(at, ..)| *at <= micros);
        for (_, node, jobs) in due.collect::<Vec<_>>() {
            for job in &jobs {
                data.apply(&node, job);
            }
        }
    }

    /// These writes arrive so many microseconds later than they have been given up.
    pub(in crate::presence) fn strand(&self, node: &str, jobs: &[Job], later: u64) {
        let mut data = self.data.lock();
        let at = data.time + LATEST + 1 + later;
        data.late.push((at, node.to_owned(), jobs.to_vec()));
    }

    /// Somebody declares a node dead that is not.
    pub(in crate::presence) fn declare_dead(&self, node: &str) {
        let mut data = self.data.lock();
        let row = data.leases.get(node).and_then(|row| Lease::parse(row));
        let dead = row.map(|row| Lease { dead: true, ..row }.encode());
        data.leases
            .insert(node.to_owned(), dead.unwrap_or_default());
    }

    /// Puts an entry there that nobody knows of.
    pub(in crate::presence) fn plant(&self, account: &str, session: &str, value: &str) {
        let mut data = self.data.lock();
        let part = data.buckets.entry(bucket(account)).or_default();
        let sessions = part.accounts.entry(account.to_owned()).or_default();
        sessions.insert(session.to_owned(), value.to_owned());
    }

    /// Every entry as it is stored.
    pub(in crate::presence) fn dump(&self) -> Vec<(String, String, String)> {
        let data = self.data.lock();
        let accounts = data.buckets.values().flat_map(|part| &part.accounts);
        let entries = accounts.flat_map(|(account, sessions)| {
            sessions
                .iter()
                .map(|(session, value)| (account.clone(), session.clone(), value.clone()))
        });
        entries.collect()
    }

    fn reach(&self) -> Result<parking_lot::MutexGuard<'_, Data>, StoreError> {
        let data = self.data.lock();
        if data.unreachable {
            return Err(StoreError::Unreachable("stalled".into()));
        }
        Ok(data)
    }

    pub(in crate::presence) fn beat_now(
        &self,
        node: &str,
        beat: &Beat,
    ) -> Result<Table, StoreError> {
        let mut data = self.reach()?;
        let row = data.leases.get(node).and_then(|row| Lease::parse(row));
        let known = row.is_some_and(|row| !row.dead && row.epoch == beat.lease.epoch);
        if known || beat.register {
            data.leases.insert(node.to_owned(), beat.lease.encode());
        }
        Ok(Table {
            known,
            time: data.time,
            leases: data.leases.clone().into_iter().collect(),
            evictions: data.evictions.remove(node).unwrap_or_default(),
        })
    }

    pub(in crate::presence) fn write_now(
        &self,
        node: &str,
        jobs: &[Job],
    ) -> Result<Vec<Result<Reply, StoreError>>, StoreError> {
        let mut data = self.reach()?;
        Ok(jobs.iter().map(|job| Ok(data.apply(node, job))).collect())
    }

    pub(in crate::presence) fn find_now(
        &self,
        account: &str,
        session: &str,
        full: bool,
    ) -> Result<Lookup, StoreError> {
        let mut lookup = self.sessions_now(account)?;
        lookup.entries.retain(|(other, _)| other == session);
        if !lookup.entries.is_empty() && !full {
            lookup.marker = None;
            lookup.written.clear();
        }
        Ok(lookup)
    }

    pub(in crate::presence) fn sessions_now(&self, account: &str) -> Result<Lookup, StoreError> {
        let mut data = self.reach()?;
        let part = data.buckets.entry(bucket(account)).or_default();
        let entries = part.accounts.get(account).cloned().unwrap_or_default();
        Ok(Lookup {
            entries: entries.into_iter().collect(),
            marker: part.marker.as_deref().map(str::to_owned),
            written: part.written.clone().into_iter().collect(),
        })
    }

    pub(in crate::presence) fn evict_now(
        &self,
        node: &str,
        eviction: &str,
    ) -> Result<(), StoreError> {
        let mut data = self.reach()?;
        let list = data.evictions.entry(node.to_owned()).or_default();
        list.push(eviction.to_owned());
        Ok(())
    }

    pub(in crate::presence) fn bury_now(&self, corpse: &Corpse) -> Result<bool, StoreError> {
        let mut data = self.reach()?;
        let row = data.leases.get(&*corpse.node).cloned().unwrap_or_default();
        let stands = row == corpse.row();
        if stands {
            data.leases
                .insert(corpse.node.to_string(), corpse.tombstone());
        }
        Ok(stands)
    }

    pub(in crate::presence) fn reap_now(
        &self,
        node: &str,
        epoch: u64,
        bucket: u8,
    ) -> Result<Vec<(User, u64)>, StoreError> {
        let mut data = self.reach()?;
        let part = data.buckets.entry(bucket).or_default();
        let outlived = |under: &String| {
            let under = under
                .rsplit_once('|')
                .and_then(|(_, epoch)| epoch.parse::<u64>().ok());
            under.is_some_and(|under| under <= epoch)
        };
        if part.written.get(node).is_some_and(outlived) {
            part.written.remove(node);
        }
        let members: Vec<String> = part
            .index
            .get(node)
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let mut reaped = Vec::new();
        for member in members {
            let Some((account, session)) = parse_member(&member) else {
                continue;
            };
            let sessions = part.accounts.entry(account.to_owned()).or_default();
            let entry = sessions.get(session).and_then(|value| Entry::parse(value));
            let entry = entry.filter(|entry| &*entry.node == node);
            if entry.as_ref().is_some_and(|entry| entry.epoch > epoch) {
                continue;
            }
            if let Some(entry) = entry {
                sessions.remove(session);
                reaped.push((User::new(account, session, &entry.sid), entry.generation));
            }
            if let Some(index) = part.index.get_mut(node) {
                index.remove(&member);
            }
        }
        Ok(reaped)
    }

    /// Everything that a reaper does for one node.
    pub(in crate::presence) fn clear_up(
        &self,
        corpse: &Corpse,
    ) -> Result<Vec<(User, u64)>, StoreError> {
        let mut reaped = Vec::new();
        if !corpse.lease.dead && !self.bury_now(corpse)? {
            return Ok(reaped);
        }
        for bucket in 0..BUCKETS {
            reaped.append(&mut self.reap_now(&corpse.node, corpse.lease.epoch, bucket)?);
        }
        Ok(reaped)
    }

    pub(in crate::presence) fn forget_now(&self, corpse: &Corpse) -> Result<(), StoreError> {
        let mut data = self.reach()?;
        if data.leases.get(&*corpse.node) == Some(&corpse.tombstone()) {
            data.leases.remove(&*corpse.node);
        }
        Ok(())
    }
}

impl Data {
    fn apply(&mut self, node: &str, job: &Job) -> Reply {
        let time = self.time;
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
                let sessions = part.accounts.entry(user.account().to_owned()).or_default();
                let other = sessions.get(user.session()).cloned();
                let entry = other.as_deref().and_then(Entry::parse);
                let old = entry.as_ref().map_or(0, |entry| entry.generation);
                let here = entry.as_ref().is_some_and(|entry| &*entry.node == node);
                let mine = here && entry.is_some_and(|entry| *entry.sid == *user.sid());
                let force = *force || here;
                let generation = match (mine, force) {
                    (true, _) => old.max(*generation),
                    (false, true) => time.max(*generation).max(old + 1),
                    (false, false) => *generation,
                };
                let lost = !mine && !force && old >= generation;
                if !lost {
                    let entry = Entry {
                        node: node.into(),
                        epoch: *epoch,
                        generation,
                        sid: user.sid().into(),
                    };
                    sessions.insert(user.session().to_owned(), entry.encode());
                    let index = part.index.entry(node.to_owned()).or_default();
                    index.insert(member(user.account(), user.session()));
                }
                Reply::Put {
                    marker,
                    generation,
                    other: other.filter(|_| !mine),
                    lost,
                }
            }
            Job::Delete { user } => {
                let part = self.buckets.entry(bucket(user.account())).or_default();
                let sessions = part.accounts.entry(user.account().to_owned()).or_default();
                let entry = sessions
                    .get(user.session())
                    .and_then(|value| Entry::parse(value));
                let mine = entry.filter(|entry| &*entry.node == node && *entry.sid == *user.sid());
                if mine.is_some() {
                    sessions.remove(user.session());
                    if let Some(index) = part.index.get_mut(node) {
                        index.remove(&member(user.account(), user.session()));
                    }
                }
                Reply::Delete {
                    marker: part.marker.clone(),
                    generation: mine.map(|entry| entry.generation),
                }
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
                let done = expected.as_ref().is_none_or(|expected| *expected == marker);
                if done {
                    let commitment = commitment(&marker, *epoch);
                    part.written.insert(node.to_owned(), commitment);
                }
                Reply::Commit { marker, done, time }
            }
            Job::Uncommit { bucket } => {
                let part = self.buckets.entry(*bucket).or_default();
                part.written.remove(node);
                Reply::Uncommit
            }
        }
    }

    fn part_with_marker(&mut self, bucket: u8) -> (&mut Part, Arc<str>) {
        let part = self.buckets.entry(bucket).or_default();
        let markers = &mut self.markers;
        let marker = part.marker.get_or_insert_with(|| {
            *markers += 1;
            format!("m{markers}").into()
        });
        let marker = Arc::clone(marker);
        (part, marker)
    }
}

impl Store for Memory {
    fn beat<'a>(&'a self, node: &'a str, beat: &'a Beat) -> Later<'a, Table> {
        Box::pin(async move { self.beat_now(node, beat) })
    }

    fn write<'a>(&'a self, node: &'a str, jobs: &'a [Job]) -> Later<'a, Written> {
        Box::pin(async move { self.write_now(node, jobs) })
    }

    fn find<'a>(&'a self, account: &'a str, session: &'a str, full: bool) -> Later<'a, Lookup> {
        Box::pin(async move { self.find_now(account, session, full) })
    }

    fn sessions<'a>(&'a self, account: &'a str) -> Later<'a, Lookup> {
        Box::pin(async move { self.sessions_now(account) })
    }

    fn evict<'a>(&'a self, node: &'a str, eviction: &'a str) -> Later<'a, ()> {
        Box::pin(async move { self.evict_now(node, eviction) })
    }

    fn claim<'a>(&'a self, _: &'a str, _: &'a str) -> Later<'a, bool> {
        Box::pin(async move { Ok(true) })
    }

    fn bury<'a>(&'a self, corpse: &'a Corpse) -> Later<'a, bool> {
        Box::pin(async move { self.bury_now(corpse) })
    }

    fn reap<'a>(&'a self, node: &'a str, epoch: u64, bucket: u8, _: u64) -> Later<'a, Reaped> {
        Box::pin(async move { Ok((self.reap_now(node, epoch, bucket)?, 0)) })
    }

    fn forget<'a>(&'a self, corpse: &'a Corpse) -> Later<'a, ()> {
        Box::pin(async move { self.forget_now(corpse) })
    }

    fn leave<'a>(&'a self, node: &'a str, last: &'a Lease) -> Later<'a, ()> {
        Box::pin(async move {
            self.reach()?.leases.insert(node.to_owned(), last.encode());
            Ok(())
        })
    }
}
