//! What only the tests of presence do to the directory.

use std::collections::VecDeque;

use super::{LATEST, Memory};
use crate::{
    condition::Condition,
    error::StoreError,
    message::User,
    presence::{
        job::{Job, Terms},
        keys::{BUCKETS, bucket},
        liveness::Corpse,
        value::Lease,
    },
};

/// Writes on their way.
pub(super) struct Stranded {
    at: u64,
    node: String,
    jobs: Vec<Job>,
    terms: Terms,
}

impl Memory {
    /// Loses some buckets, as when one master of a Cluster is lost alone.
    pub(in crate::presence) fn flush_buckets(&self, range: std::ops::Range<u8>) {
        let mut data = self.data.lock();
        data.buckets.retain(|bucket, _| !range.contains(bucket));
    }

    /// From now on nobody reaches it, or everybody does.
    pub(in crate::presence) fn stall(&self, unreachable: bool) {
        self.access.store().set(if unreachable {
            Condition::Away
        } else {
            Condition::Well
        });
    }

    /// From now on the clock stands at so many microseconds.
    pub(in crate::presence) fn set_time(&self, micros: u64) {
        let mut data = self.data.lock();
        data.time = Some(micros);
        if self.access.check().is_err() {
            return;
        }
        let due = data.stranded.extract_if(.., |one| one.at <= micros);
        for Stranded {
            node, jobs, terms, ..
        } in due.collect::<Vec<_>>()
        {
            for job in &jobs {
                data.apply(&node, job, &terms);
            }
        }
    }

    /// These writes arrive so many microseconds later than they were given up.
    pub(in crate::presence) fn strand(&self, node: &str, jobs: &[Job], later: u64) {
        let mut data = self.data.lock();
        let stranded = Stranded {
            at: data.time() + LATEST + 1 + later,
            node: node.to_owned(),
            jobs: jobs.to_vec(),
            terms: self.terms,
        };
        data.stranded.push(stranded);
    }

    /// Somebody declares a node dead that is not.
    pub(in crate::presence) fn declare_dead(&self, node: &str) {
        let mut data = self.data.lock();
        let row = data.leases.get(node).and_then(|row| Lease::parse(row));
        let dead = row.map(|row| Lease { dead: true, ..row }.encode());
        data.leases
            .insert(node.to_owned(), dead.unwrap_or_default());
    }

    /// The nodes that have a row.
    pub(in crate::presence) fn nodes(&self) -> Vec<String> {
        self.data.lock().leases.keys().cloned().collect()
    }

    /// The row of a node.
    pub(in crate::presence) fn row(&self, node: &str) -> Option<String> {
        self.data.lock().leases.get(node).cloned()
    }

    /// How much a node is still to hear of.
    pub(in crate::presence) fn evicted(&self, node: &str) -> usize {
        let data = self.data.lock();
        data.evictions.get(node).map_or(0, VecDeque::len)
    }

    /// Puts an entry there that nobody knows of.
    pub(in crate::presence) fn plant(&self, account: &str, session: &str, value: &str) {
        let mut data = self.data.lock();
        let part = data.buckets.entry(bucket(account)).or_default();
        let account = part.accounts.entry(account.to_owned()).or_default();
        account
            .sessions
            .insert(session.to_owned(), value.to_owned());
    }

    /// Every entry as it is stored.
    pub(in crate::presence) fn dump(&self) -> Vec<(String, String, String)> {
        let mut data = self.data.lock();
        let time = data.time();
        for part in data.buckets.values_mut() {
            part.expire_all(time);
        }
        let accounts = data.buckets.values().flat_map(|part| &part.accounts);
        let entries = accounts.flat_map(|(account, known)| {
            known
                .sessions
                .iter()
                .map(|(session, value)| (account.clone(), session.clone(), value.clone()))
        });
        entries.collect()
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
}
