use std::{
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};
use parking_lot::RwLock;
use tokio::sync::Notify;

use super::Connection;
use crate::message::User;
#[cfg(feature = "testing")]
use crate::{engine::CloseReason, message::Outlet as _};

/// How many parts each index is divided into; a power of two.
const SHARDS: usize = 32;

/// The connections of one node, by socket id and by account.
///
/// Entries are the connections themselves: a key is read from the connection, so that an entry
/// costs a pointer or two.
pub(crate) struct Registry {
    hasher: RandomState,
    by_sid: [RwLock<HashTable<Arc<Connection>>>; SHARDS],
    by_account: [RwLock<HashTable<Sessions>>; SHARDS],
    /// Connections whose socket id is known, those that are saying goodbye included.
    known: AtomicUsize,
    empty: Notify,
    /// Nobody new is wanted.
    closing: AtomicBool,
    closes: Notify,
    /// Over how many milliseconds those who are here leave.
    spread: AtomicU64,
    /// Nobody says goodbye either.
    killed: AtomicBool,
}

/// The sessions of one account; never empty while in the index.
struct Sessions {
    /// Anyone of the account.
    of: User,
    open: Open,
}

enum Open {
    One(Arc<Connection>),
    Many(HashTable<Arc<Connection>>),
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            by_sid: std::array::from_fn(|_| RwLock::default()),
            by_account: std::array::from_fn(|_| RwLock::default()),
            known: AtomicUsize::new(0),
            empty: Notify::new(),
            closing: AtomicBool::new(false),
            closes: Notify::new(),
            spread: AtomicU64::new(0),
            killed: AtomicBool::new(false),
        }
    }

    /// Adds a connection and gives back the one of the same session that it takes the place of.
    pub(crate) fn insert(&self, connection: &Arc<Connection>) -> Option<Arc<Connection>> {
        let sid = self.hash(connection.user().sid());
        self.known.fetch_add(1, Ordering::Relaxed);
        self.by_sid[shard(sid)]
            .write()
            .insert_unique(sid, Arc::clone(connection), |entry| self.sid_hash(entry));
        let account = self.hash(connection.user().account());
        let mut accounts = self.by_account[shard(account)].write();
        let entry = accounts.entry(
            account,
            |sessions| sessions.account() == connection.user().account(),
            |sessions| self.hash(sessions.account()),
        );
        match entry {
            Entry::Occupied(mut sessions) => sessions.get_mut().insert(connection, &self.hasher),
            Entry::Vacant(place) => {
                place.insert(Sessions::of(connection));
                None
            }
        }
    }

    /// Takes a connection out of its account, unless a newer one has its place.
    pub(crate) fn leave_account(&self, connection: &Arc<Connection>) {
        let account = self.hash(connection.user().account());
        let mut accounts = self.by_account[shard(account)].write();
        let found = accounts.find_entry(account, |sessions| {
            sessions.account() == connection.user().account()
        });
        if let Ok(mut sessions) = found
            && sessions.get_mut().remove(connection, &self.hasher)
        {
            sessions.remove();
        }
    }

    /// From now on the socket id is unknown.
    pub(crate) fn forget_sid(&self, connection: &Arc<Connection>) {
        let sid = self.hash(connection.user().sid());
        let mut sids = self.by_sid[shard(sid)].write();
        if let Ok(found) = sids.find_entry(sid, |entry| Arc::ptr_eq(entry, connection)) {
            found.remove();
            self.leave();
        }
    }

    fn leave(&self) {
        if self.known.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.empty.notify_waiters();
        }
    }

    /// Somebody whose connection is another node's; until it is dropped, this node is not empty.
    pub(crate) fn guest(self: &Arc<Self>) -> Guest {
        self.known.fetch_add(1, Ordering::Relaxed);
        Guest(Arc::clone(self))
    }

    /// As [`begin_close`](Self::begin_close), for those who leave one by one over such a time.
    pub(crate) fn begin_close_over(&self, spread: Duration) {
        let millis = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        self.spread.store(millis, Ordering::Release);
        self.begin_close();
    }

    /// Over what time those who are here leave, once nobody new is wanted.
    pub(crate) fn spread(&self) -> Duration {
        Duration::from_millis(self.spread.load(Ordering::Acquire))
    }

    /// From now on nobody new is wanted. Who is added all the same, because it was on its way,
    /// either is visited by a later [`for_each`](Self::for_each) or finds this out.
    pub(crate) fn begin_close(&self) {
        self.closing.store(true, Ordering::Release);
        self.closes.notify_waiters();
    }

    /// Whether nobody new is wanted.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Ready when nobody new is wanted.
    pub(crate) async fn closing(&self) {
        loop {
            let closes = self.closes.notified();
            if self.is_closing() {
                return;
            }
            closes.await;
        }
    }

    /// From now on connections end as they do when the process is killed.
    #[cfg(feature = "testing")]
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.begin_close();
        self.for_each(|connection| connection.close(CloseReason::Shutdown));
    }

    /// Whether connections end without a goodbye.
    pub(super) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// Ready when the last connection has said goodbye.
    pub(crate) async fn emptied(&self) {
        loop {
            let empty = self.empty.notified();
            if self.known.load(Ordering::Acquire) == 0 {
                return;
            }
            empty.await;
        }
    }

    pub(crate) fn by_sid(&self, sid: &str) -> Option<Arc<Connection>> {
        let hash = self.hash(sid);
        self.by_sid[shard(hash)]
            .read()
            .find(hash, |entry| entry.user().sid() == sid)
            .cloned()
    }

    pub(crate) fn session(&self, account: &str, session: &str) -> Option<Arc<Connection>> {
        let hash = self.hash(account);
        let accounts = self.by_account[shard(hash)].read();
        let sessions = accounts.find(hash, |sessions| sessions.account() == account)?;
        sessions.find(session, &self.hasher).cloned()
    }

    /// Every connection of an account.
    pub(crate) fn account(&self, account: &str) -> Vec<Arc<Connection>> {
        let hash = self.hash(account);
        let accounts = self.by_account[shard(hash)].read();
        accounts
            .find(hash, |sessions| sessions.account() == account)
            .map(|sessions| sessions.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Visits every connection, one part of the index after the other. What comes or goes
    /// meanwhile may be visited or not; no lock is held during a visit.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Arc<Connection>)) {
        let mut part = Vec::new();
        for shard in &self.by_account {
            part.extend(shard.read().iter().flat_map(Sessions::iter).cloned());
            part.drain(..).for_each(|connection| visit(&connection));
        }
    }

    /// How many connections are open.
    pub(crate) fn len(&self) -> usize {
        let shards = self.by_account.iter();
        shards
            .map(|shard| shard.read().iter().map(Sessions::len).sum::<usize>())
            .sum()
    }

    fn hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }

    fn sid_hash(&self, connection: &Arc<Connection>) -> u64 {
        self.hash(connection.user().sid())
    }
}

