use std::time::Instant;

use super::{
    super::{
        job::Job,
        keys::{BUCKETS, bucket},
        own::{Bucket, FRESH, Phase},
    },
    Directory, Fresh,
};
use crate::message::User;

/// So many entries of the dead wait to be removed; more will be met again.
const MAX_GHOSTS: usize = 256;

/// An entry of a dead node that nobody else clears up.
pub(super) struct Ghost {
    account: Box<str>,
    session: Box<str>,
    entry: Box<str>,
}

/// Which buckets have something to store in a batch.
type Busy = [bool; BUCKETS as usize];

/// How soon a batch is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::presence) enum Hurry {
    /// At once: it is not only what is new, or so much that it makes a batch.
    Now,
    /// Somebody waits for an entry to be stored.
    Soon,
    /// Something ended, and nobody waits.
    Later,
}

/// What is to be written.
impl Directory {
    pub(in crate::presence) fn hurry(&self, batch: usize) -> Hurry {
        if self.queue.is_empty() || self.queue.len() >= batch || self.is_behind() {
            Hurry::Now
        } else if self
            .queue
            .iter()
            .any(|fresh| matches!(fresh, Fresh::Put(_)))
        {
            Hurry::Soon
        } else {
            Hurry::Later
        }
    }

    /// Whether there may be something to write.
    pub(in crate::presence) fn has_more(&self) -> bool {
        !self.queue.is_empty() || self.is_behind()
    }

    fn is_behind(&self) -> bool {
        let due = |bucket: &Bucket| bucket.is_due();
        !self.uncommits.is_empty() || !self.checks.is_empty() || self.buckets.iter().any(due)
    }

    /// What is to be done next, news first.
    pub(in crate::presence) fn take_batch(
        &mut self,
        now: Instant,
        epoch: u64,
        max: usize,
    ) -> Vec<Job> {
        let mut jobs = Vec::new();
        let uncommits = self.uncommits.drain(..);
        jobs.extend(uncommits.map(|bucket| Job::Uncommit { bucket }));
        let mut busy = [false; BUCKETS as usize];
        self.take_news(&mut jobs, &mut busy, now, epoch, max);
        while jobs.len() < max
            && let Some(ghost) = self.ghosts.pop()
        {
            jobs.push(ghost.into_job());
        }
        for index in 0..BUCKETS {
            while jobs.len() < max
                && let Some(user) = self.buckets[usize::from(index)].next_due(now)
            {
                busy[usize::from(index)] = true;
                jobs.extend(self.put(&user, now, epoch));
            }
            if jobs.len() >= max {
                // The next batch looks at the others.
                break;
            }
            if !busy[usize::from(index)] {
                jobs.extend(self.commit(index, now, epoch));
            }
            self.checks.retain(|check| *check != index);
        }
        jobs
    }

    fn take_news(
        &mut self,
        jobs: &mut Vec<Job>,
        busy: &mut Busy,
        now: Instant,
        epoch: u64,
        max: usize,
    ) {
        while jobs.len() < max
            && let Some(fresh) = self.queue.pop_front()
        {
            let job = match fresh {
                Fresh::Put(user) => {
                    busy[usize::from(bucket(user.account()))] = true;
                    self.put(&user, now, epoch)
                }
                Fresh::Delete(gone) if self.has_lost(gone.user.account()) => {
                    self.refused.push(gone);
                    None
                }
                Fresh::Delete(gone) => {
                    self.deletes -= 1;
                    Some(Job::Delete { gone, epoch })
                }
            };
            jobs.extend(job);
        }
    }

    /// What says that all of a bucket is written, or looks whether that is still so.
    fn commit(&self, index: u8, now: Instant, epoch: u64) -> Option<Job> {
        let bucket = &self.buckets[usize::from(index)];
        let written = matches!(&bucket.phase, Phase::Writing(left) if left.is_empty());
        let check = bucket.is_complete() && self.checks.contains(&index);
        let clock = self.clock_of(index).filter(|_| written || check)?;
        Some(Job::Commit {
            bucket: index,
            expected: bucket.marker.clone(),
            epoch,
            sent: clock.read(now),
        })
    }

    /// Asks for the buckets whose server was not reached, by taking back that they are written.
    pub(in crate::presence) fn take_probes(&self) -> Vec<Job> {
        let lost = (0..BUCKETS).filter(|bucket| self.buckets[usize::from(*bucket)].is_lost());
        lost.map(|bucket| Job::Uncommit { bucket }).collect()
    }

    fn put(&mut self, user: &User, now: Instant, epoch: u64) -> Option<Job> {
        let clock = self.clock_of(bucket(user.account()))?;
        let hasher = self.hasher.clone();
        let own = self.bucket_of(user).get_mut(user, &hasher)?;
        let first = !std::mem::replace(&mut own.attempted, true);
        let age = now.saturating_duration_since(own.opened);
        Some(Job::Put {
            user: user.clone(),
            epoch,
            generation: own.generation.unwrap_or_else(|| clock.read(own.opened)),
            force: first && age < FRESH,
            sent: clock.read(now),
        })
    }

    /// An entry of a node that is dead and was cleared up after: it is removed unless it changed.
    pub(in crate::presence) fn meet_ghost(&mut self, account: &str, session: &str, entry: &str) {
        let same = |ghost: &Ghost| *ghost.session == *session && *ghost.account == *account;
        let known = self.ghosts.iter().any(same);
        if !known && self.ghosts.len() < MAX_GHOSTS && !self.has_lost(account) {
            self.ghosts.push(Ghost {
                account: account.into(),
                session: session.into(),
                entry: entry.into(),
            });
        }
    }
}

impl Ghost {
    fn into_job(self) -> Job {
        let Self {
            account,
            session,
            entry,
        } = self;
        Job::Prune {
            account,
            session,
            entry,
        }
    }
}
