use std::{collections::HashMap, sync::Arc};

use futures_util::future::join_all;
use tokio::time::sleep;

use super::{
    handle::now,
    job::eviction,
    liveness::Verdict,
    task::{MAX_BACKOFF, MIN_BACKOFF, PresenceTask},
};
use crate::message::User;

/// So many evictions wait to be sent. Beyond that they are dropped: the other node finds out when it
/// writes again.
const MOST: usize = 10_000;

/// So many are sent to a node at once.
const BATCH: usize = 256;

/// What is to be told of entries that others lost to us.
impl PresenceTask {
    /// Tells a node that one of its sessions is here now.
    pub(super) fn evict(&self, node: Arc<str>, eviction: String) {
        if *node != **self.shared.core.lock().node() {
            let mut evictions = self.shared.evictions.lock();
            if evictions.len() < MOST {
                evictions.push((node, eviction));
                self.shared.displaced.notify_one();
            }
        }
    }

    /// Tells all, where it is not known from whom the session was taken.
    pub(super) fn evict_everywhere(&self, user: &User, generation: u64) {
        let peers = self.shared.core.lock().peers(now());
        for node in peers {
            self.evict(node, eviction(user, "", generation));
        }
    }

    /// Sends them until they have arrived, while everything else goes on.
    pub(super) async fn evictions(&self) {
        loop {
            self.shared.displaced.notified().await;
            let mut backoff = MIN_BACKOFF;
            while !self.send_evictions().await {
                sleep(backoff).await;
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }
    }

    /// Sends each node some, and keeps what did not arrive; whether there is nothing left.
    pub(super) async fn send_evictions(&self) -> bool {
        let mut by_node: HashMap<Arc<str>, Vec<String>> = HashMap::new();
        for (node, eviction) in self.shared.evictions.lock().drain(..) {
            by_node.entry(node).or_default().push(eviction);
        }
        {
            let core = self.shared.core.lock();
            let now = now();
            let dead = |node: &str| {
                let verdict = core.liveness.verdict(node, now);
                matches!(verdict, Some(Verdict::Dead { .. }))
            };
            by_node.retain(|node, _| !dead(node));
        }
        let sent = by_node.into_iter().map(async |(node, evictions)| {
            for some in evictions.chunks(BATCH) {
                if self.shared.store.evict(&node, some).await.is_err() {
                    // What arrives twice does no harm.
                    let again = evictions.into_iter().map(|one| (Arc::clone(&node), one));
                    self.shared.evictions.lock().extend(again);
                    return;
                }
            }
        });
        join_all(sent).await;
        self.shared.evictions.lock().is_empty()
    }
}
