//! Batches of writes, as calls of one script.

use std::time::Duration;

use deadpool_redis::redis::Cmd;

use crate::{
    ids::random_id,
    presence::{
        job::{Job, Terms},
        keys::{Keys, bucket, member},
        value::entry,
    },
    redis::Script,
};

/// So many jobs go into one call: with these, Redis does nothing else for less than a millisecond.
const JOBS: usize = 64;

/// A job and its place in the batch.
pub(super) type Placed<'a> = (usize, &'a Job);

/// Makes calls of jobs.
pub(super) struct Writer {
    script: Script,
    keys: Keys,
    /// After so many microseconds a write has been given up by its sender.
    latest: u64,
    terms: Terms,
}

/// The calls for a batch: of all buckets together, or one for each, and in each call bucket by
/// bucket. What there is for one bucket stays in order.
pub(super) fn steps(jobs: &[Job], together: bool) -> Vec<Vec<Placed<'_>>> {
    let mut placed: Vec<Placed<'_>> = jobs.iter().enumerate().collect();
    if together {
        let steps = placed.chunks_mut(JOBS).map(|step| {
            step.sort_by_key(|(_, job)| bucket_of(job));
            step.to_vec()
        });
        return steps.collect();
    }
    placed.sort_by_key(|(_, job)| bucket_of(job));
    let buckets = placed.chunk_by(same_bucket);
    let steps = buckets.flat_map(|jobs| jobs.chunks(JOBS));
    steps.map(<[_]>::to_vec).collect()
}

/// Whether both are for one bucket.
pub(super) fn same_bucket((_, one): &Placed<'_>, (_, other): &Placed<'_>) -> bool {
    bucket_of(one) == bucket_of(other)
}

impl Writer {
    pub(super) fn new(script: Script, keys: Keys, latest: Duration, terms: Terms) -> Self {
        Self {
            script,
            keys,
            latest: u64::try_from(latest.as_micros()).unwrap_or(u64::MAX),
            terms,
        }
    }

    /// The call of the script for these jobs.
    pub(super) fn call(&self, node: &str, step: &[Placed<'_>]) -> Cmd {
        let accounts = step.iter().filter(|(_, job)| account_of(job).is_some());
        let is_put = |(_, job): &&Placed<'_>| matches!(job, Job::Put { .. });
        let puts = step.iter().filter(is_put);
        let (accounts, puts_count) = (accounts.count(), puts.clone().count());
        let buckets = step.chunk_by(same_bucket);

        let count = puts_count + accounts + 3 * buckets.clone().count();
        let mut call = self.script.with(count);
        let mut key = String::new();
        for account in puts.filter_map(|(_, job)| account_of(job)) {
            call.arg(self.keys.fill(&mut key, bucket(account), 'f', account));
        }
        for jobs in buckets.clone() {
            let number = jobs.first().map_or(0, |(_, job)| bucket_of(job));
            call.arg(self.keys.fill(&mut key, number, 'm', ""));
            call.arg(self.keys.fill(&mut key, number, 'w', ""));
            call.arg(self.keys.fill(&mut key, number, 'i', node));
            for account in jobs.iter().filter_map(|(_, job)| account_of(job)) {
                call.arg(self.keys.fill(&mut key, number, 'a', account));
            }
        }
        call.arg(node).arg(self.latest).arg(random_id());
        call.arg(self.terms.millis());
        call.arg(u8::from(self.terms.listed)).arg(puts_count);
        for jobs in buckets {
            let makes = jobs.iter().any(|(_, job)| stores(job));
            let (epoch, sent) = jobs.iter().find_map(|(_, job)| times(job)).unwrap_or((0, 0));
            call.arg(jobs.len()).arg(u8::from(makes)).arg(epoch).arg(sent);
            for (_, job) in jobs {
                add(&mut call, node, job);
            }
        }
        call
    }
}

fn add(call: &mut Cmd, node: &str, job: &Job) {
    match job {
        Job::Put {
            user,
            generation,
            force,
            ..
        } => {
            call.arg(if *force { "F" } else { "P" });
            call.arg(user.session()).arg(user.sid()).arg(*generation);
            call.arg(member(user.account(), user.session()));
        }
        Job::Delete { gone, epoch } => {
            let user = &gone.user;
            let expected = gone
                .generation
                .map(|generation| entry(node, *epoch, generation, user.sid()));
            let listed = gone.listed.then(|| member(user.account(), user.session()));
            call.arg("D").arg(user.session()).arg(user.sid());
            call.arg(expected.unwrap_or_default());
            call.arg(listed.unwrap_or_default());
        }
        Job::Commit { expected, .. } => {
            call.arg("C").arg(expected.as_deref().unwrap_or_default());
        }
        Job::Uncommit { .. } => {
            call.arg("U");
        }
        Job::Prune { session, entry, .. } => {
            call.arg("X").arg(&**session).arg(&**entry);
        }
    }
}

fn bucket_of(job: &Job) -> u8 {
    match job {
        Job::Commit { bucket, .. } | Job::Uncommit { bucket } => *bucket,
        Job::Put { .. } | Job::Delete { .. } | Job::Prune { .. } => {
            account_of(job).map_or(0, bucket)
        }
    }
}

fn account_of(job: &Job) -> Option<&str> {
    match job {
        Job::Put { user, .. } => Some(user.account()),
        Job::Delete { gone, .. } => Some(gone.user.account()),
        Job::Prune { account, .. } => Some(account),
        Job::Commit { .. } | Job::Uncommit { .. } => None,
    }
}

/// Whether it says that something is there, under a marker.
fn stores(job: &Job) -> bool {
    matches!(job, Job::Put { .. } | Job::Commit { .. })
}

/// Epoch, and when it was sent, if that matters.
fn times(job: &Job) -> Option<(u64, u64)> {
    match job {
        Job::Put { epoch, sent, .. } | Job::Commit { epoch, sent, .. } => Some((*epoch, *sent)),
        Job::Delete { .. } | Job::Uncommit { .. } | Job::Prune { .. } => None,
    }
}
