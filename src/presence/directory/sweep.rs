use std::time::{Duration, Instant};

use super::{
    super::{
        keys::BUCKETS,
        own::{Bucket, Phase, Sweep},
    },
    Directory,
};
use crate::message::User;

/// How often everything that expires is written again while it could expire once.
const ROUNDS: u32 = 6;

/// How fast what expires is written again: the buckets one after the other, each over its share of
/// the time of a round.
#[derive(Debug)]
pub(super) struct Pace {
    expiry: Duration,
    bucket: u8,
    /// When the turn of that bucket began.
    began: Option<Instant>,
}

impl Pace {
    pub(super) const fn new(expiry: Duration) -> Self {
        Self {
            expiry,
            bucket: 0,
            began: None,
        }
    }

    /// The time of one bucket; never none.
    fn turn(&self) -> Duration {
        let turn = self.expiry / (ROUNDS * u32::from(BUCKETS));
        turn.max(Duration::from_millis(1))
    }
}

/// What keeps entries from expiring.
impl Directory {
    /// Goes on with what is to be written again; to be called often.
    pub(in crate::presence) fn sweep(&mut self, now: Instant) {
        let turn = self.pace.turn();
        let mut began = self.pace.began.unwrap_or(now);
        // Rounds that were missed are not made up for.
        began = began.max(now.checked_sub(turn * u32::from(BUCKETS)).unwrap_or(began));
        while now.saturating_duration_since(began) >= turn {
            began += turn;
            self.pace.bucket = (self.pace.bucket + 1) % BUCKETS;
            self.buckets[usize::from(self.pace.bucket)].begin_sweep(now);
        }
        self.pace.began = Some(began);
        let passed = now.saturating_duration_since(began);
        let share = 1.0 - passed.as_secs_f64() / turn.as_secs_f64();
        for (index, bucket) in (0..BUCKETS).zip(&mut self.buckets) {
            let share = if index == self.pace.bucket {
                share
            } else {
                0.0
            };
            bucket.hurry(share);
        }
    }

    /// What may expire before it is written again is not said to be written any more. Whether only
    /// a new epoch makes sure of that, because the store does not hear it.
    pub(in crate::presence) fn fall_behind(&mut self, now: Instant) -> bool {
        let expiry = self.pace.expiry;
        let mut hopeless = false;
        for (index, bucket) in (0..BUCKETS).zip(&mut self.buckets) {
            let since = |written| now.saturating_duration_since(written);
            let age = bucket.written.map_or(Duration::ZERO, since);
            if age < expiry / 2 || !bucket.has_expiring() {
                continue;
            }
            if bucket.is_lost() || age >= expiry / 4 * 3 {
                hopeless = true;
            } else if bucket.is_complete() {
                self.uncommits.push(index);
                bucket.start_over();
            }
        }
        hopeless
    }
}

impl Bucket {
    fn has_expiring(&self) -> bool {
        self.iter().any(|own| own.expiring)
    }

    fn begin_sweep(&mut self, now: Instant) {
        if !self.is_complete() || self.sweep.is_some() {
            return;
        }
        let expiring = self.iter().filter(|own| own.expiring);
        let left: Vec<User> = expiring.map(|own| own.user.clone()).collect();
        if left.is_empty() {
            self.written = Some(now);
            return;
        }
        self.sweep = Some(Sweep {
            began: now,
            count: left.len(),
            spare: left.len(),
            left,
        });
    }

    /// This share of the sweep may wait.
    fn hurry(&mut self, share: f64) {
        if let Some(sweep) = &mut self.sweep {
            // Whole sessions of a share of them: it fits.
            sweep.spare = (sweep.count as f64 * share) as usize;
        }
    }

    /// Whether there is something of it to write now.
    pub(super) fn is_due(&self) -> bool {
        match &self.phase {
            Phase::Writing(_) => true,
            Phase::Complete => {
                let sweep = self.sweep.as_ref();
                sweep.is_some_and(|sweep| sweep.left.len() > sweep.spare)
            }
            Phase::Refused | Phase::Lost => false,
        }
    }

    /// What is to be written now.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<User> {
        match &mut self.phase {
            Phase::Writing(left) => {
                self.written.get_or_insert(now);
                left.pop()
            }
            Phase::Complete => {
                let sweep = self.sweep.as_mut()?;
                let due = sweep.left.len() > sweep.spare;
                let user = due.then(|| sweep.left.pop()).flatten();
                if sweep.left.is_empty() {
                    self.written = Some(sweep.began);
                    self.sweep = None;
                }
                user
            }
            Phase::Refused | Phase::Lost => None,
        }
    }
}
