use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    core::Change,
    directory::{Event, Hurry},
    handle::{Shared, now},
    job::{Job, eviction},
    keys::BUCKETS,
    liveness::Corpse,
    store::Written,
    value::Entry,
};
use crate::{config::FencedPolicy, engine::CloseReason, error::StoreError, notice::Notice};

/// From the first failure to the next attempt.
pub(super) const MIN_BACKOFF: Duration = Duration::from_millis(50);

/// The longest time between two attempts.
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// How long what is to be stored waits for others to come along.
const GATHER: Duration = Duration::from_millis(1);

/// The same where there was something to write just before: more is to come.
const GATHER_MORE: Duration = Duration::from_millis(4);

/// So long is just before.
const JUST_BEFORE: Duration = Duration::from_millis(20);

/// How long what ended waits, if nothing is to be stored. Nobody waits for it, and what is sent to it
/// meanwhile is answered by its node.
const GATHER_ENDED: Duration = Duration::from_millis(8);

/// How often there is a look for something to clear up, in leases.
const ROUND: u32 = 4;

/// The task that keeps one node's part of the directory: it renews the lease, writes what is new,
/// and clears up after the dead.
///
/// It never ends because of the store; it ends when the last handle is gone, or
/// [`finish`](super::Presence::finish) is called, after it has removed what is left.
#[must_use = "nothing is stored until `run` is polled"]
pub(crate) struct PresenceTask {
    pub(super) shared: Arc<Shared>,
}

