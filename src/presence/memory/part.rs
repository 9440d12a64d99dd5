use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    message::User,
    presence::{
        job::{Kept, Lookup, Reply, Terms, commitment},
        keys::{member, parse_member},
        value::Entry,
    },
};

/// A first attempt that comes later than this, in microseconds, forces nothing.
const FRESH: u64 = 1_000_000;

/// One bucket of the directory.
#[derive(Default)]
pub(super) struct Part {
    marker: Option<Arc<str>>,
    /// Entries by account and session; no account without one.
    pub(super) accounts: BTreeMap<String, Account>,
    /// Under what a node has written all its part.
    written: BTreeMap<String, String>,
    /// What a node has written, as members; no node without one.
    index: BTreeMap<String, BTreeSet<String>>,
    /// Who is followed and who follows, as members, by account; no account without one.
    follows: BTreeMap<String, BTreeSet<String>>,
}

/// The entries of an account by session.
#[derive(Default)]
pub(super) struct Account {
    pub(super) sessions: BTreeMap<String, String>,
    /// When they are all gone, by the store's clock.
    pub(super) expires: Option<u64>,
}

/// What a node wants to put there.
pub(super) struct Wish {
    pub(super) epoch: u64,
    pub(super) generation: u64,
    pub(super) force: bool,
    /// The store's clock.
    pub(super) time: u64,
    pub(super) terms: Terms,
}

impl Part {
    pub(super) fn marker_or(&mut self, make: impl FnOnce() -> Arc<str>) -> Arc<str> {
        Arc::clone(self.marker.get_or_insert_with(make))
    }

    pub(super) fn entry(&self, account: &str, session: &str) -> Option<&str> {
        let value = self.accounts.get(account)?.sessions.get(session)?;
        Some(value)
    }

    pub(super) fn of_account(&self, account: &str) -> impl Iterator<Item = (String, String)> {
        let known = self.accounts.get(account).into_iter();
        let sessions = known.flat_map(|account| &account.sessions);
        sessions.map(|(session, value)| (session.clone(), value.clone()))
    }

    /// These entries, and who has written all.
    pub(super) fn lookup(&self, entries: impl IntoIterator<Item = (String, String)>) -> Lookup {
        Lookup {
            entries: entries.into_iter().collect(),
            marker: self.marker.as_deref().map(str::to_owned),
            written: self.written.clone().into_iter().collect(),
        }
    }

    pub(super) fn put(&mut self, node: &str, user: &User, wish: &Wish, marker: Arc<str>) -> Reply {
        self.expire(user.account(), wish.time);
        let other = self.entry(user.account(), user.session());
        let other = other.map(str::to_owned);
        let entry = other.as_deref().and_then(Entry::parse);
        let old = entry.as_ref().map_or(0, |entry| entry.generation);
        let here = entry.as_ref().is_some_and(|entry| &*entry.node == node);
        let mine = here && entry.is_some_and(|entry| *entry.sid == *user.sid());
        let fresh = wish.time.saturating_sub(wish.generation) < FRESH;
        let force = (wish.force && fresh) || here;
        let generation = match (mine, force) {
            (true, _) => old.max(wish.generation),
            (false, true) => wish.time.max(wish.generation).max(old.saturating_add(1)),
            (false, false) => wish.generation,
        };
        let lost = !mine && !force && old >= generation;
        let mut kept = Kept {
            listed: false,
            expiring: false,
        };
        if !lost {
            let entry = Entry {
                node: node.into(),
                epoch: wish.epoch,
                generation,
                sid: user.sid().into(),
            };
            kept = self.insert(node, user, entry.encode(), wish);
        }
        Reply::Put {
            marker,
            generation,
            other: other.filter(|_| !mine),
            lost,
            followers: self.followers(user),
            kept,
        }
    }

    fn followers(&self, user: &User) -> Vec<String> {
        let pairs = self.follows.get(user.account()).into_iter().flatten();
        let head = member(user.session(), "");
        let followers = pairs.filter_map(|pair| pair.strip_prefix(&*head));
        followers.map(str::to_owned).collect()
    }

    pub(super) fn follow(&mut self, account: &str, pairs: &[String], on: bool) {
        let all = self.follows.entry(account.to_owned()).or_default();
        for pair in pairs {
            if on {
                all.insert(pair.clone());
            } else {
                all.remove(pair);
            }
        }
        if all.is_empty() {
            self.follows.remove(account);
        }
    }

    pub(super) fn delete(&mut self, node: &str, user: &User) -> Reply {
        let entry = self.entry(user.account(), user.session());
        let entry = entry.and_then(Entry::parse);
        let here = entry.as_ref().is_some_and(|entry| &*entry.node == node);
        let mine = entry.filter(|entry| here && *entry.sid == *user.sid());
        if mine.is_some() {
            self.remove_entry(user.account(), user.session());
        }
        if mine.is_some() || !here {
            self.remove_member(node, &member(user.account(), user.session()));
        }
        Reply::Delete {
            marker: self.marker.clone(),
            generation: mine.map(|entry| entry.generation),
        }
    }

    pub(super) fn commit(&mut self, node: &str, marker: &str, epoch: u64) {
        let commitment = commitment(marker, epoch);
        self.written.insert(node.to_owned(), commitment);
    }

    pub(super) fn uncommit(&mut self, node: &str) {
        self.written.remove(node);
    }

