use std::sync::Arc;

use super::{
    super::{
        job::{Job, Reply},
        keys::bucket,
        own::{Bucket, Phase},
    },
    Directory, Event,
};
use crate::{error::StoreError, message::User};

/// What becomes of a batch.
impl Directory {
    /// What became of a job.
    pub(in crate::presence) fn settle(
        &mut self,
        job: Job,
        result: Result<Reply, StoreError>,
        events: &mut Vec<Event>,
    ) {
        match (job, result) {
            (Job::Put { user, .. }, Ok(reply)) => self.put_done(user, reply, events),
            (Job::Delete { user }, Ok(Reply::Delete { marker, generation })) => {
                let bucket = self.bucket_of(&user);
                match marker {
                    Some(marker) => bucket.note_marker(&marker),
                    None => bucket.note_loss(),
                }
                events.extend(generation.map(|generation| Event::Removed(user, generation)));
            }
            (Job::Commit { bucket, .. }, Ok(Reply::Commit { marker, done })) => {
                let bucket = &mut self.buckets[usize::from(bucket)];
                bucket.note_marker(&marker);
                if done && matches!(&bucket.phase, Phase::Writing(left) if left.is_empty()) {
                    bucket.phase = Phase::Complete;
                }
            }
            (Job::Put { user, .. }, Err(error)) => {
                let hasher = self.hasher.clone();
                if let Some(own) = self.bucket_of(&user).get_mut(&user, &hasher) {
                    own.waiter = None;
                }
                let index = bucket(user.account());
                let bucket = &mut self.buckets[usize::from(index)];
                if bucket.is_complete() {
                    self.uncommits.push(index);
                }
                bucket.phase = Phase::Refused;
                events.push(Event::ConnectFailed(user, error));
            }
            (Job::Delete { user }, Err(error)) => {
                events.push(Event::DisconnectFailed(user.clone(), error));
                self.deletes += 1;
                self.refused.push(user);
            }
            (Job::Commit { bucket, .. }, Err(_)) => {
                self.buckets[usize::from(bucket)].phase = Phase::Refused;
            }
            (Job::Uncommit { .. } | Job::Delete { .. } | Job::Commit { .. }, _) => {}
        }
    }

    /// A whole batch came to nothing, or nobody knows what it came to; [`doubt`](Self::doubt) is
    /// to follow.
    pub(in crate::presence) fn give_up(
        &mut self,
        jobs: Vec<Job>,
        error: &StoreError,
        events: &mut Vec<Event>,
    ) {
        for job in jobs {
            match job {
                Job::Put { user, .. } => {
                    let hasher = self.hasher.clone();
                    if let Some(own) = self.bucket_of(&user).get_mut(&user, &hasher) {
                        own.waiter = None;
                        if own.generation.is_none() {
                            events.push(Event::ConnectFailed(user, error.clone()));
                        }
                    }
                }
                Job::Delete { user } => {
                    events.push(Event::DisconnectFailed(user.clone(), error.clone()));
                    self.push_delete(user);
                }
                Job::Commit { .. } => {}
                Job::Uncommit { bucket } => self.uncommits.push(bucket),
            }
        }
    }

    fn put_done(&mut self, user: User, reply: Reply, events: &mut Vec<Event>) {
        let Reply::Put {
            marker,
            generation,
            other,
            lost,
            followers,
        } = reply
        else {
            return;
        };
        let hasher = self.hasher.clone();
        let bucket = self.bucket_of(&user);
        bucket.note_marker(&marker);
        if lost {
            if bucket.remove(&user, &hasher).is_some() {
                events.push(Event::Superseded(user));
            }
            return;
        }
        if !followers.is_empty() {
            events.push(Event::Followed(user.clone(), followers));
        }
        events.extend(other.map(|other| Event::Displaced(user.clone(), other, generation)));
        if let Some(own) = bucket.get_mut(&user, &hasher) {
            if let Some(waiter) = own.waiter.take() {
                // Who waited may have gone away.
                let _ = waiter.send(());
            }
            if own.generation.replace(generation).is_none() {
                events.push(Event::Stored(user, generation));
            }
        }
    }
}

impl Bucket {
    /// A marker was read: another one than before says that the bucket began anew.
    fn note_marker(&mut self, marker: &Arc<str>) {
        if self.marker.as_ref() == Some(marker) {
            return;
        }
        let began_anew = self.marker.replace(Arc::clone(marker)).is_some();
        if began_anew || self.is_complete() {
            self.start_over();
        }
    }

    /// There is no marker: the bucket is empty.
    fn note_loss(&mut self) {
        if self.marker.take().is_some() {
            self.start_over();
        }
    }
}
