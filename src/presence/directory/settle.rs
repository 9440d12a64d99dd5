use std::{num::NonZeroU64, sync::Arc, time::Instant};

use super::{
    super::{
        job::{Gone, Job, Reply},
        keys::{BUCKETS, bucket},
        own::{Bucket, Clock, Phase},
    },
    Directory, Event, Fresh,
};
use crate::{error::StoreError, message::User};

/// What becomes of a batch.
impl Directory {
    /// What became of a job.
    pub(in crate::presence) fn settle(
        &mut self,
        job: Job,
        result: Result<Reply, StoreError>,
        now: Instant,
        events: &mut Vec<Event>,
    ) {
        match (job, result) {
            (job, Err(error @ StoreError::Unreachable(_))) => self.not_reached(job, error, events),
            (job, Ok(Reply::Late { time })) => self.came_late(job, Clock::new(now, time)),
            (Job::Put { user, .. }, Ok(reply)) => self.put_done(user, reply, events),
            (Job::Delete { gone, .. }, Ok(Reply::Delete { marker, generation })) => {
                let bucket = self.bucket_of(&gone.user);
                match marker {
                    Some(marker) => bucket.note_marker(&marker),
                    None => bucket.note_loss(),
                }
                gone.tell(generation, events);
            }
            (Job::Commit { bucket, .. }, Ok(Reply::Commit { marker, done, time })) => {
                let bucket = &mut self.buckets[usize::from(bucket)];
                bucket.clock = Some(Clock::new(now, time));
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
                bucket.note_refusal();
                events.push(Event::ConnectFailed(user, error));
            }
            (Job::Delete { gone, .. }, Err(error)) => {
                events.push(Event::DisconnectFailed(gone.user.clone(), error));
                self.deletes += 1;
                self.refused.push(gone);
            }
            (Job::Commit { bucket, .. } | Job::Uncommit { bucket }, Err(_)) => {
                self.buckets[usize::from(bucket)].note_refusal();
            }
            (Job::Uncommit { bucket }, Ok(Reply::Uncommit)) => self.found_again(bucket),
            (
                Job::Uncommit { .. } | Job::Delete { .. } | Job::Commit { .. } | Job::Prune { .. },
                _,
            ) => {}
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
                Job::Put { user, .. } => self.put_failed(user, error, events),
                Job::Delete { gone, .. } => {
                    let user = gone.user.clone();
                    events.push(Event::DisconnectFailed(user, error.clone()));
                    self.push_delete(gone.once_more());
                }
                Job::Commit { .. } | Job::Prune { .. } => {}
                Job::Uncommit { bucket } => self.uncommits.push(bucket),
            }
        }
    }

    /// The store took a write for one that was given up, as it was, or as it seemed by a clock that
    /// we did not know: it is sent again.
    fn came_late(&mut self, job: Job, clock: Clock) {
        let (index, put) = match job {
            Job::Put { user, force, .. } => (bucket(user.account()), Some((user, force))),
            Job::Commit { bucket, .. } | Job::Uncommit { bucket } => (bucket, None),
            Job::Delete { .. } | Job::Prune { .. } => return,
        };
        let hasher = self.hasher.clone();
        let bucket = &mut self.buckets[usize::from(index)];
        bucket.clock = Some(clock);
        let Some((user, force)) = put else {
            return;
        };
        if let Some(own) = bucket.get_mut(&user, &hasher) {
            // The first attempt was none.
            own.attempted &= !force;
            match &mut bucket.phase {
                Phase::Writing(left) => left.push(user),
                _ => self.queue.push_back(Fresh::Put(user)),
            }
        }
    }

    /// The server of a bucket was not reached: whatever was under way there is in doubt.
    fn not_reached(&mut self, job: Job, error: StoreError, events: &mut Vec<Event>) {
        let index = match job {
            Job::Put { user, .. } => {
                let index = bucket(user.account());
                self.put_failed(user, &error, events);
                index
            }
            Job::Delete { gone, .. } => {
                let user = gone.user.clone();
                let index = bucket(user.account());
                events.push(Event::DisconnectFailed(user, error.clone()));
                self.deletes += 1;
                self.refused.push(gone.once_more());
                index
            }
            Job::Prune { account, .. } => bucket(&account),
            Job::Commit { bucket, .. } | Job::Uncommit { bucket } => bucket,
        };
        let bucket = &mut self.buckets[usize::from(index)];
        if bucket.is_lost() {
            return;
        }
        (bucket.phase, bucket.marker) = (Phase::Lost, None);
        // What else is on that server is to be known soon.
        self.check(0..BUCKETS);
        for user in self.take_puts(index) {
            self.put_failed(user, &error, events);
        }
    }

    /// Nobody waits for an entry that was not stored, and who has none yet hears of it.
    fn put_failed(&mut self, user: User, error: &StoreError, events: &mut Vec<Event>) {
        let hasher = self.hasher.clone();
        if let Some(own) = self.bucket_of(&user).get_mut(&user, &hasher) {
            own.waiter = None;
            own.untold |= own.attempted;
            if own.generation.is_none() {
                events.push(Event::ConnectFailed(user, error.clone()));
            }
        }
    }

    /// Takes out of the queue what was to be stored in a bucket.
    fn take_puts(&mut self, index: u8) -> Vec<User> {
        let mut users = Vec::new();
        self.queue.retain(|fresh| match fresh {
            Fresh::Put(user) if bucket(user.account()) == index => {
                users.push(user.clone());
                false
            }
            _ => true,
        });
        users
    }

    /// The server of a bucket is reached again, and is to be told everything.
    fn found_again(&mut self, index: u8) {
        let found = &mut self.buckets[usize::from(index)];
        found.written = None;
        if !found.is_lost() {
            return;
        }
        found.start_over();
        let there = |gone: &mut Gone| bucket(gone.user.account()) == index;
        let gone = self.refused.extract_if(.., there);
        self.queue.extend(gone.map(Fresh::Delete));
    }

    fn put_done(&mut self, user: User, reply: Reply, events: &mut Vec<Event>) {
        let Reply::Put {
            marker,
            generation,
            other,
            lost,
            followers,
            kept,
        } = reply
        else {
            return;
        };
        let hasher = self.hasher.clone();
        let bucket = self.bucket_of(&user);
        bucket.note_marker(&marker);
        if lost {
            if let Some(own) = bucket.remove(&user, &hasher) {
                self.note_end(&own);
                self.unlist(own);
                events.push(Event::Superseded(user));
            }
            return;
        }
        if !followers.is_empty() {
            events.push(Event::Followed(user.clone(), followers));
        }
        events.extend(other.map(|other| Event::Displaced(user.clone(), other, generation)));
        if let Some(own) = bucket.get_mut(&user, &hasher) {
            (own.listed, own.expiring) = (kept.listed, kept.expiring);
            if let Some(waiter) = own.waiter.take() {
                // Who waited may have gone away.
                let _ = waiter.send(());
            }
            if std::mem::take(&mut own.untold) {
                events.push(Event::Usurped(user.clone(), generation));
            }
            // It was raised while an older attempt was under way.
            if own.generation.is_some_and(|raised| raised > generation) {
                return;
            }
            own.generation = Some(generation);
            let told = NonZeroU64::new(generation);
            if std::mem::replace(&mut own.told, told) != told {
                self.log.push(&user, generation, true);
                events.push(Event::Stored(user, generation));
            }
        }
    }
}

impl Gone {
    /// It is removed, now with this generation, or before.
    fn tell(self, generation: Option<u64>, events: &mut Vec<Event>) {
        if let Some(generation) = generation.filter(|_| self.untold) {
            events.push(Event::Usurped(self.user.clone(), generation));
        }
        let before = self.generation.filter(|_| self.again);
        if let Some(generation) = generation.or(before) {
            events.push(Event::Removed(self.user, generation));
        }
    }

    fn once_more(self) -> Self {
        Self {
            again: true,
            ..self
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
        if began_anew {
            self.written = None;
        }
        if began_anew || self.is_complete() {
            self.start_over();
        }
    }

    /// The store refused something. What is lost stays so: it is asked for anyway.
    fn note_refusal(&mut self) {
        if !self.is_lost() {
            self.phase = Phase::Refused;
        }
    }

    /// There is no marker: the bucket is empty.
    fn note_loss(&mut self) {
        if self.marker.take().is_some() {
            self.written = None;
            self.start_over();
        }
    }
}
