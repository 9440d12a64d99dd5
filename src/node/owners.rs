use std::{
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parking_lot::Mutex;

/// How many parts the table is divided into.
const SHARDS: usize = 16;

/// So many sessions are remembered at least, and twice as many at most.
const REMEMBERED: usize = 32 * 1024;

/// Which node has a session, as far as it is known here, and what waits for the answer.
///
/// A session that is remembered may have left its node long ago: it is a guess. Of two that are for
/// the same session, what came first is sent first, whether it had to wait or not.
pub(super) struct Owners<P> {
    hasher: RandomState,
    shards: [Mutex<Shard<P>>; SHARDS],
}

/// Another node.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: Arc<str>,
    /// Until when it is taken to be alive, in milliseconds of its user's own.
    good_until: AtomicU64,
}

/// What of an account is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whom<'a> {
    /// One session, whatever it is called.
    Session(&'a str),
    /// All of them.
    All,
}

/// What is to be done for something that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Nothing: somebody asks already.
    Waits,
    /// The caller is to ask where the session is, and then to [`settle`](Owners::settle).
    Seek,
}

/// Those that were used since the last turn, those that were used before, and those that are being
/// asked for.
struct Shard<P> {
    young: HashTable<Known>,
    old: HashTable<Known>,
    sought: HashTable<Sought<P>>,
}

struct Known {
    key: Key,
    peer: Arc<Peer>,
}

struct Sought<P> {
    key: Key,
    parcels: Vec<P>,
}

/// Account and session, one after the other.
struct Key {
    names: Box<str>,
    account: usize,
    is_all: bool,
}

impl Peer {
    pub(super) const fn new(id: Arc<str>) -> Self {
        Self {
            id,
            good_until: AtomicU64::new(0),
        }
    }

    /// Whether it lives; looked at once in a while.
    pub(super) fn is_good(&self, now: u64, period: u64, lives: impl FnOnce(&str) -> bool) -> bool {
        if now < self.good_until.load(Ordering::Relaxed) {
            return true;
        }
        let lives = lives(&self.id);
        if lives {
            self.good_until.store(now + period, Ordering::Relaxed);
        }
        lives
    }
}

impl<P> Owners<P> {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            shards: std::array::from_fn(|_| Mutex::new(Shard::new())),
        }
    }

    /// The node of a session, if it is known and nothing waits for the session.
    pub(super) fn known(&self, account: &str, session: &str) -> Option<Arc<Peer>> {
        let whom = Whom::Session(session);
        let hash = self.hash(account, whom);
        let mut shard = self.shard(hash).lock();
        if shard.sought_mut(hash, account, whom).is_some() {
            return None;
        }
        shard.known(hash, account, whom, &self.hasher)
    }

    /// Lets something wait until it is known anew where it goes.
    pub(super) fn wait(&self, account: &str, whom: Whom<'_>, parcel: P) -> Way {
        let hash = self.hash(account, whom);
        let mut shard = self.shard(hash).lock();
        if let Some(sought) = shard.sought_mut(hash, account, whom) {
            sought.parcels.push(parcel);
            return Way::Waits;
        }
        shard.forget(hash, account, whom);
        let sought = Sought {
            key: Key::new(account, whom),
            parcels: vec![parcel],
        };
        let rehash = |sought: &Sought<P>| sought.key.hash(&self.hasher);
        shard.sought.insert_unique(hash, sought, rehash);
        Way::Seek
    }

    /// Whether something waits.
    pub(super) fn is_sought(&self, account: &str, whom: Whom<'_>) -> bool {
        let hash = self.hash(account, whom);
        let mut shard = self.shard(hash).lock();
        shard.sought_mut(hash, account, whom).is_some()
    }

    /// The guess was wrong.
    pub(super) fn forget(&self, account: &str, session: &str) {
        let whom = Whom::Session(session);
        let hash = self.hash(account, whom);
        self.shard(hash).lock().forget(hash, account, whom);
    }

    /// What was asked for is answered: what waited goes on, in its order, and nothing comes
    /// between. `go` must not block.
    pub(super) fn settle(
        &self,
        account: &str,
        whom: Whom<'_>,
        peer: Option<Arc<Peer>>,
        go: impl FnMut(P),
    ) {
        let hash = self.hash(account, whom);
        let mut shard = self.shard(hash).lock();
        let sought = shard
            .sought
            .find_entry(hash, |sought| sought.key.is(account, whom));
        let Ok(sought) = sought else {
            return;
        };
        let (Sought { key, parcels }, _) = sought.remove();
        parcels.into_iter().for_each(go);
        if let Some(peer) = peer {
            shard.remember(hash, Known { key, peer }, &self.hasher);
        }
    }

    fn hash(&self, account: &str, whom: Whom<'_>) -> u64 {
        self.hasher.hash_one((account, whom))
    }

    /// The table itself looks at the low and the topmost bits of a hash.
    const fn shard(&self, hash: u64) -> &Mutex<Shard<P>> {
        &self.shards[(hash >> 40) as usize % SHARDS]
    }
}