impl PresenceTask {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) async fn run(self) {
        let mut ending = self.shared.ending.subscribe();
        tokio::select! {
            biased;
            _ = ending.wait_for(|ending| *ending) => {}
            () = self.beats() => {}
            () = self.writes() => {}
            () = self.probes() => {}
            () = self.inspections() => {}
            () = self.fences() => {}
            () = self.reaps() => {}
            () = self.evictions() => {}
        }
        self.leave().await;
    }

    async fn beats(&self) {
        let mut backoff = MIN_BACKOFF;
        loop {
            let (node, beat) = {
                let mut core = self.shared.core.lock();
                (Arc::clone(core.node()), core.beat(now()))
            };
            let table = self.shared.store.beat(&node, &beat).await;
            let (changes, wait) = {
                let mut core = self.shared.core.lock();
                match table {
                    Ok(table) => {
                        backoff = MIN_BACKOFF;
                        let changes = core.handle_table(now(), table);
                        let at_once = core.wants_beat();
                        (changes, (!at_once).then_some(self.shared.settings.lease))
                    }
                    Err(error) => {
                        *self.shared.cause.lock() = error.clone();
                        let wait = backoff;
                        backoff = (backoff * 2).min(MAX_BACKOFF);
                        (core.handle_loss(error), Some(wait))
                    }
                }
            };
            self.shared.news.notify_one();
            self.handle(changes);
            let (state, others) = self.shared.core.lock().state().among_all();
            self.shared.settings.metrics.presence(state, others);
            self.shared.beats.send_modify(|beats| *beats += 1);
            if let Some(wait) = wait {
                let hurry = self.shared.hurry.notified();
                // While the store is away, haste does not help.
                let backing_off = backoff != MIN_BACKOFF;
                tokio::select! {
                    () = sleep(wait) => {}
                    () = hurry, if !backing_off => {}
                }
            }
        }
    }

    async fn writes(&self) {
        let mut before = None;
        loop {
            self.shared.news.notified().await;
            loop {
                self.gather(before).await;
                if !self.write_batch().await {
                    break;
                }
                before = Some(Instant::now());
                if !self.shared.core.lock().directory.has_more() {
                    break;
                }
            }
        }
    }

    /// Whoever comes right behind goes along.
    async fn gather(&self, before: Option<Instant>) {
        let began = Instant::now();
        let busy = before.is_some_and(|before| began - before < JUST_BEFORE);
        loop {
            let hurry = (self.shared.core.lock().directory).hurry(self.shared.settings.batch);
            let wait = match hurry {
                Hurry::Now => return,
                Hurry::Soon if busy => GATHER_MORE,
                Hurry::Soon => GATHER,
                Hurry::Later => GATHER_ENDED,
            };
            let until = began + wait;
            if hurry == Hurry::Soon || until <= Instant::now() {
                return sleep_until(until).await;
            }
            tokio::select! {
                () = sleep_until(until) => return,
                () = self.shared.news.notified() => {}
            }
        }
    }

    /// Writes what there is, up to a batch; whether there was anything.
    async fn write_batch(&self) -> bool {
        let max = self.shared.settings.batch;
        let (node, epoch, jobs) = {
            let mut core = self.shared.core.lock();
            (
                Arc::clone(core.node()),
                core.epoch(),
                core.take_batch(now(), max),
            )
        };
        if jobs.is_empty() {
            return false;
        }
        let full = jobs.len() >= max;
        let results = self.shared.store.write(&node, &jobs).await;
        self.settle(epoch, jobs, results).await;
        if full {
            // Others use the store too.
            let rate = self.shared.settings.rate;
            sleep(Duration::from_secs(1) / rate * u32::try_from(max).unwrap_or(u32::MAX)).await;
        }
        true
    }

    async fn settle(&self, epoch: u64, jobs: Vec<Job>, results: Result<Written, StoreError>) {
        let failed = match &results {
            Ok(results) => results.iter().find_map(|result| result.as_ref().err()),
            Err(error) => Some(error),
        };
        if let Some(error) = failed {
            *self.shared.cause.lock() = error.clone();
            self.shared.trouble.notify_one();
        }
        let changes = self.shared.core.lock().settle(now(), epoch, jobs, results);
        self.handle(changes);
    }

    /// Asks for what was not reached until it is, while everything else goes on.
    async fn probes(&self) {
        loop {
            self.shared.trouble.notified().await;
            let mut backoff = MIN_BACKOFF;
            loop {
                sleep(backoff).await;
                backoff = (backoff * 2).min(MAX_BACKOFF);
                let (node, epoch, jobs) = {
                    let core = self.shared.core.lock();
                    (Arc::clone(core.node()), core.epoch(), core.take_probes())
                };
                if jobs.is_empty() {
                    break;
                }
                let results = self.shared.store.probe(&node, &jobs).await;
                self.settle(epoch, jobs, results).await;
                self.shared.news.notify_one();
            }
        }
    }

    fn handle(&self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Of(event) => self.handle_event(event),
                Change::Nonsense(what) => {
                    self.shared.notices.post(Notice::PresenceInvalid { what })
                }
                Change::Offline(error) => {
                    let error = error.to_string();
                    self.shared.notices.post(Notice::PresenceOffline { error });
                }
                Change::Online => {
                    self.shared.notices.post(Notice::PresenceOnline);
                    self.shared.arrival.notify_one();
                }
                Change::Alone => self.close_all(),
                Change::Fenced => self.shared.notices.post(Notice::PresenceFenced),
                Change::Outlived(epoch) => self.shared.outlived.store(epoch, Ordering::Relaxed),
            }
        }
    }

    fn handle_event(&self, event: Event) {
        let notices = &self.shared.notices;
        match event {
            Event::Stored(user, generation) => notices.post(Notice::Join { user, generation }),
            Event::Removed(user, generation) => notices.post(Notice::Leave { user, generation }),
            Event::Superseded(user) => (self.shared.close)(&user, CloseReason::Superseded),
            Event::Followed(user, followers) => {
                if let Some(followed) = self.shared.followed.get() {
                    followed(&user, &followers);
                }
            }
            Event::Displaced(user, other, generation) => match Entry::parse(&other) {
                Some(entry) => {
                    let eviction = eviction(&user, &entry.sid, generation);
                    self.evict(entry.node, eviction);
                }
                None => {
                    let what = format!("entry of {:?}", user.account());
                    notices.post(Notice::PresenceInvalid { what });
                }
            },
            Event::Usurped(user, generation) => self.evict_everywhere(&user, generation),
            Event::ConnectFailed(user, error) => self.shared.tell_failure(&user, &error, true),
            Event::DisconnectFailed(user, error) => self.shared.tell_failure(&user, &error, false),
        }
    }

    /// Whenever the store is reached anew: whether it is one to rely on.
    async fn inspections(&self) {
        loop {
            self.shared.arrival.notified().await;
            if let Ok(Some(policy)) = self.shared.store.lossy_setting().await {
                self.shared
                    .notices
                    .post(Notice::PresenceEviction { policy });
            }
        }
    }

    /// Closes the clients of a node that others must take for dead, if it is to.
    async fn fences(&self) {
        if self.shared.settings.fenced == FencedPolicy::Keep {
            return std::future::pending().await;
        }
        loop {
            sleep(self.shared.settings.lease / 2).await;
            if self.shared.core.lock().is_alone(now()) {
                self.close_all();
            }
        }
    }

    fn close_all(&self) {
        if self.shared.settings.fenced == FencedPolicy::Close {
            let users = self.shared.core.lock().directory.users();
            for user in users {
                (self.shared.close)(&user, CloseReason::Fenced);
            }
        }
    }

    async fn reaps(&self) {
        let mut reaped = 0;
        let mut cleared = HashSet::new();
        loop {
            sleep(self.shared.settings.lease * ROUND).await;
            let (node, settled, corpses) = {
                let core = self.shared.core.lock();
                let now = now();
                let corpses = core.liveness.corpses(now);
                let corpses: Vec<Corpse> = corpses.collect();
                (Arc::clone(core.node()), core.is_settled(now), corpses)
            };
            if !settled {
                continue;
            }
            for corpse in corpses {
                if cleared.remove(&corpse.node) {
                    drop(self.shared.store.forget(&corpse).await);
                } else if matches!(self.shared.store.claim(&node, &corpse.node).await, Ok(true))
                    && self.clear_up(&corpse).await
                {
                    // By the next round everybody has seen the row that says so.
                    cleared.insert(corpse.node);
                }
            }
            let outlived = self.shared.outlived.load(Ordering::Relaxed);
            if outlived > reaped && self.reap(&node, outlived, false).await {
                reaped = outlived;
            }
        }
    }

    /// Whether nothing of a dead node is left; otherwise the next one who comes by goes on.
    async fn clear_up(&self, corpse: &Corpse) -> bool {
        let store = &self.shared.store;
        let buried = corpse.lease.dead || matches!(store.bury(corpse).await, Ok(true));
        buried && self.reap(&corpse.node, corpse.lease.epoch, true).await
    }

    /// Removes everything that a node wrote up to an epoch; whether that is done.
    async fn reap(&self, node: &str, epoch: u64, tell: bool) -> bool {
        for bucket in 0..BUCKETS {
            let mut cursor = 0;
            loop {
                let some = self.shared.store.reap(node, epoch, bucket, cursor).await;
                let Ok((removed, next)) = some else {
                    return false;
                };
                for (user, generation) in removed {
                    if tell {
                        self.shared.notices.post(Notice::Leave { user, generation });
                    }
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        true
    }

    /// The last word comes first: with it nothing of this node counts any more, whatever becomes of
    /// the rest. Who cannot be told finds out by the lease.
    async fn leave(&self) {
        let (node, last, known) = {
            let mut core = self.shared.core.lock();
            core.directory.end();
            (Arc::clone(core.node()), core.last_lease(), core.was_known())
        };
        let time = self.shared.settings.command_timeout;
        if known {
            drop(timeout(time, self.shared.store.leave(&node, &last)).await);
        }
        let rest = async {
            self.send_evictions().await;
            while self.write_batch().await {}
        };
        drop(timeout(time, rest).await);
    }
}

impl Drop for PresenceTask {
    /// It is gone, however it went, and even if it never ran.
    fn drop(&mut self) {
        self.shared.ended.send_replace(true);
    }
}

impl std::fmt::Debug for PresenceTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresenceTask").finish_non_exhaustive()
    }
}
