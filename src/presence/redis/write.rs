//! Batches of writes, as calls of one script.

use std::time::Duration;

use deadpool_redis::redis::Cmd;

use crate::{
    ids::random_id,
    message::User,
    presence::{
        job::{Job, Terms},
        keys::{Keys, bucket},
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
        let buckets = step.chunk_by(same_bucket);
        let mut call = self.script.with(buckets.clone().count());
        for jobs in buckets.clone() {
            let bucket = jobs.first().map_or(0, |(_, job)| bucket_of(job));
            call.arg(self.keys.marker(bucket));
        }
        call.arg(node).arg(self.latest).arg(random_id());
        call.arg(self.terms.millis())
            .arg(u8::from(self.terms.listed));
        for jobs in buckets {
            let makes = jobs.iter().any(|(_, job)| stores(job));
            let (epoch, sent) = times(jobs);
            call.arg(jobs.len()).arg(u8::from(makes));
            call.arg(epoch).arg(sent);
            for (_, job) in jobs {
                add(&mut call, job);
            }
        }
        call
    }
}

fn add(call: &mut Cmd, job: &Job) {
    match job {
        Job::Put {
            user,
            generation,
            force,
            ..
        } => {
            call.arg(if *force { "F" } else { "P" });
            add_user(call, user);
            call.arg(*generation);
        }
        Job::Delete { gone, .. } => {
            call.arg(if gone.listed { "D" } else { "d" });
            add_user(call, &gone.user);
            match gone.generation {
                Some(generation) => call.arg(generation),
                None => call.arg(""),
            };
        }
        Job::Commit { expected, .. } => {
            call.arg("C").arg(expected.as_deref().unwrap_or_default());
        }
        Job::Uncommit { .. } => {
            call.arg("U");
        }
        Job::Prune {
            account,
            session,
            entry,
        } => {
            call.arg("X").arg(&**account).arg(&**session);
            call.arg(&**entry);
        }
    }
}

fn add_user(call: &mut Cmd, user: &User) {
    call.arg(user.account()).arg(user.session()).arg(user.sid());
}

fn bucket_of(job: &Job) -> u8 {
    match job {
        Job::Commit { bucket, .. } | Job::Uncommit { bucket } => *bucket,
        Job::Put { user, .. } => bucket(user.account()),
        Job::Delete { gone, .. } => bucket(gone.user.account()),
        Job::Prune { account, .. } => bucket(account),
    }
}

/// Whether it says that something is there, under a marker.
fn stores(job: &Job) -> bool {
    matches!(job, Job::Put { .. } | Job::Commit { .. })
}

/// The epoch of jobs of one bucket, and when they were sent, as far as that matters.
fn times(jobs: &[Placed<'_>]) -> (u64, u64) {
    let times = jobs.iter().filter_map(|(_, job)| match job {
        Job::Put { epoch, sent, .. } | Job::Commit { epoch, sent, .. } => Some((*epoch, *sent)),
        Job::Delete { epoch, .. } => Some((*epoch, 0)),
        Job::Uncommit { .. } | Job::Prune { .. } => None,
    });
    times.max().unwrap_or((0, 0))
}