    /// Removes what a node wrote up to an epoch.
    pub(super) fn reap(&mut self, node: &str, epoch: u64) -> Vec<(User, u64)> {
        if self
            .written
            .get(node)
            .is_some_and(|under| !outlasts(under, epoch))
        {
            self.written.remove(node);
        }
        let members = self.index.get(node).cloned().unwrap_or_default();
        let mut reaped = Vec::new();
        for member in members {
            let Some((account, session)) = parse_member(&member) else {
                continue;
            };
            let entry = self.entry(account, session).and_then(Entry::parse);
            let entry = entry.filter(|entry| &*entry.node == node);
            if entry.as_ref().is_some_and(|entry| entry.epoch > epoch) {
                continue;
            }
            if let Some(entry) = entry {
                self.remove_entry(account, session);
                reaped.push((User::new(account, session, &entry.sid), entry.generation));
            }
            self.remove_member(node, &member);
        }
        reaped
    }

    /// Removes an entry that only waits for the end of its time.
    pub(super) fn prune(&mut self, account: &str, session: &str, entry: &str) {
        let expires = self
            .accounts
            .get(account)
            .is_some_and(|account| account.expires.is_some());
        if expires && self.entry(account, session) == Some(entry) {
            self.remove_entry(account, session);
        }
    }

    /// Lets go of an account whose time is over.
    pub(super) fn expire(&mut self, account: &str, time: u64) {
        let known = self.accounts.get(account);
        let expires = known.and_then(|account| account.expires);
        if expires.is_some_and(|expires| expires <= time) {
            self.accounts.remove(account);
        }
    }

    /// Lets go of all accounts whose time is over.
    pub(super) fn expire_all(&mut self, time: u64) {
        let lasts = |expires: Option<u64>| expires.is_none_or(|expires| expires > time);
        self.accounts.retain(|_, account| lasts(account.expires));
    }

    fn insert(&mut self, node: &str, user: &User, value: String, wish: &Wish) -> Kept {
        let account = self.accounts.entry(user.account().to_owned()).or_default();
        let is_new = account.sessions.is_empty();
        account.sessions.insert(user.session().to_owned(), value);
        let Terms { listed, .. } = wish.terms;
        let until = wish
            .time
            .saturating_add(wish.terms.millis().saturating_mul(1000));
        if is_new && !listed {
            account.expires = Some(until);
        }
        account.expires = account.expires.map(|expires| expires.max(until));
        let expiring = account.expires.is_some();
        let listed = listed || !expiring;
        if listed {
            let index = self.index.entry(node.to_owned()).or_default();
            index.insert(member(user.account(), user.session()));
        }
        Kept { listed, expiring }
    }

    fn remove_entry(&mut self, account: &str, session: &str) {
        if let Some(known) = self.accounts.get_mut(account) {
            known.sessions.remove(session);
            if known.sessions.is_empty() {
                self.accounts.remove(account);
            }
        }
    }

    fn remove_member(&mut self, node: &str, member: &str) {
        if let Some(index) = self.index.get_mut(node) {
            index.remove(member);
            if index.is_empty() {
                self.index.remove(node);
            }
        }
    }
}

/// Whether what was written under a commitment is of a later epoch.
fn outlasts(commitment: &str, epoch: u64) -> bool {
    let under = commitment.rsplit_once('|');
    let under = under.and_then(|(_, epoch)| epoch.parse::<u64>().ok());
    under.is_some_and(|under| under > epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(time: u64) -> Wish {
        Wish {
            epoch: 1,
            generation: 5,
            force: true,
            time,
            terms: Terms::default(),
        }
    }

    #[test]
    fn a_first_attempt_that_comes_late_forces_nothing() {
        let (mut part, old) = (Part::default(), User::new("ann", "s", "old"));
        part.put("one", &old, &wish(10), "m".into());
        let new = User::new("ann", "s", "new");
        let late = part.put("two", &new, &wish(5 + FRESH), "m".into());
        assert!(matches!(late, Reply::Put { lost: true, .. }));
        let fresh = part.put("two", &new, &wish(4 + FRESH), "m".into());
        assert!(matches!(fresh, Reply::Put { lost: false, .. }));
    }

    #[test]
    fn who_was_displaced_leaves_no_member_behind() {
        let (mut part, old) = (Part::default(), User::new("ann", "s", "old"));
        part.put("one", &old, &wish(10), "m".into());
        let new = User::new("ann", "s", "new");
        part.put("two", &new, &wish(20), "m".into());
        part.delete("one", &old);
        assert!(!part.index.contains_key("one"));
        assert!(part.entry("ann", "s").is_some());
    }

    #[test]
    fn an_entry_that_does_not_expire_is_left_to_who_clears_up() {
        for listed in [true, false] {
            let (mut part, user) = (Part::default(), User::new("ann", "s", "sid"));
            let mut wish = wish(10);
            wish.terms.listed = listed;
            part.put("one", &user, &wish, "m".into());
            let entry = part.entry("ann", "s").unwrap().to_owned();
            part.prune("ann", "s", "another");
            assert!(part.entry("ann", "s").is_some());
            part.prune("ann", "s", &entry);
            assert_eq!(part.entry("ann", "s").is_some(), listed);
        }
    }

    #[test]
    fn a_commitment_that_makes_no_sense_is_reaped() {
        let mut part = Part::default();
        part.written.insert("one".to_owned(), "nonsense".to_owned());
        part.written.insert("two".to_owned(), "m|3".to_owned());
        part.reap("one", 1);
        part.reap("two", 2);
        assert_eq!(part.written.keys().collect::<Vec<_>>(), ["two"]);
    }
}