/// See [`Registry::guest`].
pub(crate) struct Guest(Arc<Registry>);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("len", &self.len())
            .finish()
    }
}

/// The table itself looks at the low and the topmost bits of a hash.
const fn shard(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

fn session_hash(connection: &Arc<Connection>, hasher: &RandomState) -> u64 {
    hasher.hash_one(connection.user().session())
}

impl Sessions {
    fn of(connection: &Arc<Connection>) -> Self {
        Self {
            of: connection.user().clone(),
            open: Open::One(Arc::clone(connection)),
        }
    }

    fn account(&self) -> &str {
        self.of.account()
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<Connection>> {
        let (one, many) = match &self.open {
            Open::One(one) => (Some(one), None),
            Open::Many(many) => (None, Some(many.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    fn len(&self) -> usize {
        match &self.open {
            Open::One(_) => 1,
            Open::Many(many) => many.len(),
        }
    }

    fn find(&self, session: &str, hasher: &RandomState) -> Option<&Arc<Connection>> {
        match &self.open {
            Open::One(one) => Some(one).filter(|one| one.user().session() == session),
            Open::Many(many) => many.find(hasher.hash_one(session), |entry| {
                entry.user().session() == session
            }),
        }
    }

    fn insert(
        &mut self,
        connection: &Arc<Connection>,
        hasher: &RandomState,
    ) -> Option<Arc<Connection>> {
        if let Open::One(one) = &mut self.open {
            if one.user().session() == connection.user().session() {
                return Some(std::mem::replace(one, Arc::clone(connection)));
            }
            let mut many = HashTable::with_capacity(2);
            let hash = session_hash(one, hasher);
            many.insert_unique(hash, Arc::clone(one), |entry| session_hash(entry, hasher));
            self.open = Open::Many(many);
        }
        let Open::Many(many) = &mut self.open else {
            return None;
        };
        let entry = many.entry(
            session_hash(connection, hasher),
            |entry| entry.user().session() == connection.user().session(),
            |entry| session_hash(entry, hasher),
        );
        match entry {
            Entry::Occupied(mut older) => {
                Some(std::mem::replace(older.get_mut(), Arc::clone(connection)))
            }
            Entry::Vacant(place) => {
                place.insert(Arc::clone(connection));
                None
            }
        }
    }

    /// Removes the connection if it is here; gives back whether nothing is left.
    fn remove(&mut self, connection: &Arc<Connection>, hasher: &RandomState) -> bool {
        match &mut self.open {
            Open::One(one) => Arc::ptr_eq(one, connection),
            Open::Many(many) => {
                let hash = session_hash(connection, hasher);
                if let Ok(found) = many.find_entry(hash, |entry| Arc::ptr_eq(entry, connection)) {
                    found.remove();
                }
                many.is_empty()
            }
        }
    }
}
