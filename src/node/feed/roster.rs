use std::{
    collections::VecDeque,
    hash::BuildHasher,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use tokio::sync::Notify;

use super::reader::{Reader, State};
use crate::presence::{Move, Movement};

/// So many sessions of one node are taken at most.
pub(super) const MOST: usize = 1_000_000;

/// So long it is remembered that a session left: an older join that comes late is none.
const REMEMBERED: Duration = Duration::from_secs(30);

/// So many of them are remembered at most.
const LEAVES: usize = 32 * 1024;

/// Who is where, by all that was told, and who is still to hear of it.
///
/// A session is on one node: on the one that told of the highest generation. Everything a node says
/// concerns only what it has itself.
pub(super) struct Roster {
    hasher: RandomState,
    /// So many sessions of one node are taken.
    most: usize,
    entries: Vec<Entry>,
    unused: Vec<u32>,
    /// Places of entries, by account and session.
    index: HashTable<u32>,
    nodes: Vec<Option<Node>>,
    /// Who left, with the generation, and when.
    left: VecDeque<(u32, u64, Instant)>,
    readers: Vec<Option<Reader>>,
}

/// A session, or one that left and is remembered.
#[derive(Default)]
struct Entry {
    /// Account and session; empty where the place is not used.
    names: Box<str>,
    generation: u64,
    account: u16,
    /// Whether it is remembered though it left.
    remembered: bool,
    /// The place of its node.
    node: Option<u16>,
    /// The last round of that node in which it came.
    round: u32,
}

/// A node that tells of its sessions.
struct Node {
    name: Arc<str>,
    sessions: usize,
    round: u32,
    /// Whether it had sessions when the round began.
    was_there: bool,
}

impl Roster {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            most: MOST,
            entries: Vec::new(),
            unused: Vec::new(),
            index: HashTable::new(),
            nodes: Vec::new(),
            left: VecDeque::new(),
            readers: Vec::new(),
        }
    }

    /// The same with room for fewer.
    #[cfg(test)]
    pub(super) fn with_room(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// One more reader, who is to hear of everybody who is there; and how it knows of news.
    pub(super) fn attach(&mut self) -> (usize, Arc<Notify>) {
        let mut reader = Reader::default();
        for (id, entry) in (0..).zip(&self.entries) {
            if entry.node.is_some() {
                reader.owe(id);
            }
        }
        let news = Arc::clone(&reader.news);
        news.notify_one();
        let free = self.readers.iter().position(Option::is_none);
        let place = free.unwrap_or(self.readers.len());
        if place == self.readers.len() {
            self.readers.push(None);
        }
        self.readers[place] = Some(reader);
        (place, news)
    }

    /// A reader goes away; with the last one everything is forgotten, which may take a while.
    pub(super) fn detach(&mut self, reader: usize) -> Option<Self> {
        self.readers[reader] = None;
        if !self.has_readers() {
            return Some(std::mem::replace(self, Self::new()));
        }
        for id in (0..).take(self.entries.len()) {
            self.forget_if_over(id);
        }
        None
    }

    pub(super) fn has_readers(&self) -> bool {
        self.readers.iter().any(Option::is_some)
    }

    /// What a reader is to hear next.
    pub(super) fn next(&mut self, reader: usize) -> Option<Movement> {
        loop {
            let reader = self.readers.get_mut(reader)?.as_mut()?;
            if let Some(movement) = reader.take_told() {
                return Some(movement);
            }
            let id = reader.take_owed()?;
            let movement = reader.settle(id, &state(&self.entries, &self.nodes, id));
            self.forget_if_over(id);
            if movement.is_some() {
                return movement;
            }
        }
    }

    /// How many movements a reader was too slow for.
    pub(super) fn missed(&self, reader: usize) -> u64 {
        let reader = self.readers.get(reader).and_then(Option::as_ref);
        reader.map_or(0, |reader| reader.missed)
    }

    /// All nodes that have told something.
    pub(super) fn nodes(&self) -> Vec<Arc<str>> {
        let nodes = self.nodes.iter().flatten();
        nodes.map(|node| Arc::clone(&node.name)).collect()
    }

    /// From here on a node tells of everybody who is there.
    pub(super) fn begin(&mut self, node: &str) {
        if let Some(node) = self.place_of(node) {
            let node = self.nodes[usize::from(node)].as_mut();
            let node = node.expect("a place that was found is used");
            node.round = node.round.wrapping_add(1);
            node.was_there = node.sessions > 0;
        }
    }

    /// By now it has: who did not come is not there.
    pub(super) fn end(&mut self, now: Instant, node: &str) {
        let Some(place) = self.place_of(node) else {
            return;
        };
        let node = self.nodes[usize::from(place)].as_ref();
        if let Some(round) = node.filter(|node| node.was_there).map(|node| node.round) {
            self.leave_where(now, place, |entry| entry.round != round);
        }
    }

    /// A node is gone, and whoever it had.
    pub(super) fn gone(&mut self, now: Instant, node: &str) {
        let place = self.nodes.iter().position(|other| is(other, node));
        let Some(place) = place.and_then(|place| u16::try_from(place).ok()) else {
            return;
        };
        self.leave_where(now, place, |_| true);
        self.nodes[usize::from(place)] = None;
    }

    /// A node tells which sessions of its own came or went; whether there was room for them.
    pub(super) fn handle(&mut self, now: Instant, node: &str, moves: &[Move]) -> bool {
        self.forget_old(now);
        let Some(place) = self.place_of(node) else {
            return false;
        };
        let mut room = true;
        for one in moves {
            if one.joined {
                room &= self.join(place, one);
            } else {
                self.leave_from(now, place, one);
            }
        }
        room
    }

    fn leave_from(&mut self, now: Instant, place: u16, one: &Move) {
        if let Some(id) = self.find(one.user.account(), one.user.session()) {
            let entry = &mut self.entries[id as usize];
            if entry.node == Some(place) && entry.generation <= one.generation {
                entry.generation = one.generation;
                self.leave(now, id);
            }
        }
    }

    fn join(&mut self, place: u16, one: &Move) -> bool {
        let (account, session) = (one.user.account(), one.user.session());
        let node = self.nodes[usize::from(place)].as_ref();
        let node = node.expect("a place that was found is used");
        let (round, full) = (node.round, node.sessions >= self.most);
        let found = self.find(account, session);
        let known = found.map(|id| &mut self.entries[id as usize]);
        let was = known.as_ref().map(|entry| (entry.node, entry.generation));
        match (known, was) {
            (Some(entry), Some((Some(other), generation))) if other == place => {
                if one.generation >= generation {
                    entry.round = round;
                }
                if one.generation <= generation {
                    return true;
                }
            }
            // Of two nodes the one with the newer connection has it.
            (_, Some((Some(_), generation))) if one.generation <= generation => return true,
            (_, Some((None, generation))) if one.generation < generation => return true,
            _ if full => return false,
            _ => {}
        }
        let id = found.unwrap_or_else(|| self.insert(account, session));
        self.count(was.and_then(|(node, _)| node), Some(place));
        let entry = &mut self.entries[id as usize];
        (entry.node, entry.round) = (Some(place), round);
        (entry.generation, entry.remembered) = (one.generation, false);
        self.tell(id);
        true
    }

    fn leave(&mut self, now: Instant, id: u32) {
        let entry = &mut self.entries[id as usize];
        let node = entry.node.take();
        entry.remembered = true;
        self.left.push_back((id, entry.generation, now));
        self.count(node, None);
        self.tell(id);
        while self.left.len() > LEAVES {
            self.forget_first();
        }
    }

    fn leave_where(&mut self, now: Instant, node: u16, over: impl Fn(&Entry) -> bool) {
        for id in (0..).take(self.entries.len()) {
            let entry = &self.entries[id as usize];
            if entry.node == Some(node) && over(entry) {
                self.leave(now, id);
            }
        }
    }

    /// A session is not on one node any more, but on another.
    fn count(&mut self, from: Option<u16>, to: Option<u16>) {
        if let Some(Some(node)) = from.map(|place| &mut self.nodes[usize::from(place)]) {
            node.sessions -= 1;
        }
        if let Some(Some(node)) = to.map(|place| &mut self.nodes[usize::from(place)]) {
            node.sessions += 1;
        }
    }

    fn tell(&mut self, id: u32) {
        let state = state(&self.entries, &self.nodes, id);
        for reader in self.readers.iter_mut().flatten() {
            reader.tell(id, &state);
        }
    }

    /// The place of a node, a new one if need be.
    fn place_of(&mut self, node: &str) -> Option<u16> {
        let found = self.nodes.iter().position(|other| is(other, node));
        let place = found.unwrap_or_else(|| {
            let free = self.nodes.iter().position(Option::is_none);
            free.unwrap_or(self.nodes.len())
        });
        let short = u16::try_from(place).ok()?;
        if place == self.nodes.len() {
            self.nodes.push(None);
        }
        self.nodes[place].get_or_insert_with(|| Node {
            name: node.into(),
            sessions: 0,
            round: 0,
            was_there: false,
        });
        Some(short)
    }

    fn find(&self, account: &str, session: &str) -> Option<u32> {
        let hash = self.hasher.hash_one((account, session));
        let entries = &self.entries;
        let same = |id: &u32| entries[*id as usize].names() == (account, session);
        self.index.find(hash, same).copied()
    }

    fn insert(&mut self, account: &str, session: &str) -> u32 {
        let entry = Entry {
            names: [account, session].concat().into(),
            account: u16::try_from(account.len()).unwrap_or(u16::MAX),
            generation: 0,
            remembered: false,
            node: None,
            round: 0,
        };
        let id = self.unused.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        });
        self.entries[id as usize] = entry;
        let (hasher, entries) = (&self.hasher, &self.entries);
        let hash = |id: &u32| hasher.hash_one(entries[*id as usize].names());
        self.index.insert_unique(hash(&id), id, hash);
        id
    }

    /// Forgets who left long ago.
    pub(super) fn forget_old(&mut self, now: Instant) {
        let old = |left: Instant| now.saturating_duration_since(left) > REMEMBERED;
        while self.left.front().is_some_and(|(_, _, left)| old(*left)) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((id, generation, _)) = self.left.pop_front()
            && let entry = &mut self.entries[id as usize]
            && entry.generation == generation
        {
            entry.remembered = false;
            self.forget_if_over(id);
        }
    }

    /// Forgets a session that left, once nobody has to hear of it.
    fn forget_if_over(&mut self, id: u32) {
        let entry = &self.entries[id as usize];
        let used = entry.node.is_some() || entry.remembered || entry.names.is_empty();
        if used || self.readers.iter().flatten().any(|one| one.minds(id)) {
            return;
        }
        let hash = self.hasher.hash_one(entry.names());
        if let Ok(found) = self.index.find_entry(hash, |other| *other == id) {
            found.remove();
        }
        self.entries[id as usize] = Entry::default();
        self.unused.push(id);
    }

    /// Account, session, node and generation of all that are there.
    #[cfg(test)]
    pub(super) fn dump(&self) -> std::collections::BTreeMap<(String, String), (String, u64)> {
        let there = self.entries.iter().filter_map(|entry| {
            let node = self.nodes[usize::from(entry.node?)].as_ref()?;
            let (account, session) = entry.names();
            let names = (account.to_owned(), session.to_owned());
            Some((names, (node.name.to_string(), entry.generation)))
        });
        there.collect()
    }

    /// How many places are in use.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.unused.len()
    }
}

impl Entry {
    fn names(&self) -> (&str, &str) {
        self.names.split_at(usize::from(self.account))
    }
}

fn is(node: &Option<Node>, name: &str) -> bool {
    node.as_ref().is_some_and(|node| *node.name == *name)
}

/// What there is to be said of an entry.
fn state<'a>(entries: &'a [Entry], nodes: &'a [Option<Node>], id: u32) -> State<'a> {
    let entry = &entries[id as usize];
    let (account, session) = entry.names();
    let node = entry
        .node
        .and_then(|place| nodes[usize::from(place)].as_ref());
    State {
        account,
        session,
        node: node.map(|node| &*node.name),
        generation: entry.generation,
    }
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roster")
            .field("sessions", &self.index.len())
            .finish_non_exhaustive()
    }
}
