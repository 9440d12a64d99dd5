//! A store of which one thing does not work.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use super::super::{
    job::{Beat, Job, Lookup, Table},
    liveness::Corpse,
    memory::Memory,
    store::{Later, Reaped, Store, Written},
    value::Lease,
};
use crate::error::StoreError;

#[derive(Clone, Default)]
pub(super) struct Odd {
    memory: Memory,
    /// Writes are never answered.
    pub(super) silent: Arc<AtomicBool>,
    /// So many evictions fail.
    pub(super) failures: Arc<AtomicU32>,
}

impl Store for Odd {
    fn beat<'a>(&'a self, node: &'a str, beat: &'a Beat) -> Later<'a, Table> {
        self.memory.beat(node, beat)
    }

    fn write<'a>(&'a self, node: &'a str, jobs: &'a [Job]) -> Later<'a, Written> {
        if self.silent.load(Ordering::Relaxed) {
            return Box::pin(pending());
        }
        self.memory.write(node, jobs)
    }

    fn find<'a>(&'a self, account: &'a str, session: &'a str, full: bool) -> Later<'a, Lookup> {
        self.memory.find(account, session, full)
    }

    fn sessions<'a>(&'a self, account: &'a str) -> Later<'a, Lookup> {
        self.memory.sessions(account)
    }

    fn evict<'a>(&'a self, node: &'a str, evictions: &'a [String]) -> Later<'a, ()> {
        let failures = &self.failures;
        let fail = |left: u32| left.checked_sub(1);
        let order = Ordering::Relaxed;
        if failures.fetch_update(order, order, fail).is_ok() {
            return Box::pin(async { Err(StoreError::Unreachable("just now".into())) });
        }
        self.memory.evict(node, evictions)
    }

    fn claim<'a>(&'a self, by: &'a str, node: &'a str) -> Later<'a, bool> {
        self.memory.claim(by, node)
    }

    fn bury<'a>(&'a self, corpse: &'a Corpse) -> Later<'a, bool> {
        self.memory.bury(corpse)
    }

    fn reap<'a>(&'a self, node: &'a str, epoch: u64, bucket: u8, cursor: u64) -> Later<'a, Reaped> {
        self.memory.reap(node, epoch, bucket, cursor)
    }

    fn forget<'a>(&'a self, corpse: &'a Corpse) -> Later<'a, ()> {
        self.memory.forget(corpse)
    }

    fn follow<'a>(&'a self, account: &'a str, pairs: &'a [String], on: bool) -> Later<'a, ()> {
        self.memory.follow(account, pairs, on)
    }

    fn leave<'a>(&'a self, node: &'a str, last: &'a Lease) -> Later<'a, ()> {
        self.memory.leave(node, last)
    }
}
