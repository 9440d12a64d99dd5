mod judge;
mod nodes;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    directory::{Directory, Event},
    job::{Beat, Job, Reply, Table, parse_eviction},
    keys::BUCKETS,
    liveness::{Liveness, Periods},
    types::PresenceState,
    value::Lease,
};
use crate::{error::StoreError, message::User, reach::Reach};

/// How many buckets are looked at with each heartbeat where some can be lost alone.
pub(super) const CHECKS: u8 = 16;

/// After so many heartbeats what was refused is tried again.
const RETRY: u64 = 10;

/// What the task is to do beside writing.
#[derive(Debug)]
pub(super) enum Change {
    Of(Event),
    /// What was read makes no sense and is ignored: the key, or what it stands for.
    Nonsense(String),
    Offline(StoreError),
    Online,
    /// Others declared this node dead while its clients were connected.
    Fenced,
    /// They did, or must have been about to; not that the store lost what it knew of us.
    Alone,
    /// What this node wrote up to this epoch is to be cleared up.
    Outlived(u64),
}

/// One node's part of presence, without a clock and without a store.
#[derive(Debug)]
pub(super) struct Core {
    node: Arc<str>,
    epoch: u64,
    seq: u64,
    /// Whether our row stands in the lease table.
    registered: bool,
    /// Whether it ever did.
    began: bool,
    /// Whether the store was reached at the last attempt, once there was one.
    online: Option<bool>,
    next_check: u8,
    checks: u8,
    /// When the store was last reached.
    reached: Option<Instant>,
    alone_after: Duration,
    /// What an epoch that ended leaves to do.
    pending: Vec<Change>,
    /// Somebody asked for a node that is not known yet.
    stranger: bool,
    /// How others reach us.
    pub(super) reach: Option<Arc<Reach>>,
    /// The node takes no more clients.
    pub(super) draining: bool,
    pub(super) directory: Directory,
    pub(super) liveness: Liveness,
}

impl Core {
    pub(super) fn new(node: &str, periods: Periods, max_deletes: usize, expiry: Duration) -> Self {
        let mut liveness = Liveness::new(periods);
        liveness.set_expiry(expiry);
        Self {
            node: node.into(),
            epoch: 1,
            seq: 0,
            registered: false,
            began: false,
            online: None,
            next_check: 0,
            checks: CHECKS,
            reached: None,
            alone_after: periods
                .suspect
                .max(periods.dead.saturating_sub(periods.lease)),
            pending: Vec::new(),
            stranger: false,
            draining: false,
            reach: None,
            directory: Directory::new(max_deletes, expiry),
            liveness,
        }
    }

    /// How many buckets are looked at with each heartbeat; a divisor of their number.
    pub(super) const fn set_checks(&mut self, checks: u8) {
        self.checks = checks;
    }

