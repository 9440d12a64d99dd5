use std::{
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parking_lot::RwLock;

use crate::message::{Message, User};

/// What follows one session.
pub(crate) trait Tail: Send + Sync {
    /// The session that is followed.
    fn head(&self) -> (&str, &str);

    /// Hears a message that was validated. It must not wait.
    fn hear(&self, message: &Message);
}

/// The sessions of a node that are followed.
#[derive(Default)]
pub(crate) struct Tails {
    count: AtomicUsize,
    hasher: RandomState,
    all: RwLock<HashTable<Arc<dyn Tail>>>,
}

impl Tails {
    /// Whether a session is followed. Where none is, it costs nothing.
    pub(super) fn has(&self, user: &User) -> bool {
        self.count.load(Ordering::SeqCst) > 0 && self.get(user.account(), user.session()).is_some()
    }

    pub(crate) fn get(&self, account: &str, session: &str) -> Option<Arc<dyn Tail>> {
        let hash = self.hasher.hash_one((account, session));
        let all = self.all.read();
        all.find(hash, |tail| tail.head() == (account, session))
            .cloned()
    }

    /// The session is not followed yet.
    pub(crate) fn insert(&self, tail: Arc<dyn Tail>) {
        let mut all = self.all.write();
        let hash = self.hasher.hash_one(tail.head());
        all.insert_unique(hash, tail, |tail| self.hasher.hash_one(tail.head()));
        self.count.store(all.len(), Ordering::SeqCst);
    }

    pub(crate) fn remove(&self, account: &str, session: &str) {
        let mut all = self.all.write();
        let hash = self.hasher.hash_one((account, session));
        if let Ok(tail) = all.find_entry(hash, |tail| tail.head() == (account, session)) {
            tail.remove();
        }
        self.count.store(all.len(), Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Tails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tails")
            .field("len", &self.all.read().len())
            .finish()
    }
}