impl<P> Shard<P> {
    const fn new() -> Self {
        Self {
            young: HashTable::new(),
            old: HashTable::new(),
            sought: HashTable::new(),
        }
    }

    fn sought_mut(&mut self, hash: u64, account: &str, whom: Whom<'_>) -> Option<&mut Sought<P>> {
        let is = |sought: &Sought<P>| sought.key.is(account, whom);
        self.sought.find_mut(hash, is)
    }

    fn known(
        &mut self,
        hash: u64,
        account: &str,
        whom: Whom<'_>,
        hasher: &RandomState,
    ) -> Option<Arc<Peer>> {
        let is = |known: &Known| known.key.is(account, whom);
        if let Some(known) = self.young.find(hash, is) {
            return Some(Arc::clone(&known.peer));
        }
        let (known, _) = self.old.find_entry(hash, is).ok()?.remove();
        let peer = Arc::clone(&known.peer);
        self.remember(hash, known, hasher);
        Some(peer)
    }

    fn remember(&mut self, hash: u64, known: Known, hasher: &RandomState) {
        if self.young.len() >= REMEMBERED / SHARDS {
            self.old = std::mem::take(&mut self.young);
        }
        let rehash = |known: &Known| known.key.hash(hasher);
        self.young.insert_unique(hash, known, rehash);
    }

    fn forget(&mut self, hash: u64, account: &str, whom: Whom<'_>) {
        for table in [&mut self.young, &mut self.old] {
            let is = |known: &Known| known.key.is(account, whom);
            if let Ok(known) = table.find_entry(hash, is) {
                known.remove();
            }
        }
    }
}

impl Key {
    fn new(account: &str, whom: Whom<'_>) -> Self {
        let (session, is_all) = match whom {
            Whom::Session(session) => (session, false),
            Whom::All => ("", true),
        };
        Self {
            names: [account, session].concat().into(),
            account: account.len(),
            is_all,
        }
    }

    fn is(&self, account: &str, whom: Whom<'_>) -> bool {
        self.parts() == (account, whom)
    }

    fn parts(&self) -> (&str, Whom<'_>) {
        let (account, session) = self.names.split_at(self.account);
        let whom = match self.is_all {
            true => Whom::All,
            false => Whom::Session(session),
        };
        (account, whom)
    }

    fn hash(&self, hasher: &RandomState) -> u64 {
        hasher.hash_one(self.parts())
    }
}

