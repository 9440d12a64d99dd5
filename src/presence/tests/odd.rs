//! A store of which one thing does not work.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::sleep;

use super::super::{
    job::{Beat, Job, Lookup, Table},
    keys::bucket,
    liveness::Corpse,
    memory::Memory,
    store::{Later, Reaped, Store, Written},
    value::Lease,
};
use crate::{error::StoreError, message::User};

#[derive(Clone, Default)]
pub(super) struct Odd {
    pub(super) memory: Memory,
    /// Writes are never answered.
    pub(super) silent: Arc<AtomicBool>,
    /// Writes are done, and nobody hears of it.
    pub(super) deaf: Arc<AtomicBool>,
    /// So many evictions fail.
    pub(super) failures: Arc<AtomicU32>,
    /// How many batches were written.
    pub(super) batches: Arc<AtomicU32>,
    /// How many heartbeats came, heard or not.
    pub(super) beats: Arc<AtomicU32>,
    /// The server of this account is not reached.
    pub(super) away: Arc<Mutex<Option<&'static str>>>,
    /// Somebody else clears up.
    pub(super) claimed: Arc<AtomicBool>,
    /// Sessions that are reaped later, from a cursor on.
    pub(super) pages: Arc<Mutex<Vec<(User, u64)>>>,
    /// Rows of the dead have moved meanwhile.
    pub(super) moving: Arc<AtomicBool>,
    /// So many attempts to clear up fail.
    pub(super) clumsy: Arc<AtomicU32>,
    /// What was found is heard after that time.
    pub(super) slow: Arc<Mutex<Duration>>,
    /// It loses what is written, by this setting.
    pub(super) lossy: Arc<Mutex<Option<String>>>,
}

impl Odd {
    fn is_away(&self, job: &Job) -> bool {
        let away = self.away.lock().map(bucket);
        match job {
            Job::Put { user, .. } => away == Some(bucket(user.account())),
            Job::Delete { gone, .. } => away == Some(bucket(gone.user.account())),
            Job::Prune { account, .. } => away == Some(bucket(account)),
            Job::Commit { bucket, .. } | Job::Uncommit { bucket } => away == Some(*bucket),
        }
    }
}

/// Whether it fails once more.
fn fails(left: &AtomicU32) -> bool {
    let order = Ordering::Relaxed;
    let fewer = left.fetch_update(order, order, |left| left.checked_sub(1));
    fewer.is_ok()
}

fn away<T>() -> Result<T, StoreError> {
    Err(StoreError::Unreachable("just now".into()))
}

impl Store for Odd {
    fn beat<'a>(&'a self, node: &'a str, beat: &'a Beat) -> Later<'a, Table> {
        self.beats.fetch_add(1, Ordering::Relaxed);
        self.memory.beat(node, beat)
    }

    fn write<'a>(&'a self, node: &'a str, jobs: &'a [Job]) -> Later<'a, Written> {
        if self.silent.load(Ordering::Relaxed) {
            return Box::pin(pending());
        }
        self.batches.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let mut written = Vec::new();
            for job in jobs {
                let job = std::slice::from_ref(job);
                written.push(match self.is_away(&job[0]) {
                    true => away(),
                    false => self.memory.write(node, job).await?.remove(0),
                });
            }
            if self.deaf.load(Ordering::Relaxed) {
                return away();
            }
            Ok(written)
        })
    }

    fn find<'a>(&'a self, account: &'a str, session: &'a str, full: bool) -> Later<'a, Lookup> {
        let slow = *self.slow.lock();
        Box::pin(async move {
            let found = self.memory.find(account, session, full).await;
            sleep(slow).await;
            found
        })
    }

    fn sessions<'a>(&'a self, account: &'a str) -> Later<'a, Lookup> {
        self.memory.sessions(account)
    }

    fn evict<'a>(&'a self, node: &'a str, evictions: &'a [String]) -> Later<'a, ()> {
        if fails(&self.failures) {
            return Box::pin(async { away() });
        }
        self.memory.evict(node, evictions)
    }

    fn claim<'a>(&'a self, by: &'a str, node: &'a str) -> Later<'a, bool> {
        if self.claimed.load(Ordering::Relaxed) {
            return Box::pin(async { Ok(false) });
        }
        self.memory.claim(by, node)
    }

    fn bury<'a>(&'a self, corpse: &'a Corpse) -> Later<'a, bool> {
        if self.moving.load(Ordering::Relaxed) {
            return Box::pin(async { Ok(false) });
        }
        self.memory.bury(corpse)
    }

    fn reap<'a>(&'a self, node: &'a str, epoch: u64, bucket: u8, cursor: u64) -> Later<'a, Reaped> {
        if fails(&self.clumsy) {
            return Box::pin(async { away() });
        }
        let pages = &self.pages;
        Box::pin(async move {
            let (mut reaped, next) = self.memory.reap(node, epoch, bucket, cursor).await?;
            if bucket != 0 {
                return Ok((reaped, next));
            }
            let mut pages = pages.lock();
            reaped.extend(pages.pop());
            Ok((reaped, pages.len() as u64))
        })
    }

    fn lossy_setting(&self) -> Later<'_, Option<String>> {
        let setting = self.lossy.lock().clone();
        Box::pin(async { Ok(setting) })
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
