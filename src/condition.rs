//! Whether the nodes of one process reach what they share in place of Redis.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use crate::error::StoreError;

/// How it stands with a store, or with a node that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(any(test, feature = "testing")),
    expect(dead_code, reason = "only tests know misfortune")
)]
pub(crate) enum Condition {
    Well,
    /// Nothing comes of anything until it is well again.
    Stalled,
    /// It is not there.
    Away,
}

/// Where a [`Condition`] is set and heard of.
#[derive(Clone, Debug)]
pub(crate) struct Switch(Arc<watch::Sender<Condition>>);

/// One node's way to what all share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    store: Switch,
    node: Switch,
}

impl Switch {
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn set(&self, condition: Condition) {
        self.0.send_replace(condition);
    }

    /// Sets it if it is as said.
    #[cfg(feature = "testing")]
    pub(crate) fn replace(&self, from: Condition, to: Condition) {
        self.0.send_if_modified(|condition| {
            let is = *condition == from;
            if is {
                *condition = to;
            }
            is
        });
    }

    fn check(&self) -> Result<(), StoreError> {
        match *self.0.borrow() {
            Condition::Well | Condition::Stalled => Ok(()),
            Condition::Away => Err(StoreError::Unreachable("away".into())),
        }
    }

    /// Ready when it is not stalled.
    async fn answer(&self) -> Result<(), StoreError> {
        let mut condition = self.0.subscribe();
        let stalled = |condition: &Condition| *condition == Condition::Stalled;
        // An error says that nobody can set it any more.
        drop(condition.wait_for(|condition| !stalled(condition)).await);
        self.check()
    }
}

impl Default for Switch {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Condition::Well)))
    }
}

impl Access {
    /// The way of another node to the same.
    pub(crate) fn of_another(&self) -> Self {
        Self {
            store: self.store.clone(),
            node: Switch::default(),
        }
    }

    /// The condition of what is shared.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) const fn store(&self) -> &Switch {
        &self.store
    }

    /// The condition of the node.
    #[cfg(feature = "testing")]
    pub(crate) const fn node(&self) -> &Switch {
        &self.node
    }

    /// Ready when what is shared answers this node. A node that is stopped waits as long as it is,
    /// and sees only then what came.
    pub(crate) async fn answer(&self, patience: Duration) -> Result<(), StoreError> {
        self.node.answer().await?;
        let answer = timeout(patience, self.store.answer()).await;
        self.node.answer().await?;
        answer.unwrap_or_else(|_| Err(StoreError::Unreachable("no answer in time".into())))
    }

    /// Whether it would answer at all.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.node.check().and_then(|()| self.store.check())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_stalled_store_costs_patience() {
        let access = Access::default();
        access.store().set(Condition::Stalled);
        let start = Instant::now();
        assert!(access.answer(PATIENCE).await.is_err());
        assert_eq!(start.elapsed(), PATIENCE);
        access.store().set(Condition::Well);
        assert_eq!(access.answer(PATIENCE).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_node_waits_until_it_goes_on() {
        let access = Access::default();
        let other = access.of_another();
        access.node.set(Condition::Stalled);
        let waiting = tokio::spawn({
            let access = access.clone();
            async move { access.answer(PATIENCE).await }
        });
        sleep(PATIENCE * 5).await;
        assert!(!waiting.is_finished());
        assert_eq!(other.answer(PATIENCE).await, Ok(()));
        access.node.set(Condition::Well);
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_away_says_so_at_once() {
        let access = Access::default();
        access.node.set(Condition::Away);
        let start = Instant::now();
        assert!(access.answer(PATIENCE).await.is_err());
        assert!(access.check().is_err());
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
