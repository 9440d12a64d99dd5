use std::{
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::{Mutex, MutexGuard};

use super::exchange::Exchange;

/// An exchange behind its lock; beside it what its queue costs, for whoever looks at every message.
pub(super) struct Shared {
    exchange: Mutex<Exchange>,
    cost: AtomicUsize,
}

impl Shared {
    pub(super) const fn new(exchange: Exchange) -> Self {
        Self {
            exchange: Mutex::new(exchange),
            cost: AtomicUsize::new(0),
        }
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        Locked {
            exchange: self.exchange.lock(),
            cost: &self.cost,
        }
    }

    /// What the queue cost when somebody last had the lock. Others may have it now; but whoever
    /// changed the queue and then woke the task is seen by it.
    #[inline]
    pub(super) fn queue_cost(&self) -> usize {
        self.cost.load(Ordering::Relaxed)
    }
}

/// An exchange for one alone.
pub(super) struct Locked<'a> {
    exchange: MutexGuard<'a, Exchange>,
    cost: &'a AtomicUsize,
}

impl Deref for Locked<'_> {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.exchange
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Exchange {
        &mut self.exchange
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.cost
            .store(self.exchange.queue_cost(), Ordering::Relaxed);
    }
}
