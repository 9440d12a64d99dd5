//! Batches of writes, as calls of one script.

use std::time::Duration;

use deadpool_redis::redis::Cmd;

use crate::{
    ids::random_id,
    message::User,
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

    /// The call of the script for these jobs. On a Cluster it names all that it touches.
    pub(super) fn call(&self, node: &str, step: &[Placed<'_>], together: bool) -> Cmd {
        let buckets = step.chunk_by(same_bucket);
        let markers = buckets.clone().map(|jobs| {
            let bucket = jobs.first().map_or(0, |(_, job)| bucket_of(job));
            self.keys.marker(bucket)
        });
        let mut keys: Vec<String> = markers.collect();
        let count = keys.len();
        if !together {
            keys.extend(self.touched(node, step));
        }
        let mut call = self.script.on(&keys);
        let (epoch, sent) = times(step);
        call.arg(node).arg(self.latest).arg(random_id());
        call.arg(self.terms.millis())
            .arg(u8::from(self.terms.listed));
        call.arg(epoch).arg(sent).arg(count);
        for jobs in buckets {
            call.arg(jobs.len());
            for (_, job) in jobs {
                self.add(&mut call, node, job);
            }
        }
        call
    }

    /// The keys beside the markers. A slot that moves has some of them here and some there: only by
    /// their names does a server know that it is not to begin.
    fn touched(&self, node: &str, step: &[Placed<'_>]) -> Vec<String> {
        let mut keys = Vec::new();
        let bucket = step.first().map(|(_, job)| bucket_of(job));
        keys.extend(bucket.map(|bucket| self.keys.written(bucket)));
        keys.extend(bucket.map(|bucket| self.keys.index(bucket, node)));
        for (_, job) in step {
            match job {
                Job::Put { user, .. } => {
                    keys.push(self.keys.account(user.account()));
                    keys.push(self.keys.follows(user.account()));
                }
                Job::Delete { gone, .. } => keys.push(self.keys.account(gone.user.account())),
                Job::Prune { account, .. } => keys.push(self.keys.account(account)),
                Job::Commit { .. } | Job::Uncommit { .. } => {}
            }
        }
        keys
    }

    fn add(&self, call: &mut Cmd, node: &str, job: &Job) {
        match job {
            Job::Put {
                user,
                generation,
                force,
                ..
            } => {
                call.arg(if *force { "F" } else { "P" });
                call.arg(self.keys.account(user.account()));
                call.arg(user.session()).arg(user.sid());
                call.arg(*generation);
                let listed = self.terms.listed.then(|| member_of(user));
                call.arg(listed.unwrap_or_default());
            }
            Job::Delete { gone, epoch } => {
                let user = &gone.user;
                call.arg(if gone.listed { "D" } else { "d" });
                call.arg(self.keys.account(user.account()));
                let generation = gone.generation.unwrap_or(0);
                let expected = entry(node, *epoch, generation, user.sid());
                call.arg(user.session()).arg(expected);
                if gone.listed {
                    call.arg(member_of(user));
                }
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
                call.arg("X").arg(self.keys.account(account));
                call.arg(&**session).arg(&**entry);
            }
        }
    }
}

fn member_of(user: &User) -> String {
    member(user.account(), user.session())
}

fn bucket_of(job: &Job) -> u8 {
    match job {
        Job::Commit { bucket, .. } | Job::Uncommit { bucket } => *bucket,
        Job::Put { user, .. } => bucket(user.account()),
        Job::Delete { gone, .. } => bucket(gone.user.account()),
        Job::Prune { account, .. } => bucket(account),
    }
}

/// The epoch of a batch, and when the first of it was sent, as far as that matters.
fn times(step: &[Placed<'_>]) -> (u64, u64) {
    let mut times = (0, None);
    for (_, job) in step {
        match job {
            Job::Put { epoch, sent, .. } | Job::Commit { epoch, sent, .. } => {
                let first = times.1.map_or(*sent, |first: u64| first.min(*sent));
                times = (*epoch, Some(first));
            }
            Job::Delete { epoch, .. } => times.0 = *epoch,
            Job::Uncommit { .. } | Job::Prune { .. } => {}
        }
    }
    (times.0, times.1.unwrap_or(0))
}