impl<P> std::fmt::Debug for Owners<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owners").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: &str) -> Arc<Peer> {
        Arc::new(Peer::new(id.into()))
    }

    fn node(owners: &Owners<u8>, account: &str, session: &str) -> Option<String> {
        let known = owners.known(account, session);
        known.map(|peer| peer.id.as_ref().to_owned())
    }

    #[test]
    fn what_came_first_goes_first() {
        let owners = Owners::new();
        assert_eq!(owners.wait("ann", Whom::Session("s"), 1), Way::Seek);
        assert_eq!(owners.wait("ann", Whom::Session("s"), 2), Way::Waits);
        assert!(owners.is_sought("ann", Whom::Session("s")));
        let mut gone = Vec::new();
        owners.settle("ann", Whom::Session("s"), Some(peer("n")), |parcel| {
            gone.push(parcel)
        });
        assert_eq!(gone, [1, 2]);
        assert_eq!(node(&owners, "ann", "s").as_deref(), Some("n"));
        assert!(!owners.is_sought("ann", Whom::Session("s")));
    }

    #[test]
    fn nothing_overtakes_what_waits() {
        let owners = Owners::new();
        owners.wait("ann", Whom::Session("s"), 1);
        owners.settle("ann", Whom::Session("s"), Some(peer("n")), drop);
        owners.wait("ann", Whom::Session("s"), 2);
        assert_eq!(node(&owners, "ann", "s"), None);
    }

    #[test]
    fn who_was_not_found_is_asked_for_again() {
        let owners = Owners::new();
        for _ in 0..2 {
            assert_eq!(owners.wait("ann", Whom::Session("s"), 1), Way::Seek);
            owners.settle("ann", Whom::Session("s"), None, drop);
            assert_eq!(node(&owners, "ann", "s"), None);
        }
    }

    #[test]
    fn a_wrong_guess_is_forgotten() {
        let owners = Owners::new();
        owners.wait("ann", Whom::Session("s"), 1);
        owners.settle("ann", Whom::Session("s"), Some(peer("n")), drop);
        assert!(node(&owners, "ann", "s").is_some());
        owners.forget("ann", "s");
        assert_eq!(node(&owners, "ann", "s"), None);
    }

    #[test]
    fn a_guess_is_not_trusted_again_once_it_is_asked_for() {
        let owners = Owners::new();
        owners.wait("ann", Whom::Session("s"), 1);
        owners.settle("ann", Whom::Session("s"), Some(peer("n")), drop);
        assert_eq!(owners.wait("ann", Whom::Session("s"), 2), Way::Seek);
        owners.settle("ann", Whom::Session("s"), None, drop);
        assert_eq!(node(&owners, "ann", "s"), None);
    }

    #[test]
    fn a_wrong_guess_is_forgotten_however_old_it_is() {
        let owners = Owners::new();
        let learn = |name: &str| {
            owners.wait("ann", Whom::Session(name), 1);
            owners.settle("ann", Whom::Session(name), Some(peer("n")), drop);
        };
        let old = |owners: &Owners<u8>| {
            let shards = owners.shards.iter().map(|shard| shard.lock().old.len());
            shards.sum::<usize>()
        };
        learn("s");
        let mut number = 0;
        while old(&owners) < REMEMBERED {
            learn(&number.to_string());
            number += 1;
        }
        owners.forget("ann", "s");
        assert_eq!(node(&owners, "ann", "s"), None);
    }

    #[test]
    fn names_do_not_run_into_each_other() {
        let owners = Owners::new();
        assert_eq!(owners.wait("a", Whom::Session("bc"), 1), Way::Seek);
        assert_eq!(owners.wait("ab", Whom::Session("c"), 1), Way::Seek);
    }

    #[test]
    fn who_has_no_name_is_not_everybody() {
        let owners = Owners::new();
        assert_eq!(owners.wait("ann", Whom::All, 1), Way::Seek);
        assert_eq!(owners.wait("ann", Whom::Session(""), 2), Way::Seek);
        let mut gone = Vec::new();
        owners.settle("ann", Whom::All, None, |parcel| gone.push(parcel));
        assert_eq!(gone, [1]);
    }

    #[test]
    fn it_is_bounded_and_who_is_used_stays() {
        let owners = Owners::new();
        let learn = |name: &str| {
            if owners.known("ann", name).is_none() {
                owners.wait("ann", Whom::Session(name), 1);
                owners.settle("ann", Whom::Session(name), Some(peer("n")), drop);
            }
        };
        for number in 0..REMEMBERED * 4 {
            learn(&number.to_string());
            learn("used");
        }
        let all = owners.shards.iter().map(|shard| {
            let shard = shard.lock();
            shard.young.len() + shard.old.len()
        });
        let all: usize = all.sum();
        assert!((REMEMBERED..=REMEMBERED * 2).contains(&all), "{all}");
        assert!(node(&owners, "ann", "used").is_some());
        assert!(node(&owners, "ann", "0").is_none());
    }

    #[test]
    fn a_node_is_looked_at_once_in_a_while() {
        let peer = peer("n");
        assert!(peer.is_good(5, 10, |_| true));
        assert!(peer.is_good(14, 10, |_| unreachable!()));
        assert!(!peer.is_good(15, 10, |_| false));
        assert!(!peer.is_good(15, 10, |_| false));
        assert!(peer.is_good(15, 10, |_| true));
    }
}