    pub(super) const fn node(&self) -> &Arc<str> {
        &self.node
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn state(&self) -> PresenceState {
        if self.online == Some(false) {
            PresenceState::Offline
        } else if self.registered && self.directory.is_complete() {
            PresenceState::Synced
        } else {
            PresenceState::Syncing
        }
    }

    /// Whether the store ever heard of this node.
    pub(super) const fn was_known(&self) -> bool {
        self.began
    }

    /// Whether others take this node for dead by now, as far as it knows.
    pub(super) fn is_alone(&self, now: Instant) -> bool {
        self.reached
            .is_some_and(|reached| now.saturating_duration_since(reached) >= self.alone_after)
    }

    /// All other nodes that are not dead.
    pub(super) fn peers(&self, now: Instant) -> Vec<Arc<str>> {
        let present = self.liveness.present(now);
        present.map(|(node, _, _)| Arc::clone(node)).collect()
    }

    const fn is_online(&self) -> bool {
        matches!(self.online, Some(true))
    }

    /// Whether the next heartbeat is due at once.
    pub(super) const fn wants_beat(&self) -> bool {
        self.is_online() && !self.registered
    }

    /// The next heartbeat. It does not vouch for what may have expired.
    pub(super) fn beat(&mut self, now: Instant) -> Beat {
        if self.directory.fall_behind(now) && self.registered {
            self.begin_epoch();
        }
        self.directory.sweep(now);
        self.seq += 1;
        Beat {
            lease: self.lease(false),
            register: !self.registered,
        }
    }

    /// The row of a node that goes away.
    pub(super) fn last_lease(&self) -> Lease {
        self.lease(true)
    }

    fn lease(&self, dead: bool) -> Lease {
        Lease {
            epoch: self.epoch,
            seq: self.seq,
            dead,
            draining: self.draining && !dead,
            sessions: u64::try_from(self.directory.len()).unwrap_or(0),
            reach: self.reach.clone(),
            rest: None,
        }
    }

    pub(super) fn handle_table(&mut self, now: Instant, table: Table) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.pending);
        self.directory.set_clock(now, table.time);
        if self.online.replace(true) != Some(true) {
            if self.began {
                self.directory.doubt();
                self.liveness.unsettle();
            }
            changes.push(Change::Online);
        }
        if table.buried || self.is_alone(now) {
            self.directory.raise();
            changes.push(Change::Alone);
        }
        self.reached = Some(now);
        let expected = std::mem::replace(&mut self.registered, true);
        if expected && !table.known {
            self.begin_epoch();
            changes.push(Change::Fenced);
        } else if self.directory.take_overflow() {
            self.begin_epoch();
        }
        changes.append(&mut self.pending);
        self.began = true;
        let (mut rows, mut strange) = (Vec::with_capacity(table.leases.len()), Vec::new());
        for (node, row) in table.leases {
            if *node == *self.node {
                continue;
            }
            match Lease::parse(&row) {
                Some(lease) => rows.push((Arc::from(node), lease)),
                None => strange.push((node, row)),
            }
        }
        self.liveness.handle_table(now, table.known, rows);
        let news = self.liveness.handle_strange(strange).into_iter();
        changes.extend(news.map(|node| Change::Nonsense(format!("lease of {node:?}"))));
        for eviction in table.evictions {
            changes.extend(self.evicted(&eviction));
        }
        self.next_checks();
        changes
    }

    fn evicted(&mut self, eviction: &str) -> Option<Change> {
        let Some((account, session, sid, generation)) = parse_eviction(eviction) else {
            return Some(Change::Nonsense("eviction".to_owned()));
        };
        let user = User::new(account, session, sid);
        let ours = self.directory.evict(&user, generation);
        ours.map(|user| Change::Of(Event::Superseded(user)))
    }

    fn begin_epoch(&mut self) {
        self.pending.push(Change::Outlived(self.epoch));
        self.epoch += 1;
        self.registered = false;
        self.directory.begin_epoch();
    }

    fn next_checks(&mut self) {
        let next = self.next_check;
        self.next_check = (next + self.checks) % BUCKETS;
        self.directory.check(next..next + self.checks);
        if self.seq.is_multiple_of(RETRY) {
            self.directory.retry_refused();
        }
    }

    /// The store was not reached. What is under way is in doubt until it is again.
    pub(super) fn handle_loss(&mut self, error: StoreError) -> Vec<Change> {
        if self.online.replace(false) == Some(false) {
            return Vec::new();
        }
        let failed = self.directory.release_waiters().into_iter();
        let failed = failed.map(|user| Change::Of(Event::ConnectFailed(user, error.clone())));
        let mut changes: Vec<Change> = failed.collect();
        changes.push(Change::Offline(error));
        changes
    }

    /// What is to be written; nothing while the store does not know us.
    pub(super) fn take_batch(&mut self, now: Instant, max: usize) -> Vec<Job> {
        if !self.is_online() || !self.registered {
            return Vec::new();
        }
        self.directory.take_batch(now, self.epoch, max)
    }

    /// What is to be asked of buckets whose server was not reached, beside the other batches.
    pub(super) fn take_probes(&self) -> Vec<Job> {
        self.directory.take_probes()
    }

    /// Whether the store of an account was not reached at the last attempt.
    pub(super) fn is_away(&self, account: &str) -> bool {
        self.online == Some(false) || self.directory.has_lost(account)
    }

    pub(super) fn settle(
        &mut self,
        now: Instant,
        epoch: u64,
        jobs: Vec<Job>,
        results: Result<Vec<Result<Reply, StoreError>>, StoreError>,
    ) -> Vec<Change> {
        let mut events = Vec::new();
        let mut changes = Vec::new();
        match results {
            // What was written under an older epoch does not count.
            Ok(_) if epoch != self.epoch => {}
            Ok(results) => {
                for (job, result) in jobs.into_iter().zip(results) {
                    self.directory.settle(job, result, now, &mut events);
                }
            }
            Err(error) => {
                self.directory.give_up(jobs, &error, &mut events);
                changes.extend(self.handle_loss(error));
            }
        }
        changes.extend(events.into_iter().map(Change::Of));
        changes
    }

    /// Whether the table of nodes can be relied on.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        self.is_online() && self.liveness.is_settled(now)
    }

    /// Whether reading the table now would answer what was asked; says so once.
    pub(super) fn met_stranger(&mut self) -> bool {
        std::mem::take(&mut self.stranger)
    }
}
