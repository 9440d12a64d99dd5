use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::{
    Call, Refused, Unreached,
    batch::Kind,
    entry::{self, Answered},
    inboxes::{Appended, Failed},
    peer::{Peer, Waiter},
};
use crate::presence::Life;

/// What nobody waits for is dropped after it has waited that long itself.
const POST_WAITS: Duration = Duration::from_secs(10);

/// Answers are taken beyond the backlog, up to so many times as much.
const ANSWERS: usize = 2;

/// The most that an answer takes.
const ANSWER: usize = 64;

/// What waits for a node leaves in entries of so many bytes at most, so that an inbox that is nearly
/// full, or small, takes some of it. A larger item has an entry of its own.
const ENTRY: usize = 1024 * 1024;

/// How often a node that is written to is asked about whether it lives.
const LOOK: Duration = Duration::from_millis(200);

/// What is known of another node is forgotten when it is gone, and after that time.
const FORGET: Duration = Duration::from_secs(600);

/// What there is to be thought of a node.
pub(super) type Lives<'a> = &'a dyn Fn(&str) -> Life;

/// One node's calls to the others, without a clock and without a transport.
///
/// A destination has one entry under way at most; what comes meanwhile waits, and leaves with
/// the next, as much as one entry takes.
#[derive(Debug)]
pub(super) struct Core {
    node: Arc<str>,
    backlog: usize,
    /// The most that an entry takes.
    entry: usize,
    peers: HashMap<Arc<str>, Peer, RandomState>,
    next_call: u64,
    /// Who was written to while nobody looked after it.
    ready: Vec<Arc<str>>,
    /// No number from here on was used for a node that is forgotten.
    floor: u64,
    closing: bool,
}

/// How it goes on after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// What waits may leave now.
    Next,
    /// Its inbox is full, which was not so before.
    Full,
    /// There is nothing to do before some time has passed.
    BackOff,
}

impl Core {
    pub(super) fn new(node: &str, backlog: usize) -> Self {
        Self {
            node: node.into(),
            backlog,
            entry: ENTRY,
            peers: HashMap::default(),
            next_call: 1,
            ready: Vec::new(),
            floor: 1,
            closing: false,
        }
    }

    /// The same with other entries.
    #[cfg(test)]
    pub(super) fn with_entry(self, entry: usize) -> Self {
        Self { entry, ..self }
    }

    /// A call that nobody waits for.
    pub(super) fn post(&mut self, now: Instant, to: &str, call: &Call) -> Result<(), Refused> {
        let peer = self.peer_for(now, to, call)?;
        peer.add(Kind::Posted(now + POST_WAITS), |bytes| {
            entry::put_call(bytes, None, call);
        });
        self.tend(to);
        Ok(())
    }

    /// A call that somebody waits for, and its number.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        to: &str,
        call: &Call,
        waiter: Waiter,
    ) -> Result<u64, Refused> {
        let id = self.next_call;
        let peer = self.peer_for(now, to, call)?;
        peer.ask(id, waiter, |bytes| entry::put_call(bytes, Some(id), call));
        self.next_call += 1;
        self.tend(to);
        Ok(id)
    }

    /// The answer to a call of another node. If there is no room for it, the other one hears by its
    /// deadline that it does not know.
    pub(super) fn answer(&mut self, now: Instant, to: &str, id: u64, answer: Answered) {
        let backlog = self.backlog * ANSWERS;
        let peer = self.peer(now, to);
        if peer.has_room(now, ANSWER, backlog) {
            peer.add(Kind::Answer, |bytes| entry::put_answer(bytes, id, answer));
            self.tend(to);
        }
    }

    /// Nobody waits for a call any longer: what there is to be said of it.
    pub(super) fn give_up(&mut self, to: &str, id: u64) -> Unreached {
        let peer = self.peers.get_mut(to);
        peer.map_or(Unreached::Unknown, |peer| peer.give_up(id))
    }

    /// Another node has answered.
    pub(super) fn handle_answer(&mut self, from: &str, id: u64, answer: Answered) {
        if let Some(peer) = self.peers.get_mut(from) {
            peer.answered(id, answer);
        }
    }

    /// Whether anybody is to be looked after.
    pub(super) const fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Who is to be looked after from now on, until [`next`](Self::next) has nothing for it.
    pub(super) fn take_ready(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.ready)
    }

    /// What is to be appended to the inbox of a node now.
    pub(super) fn next(&mut self, now: Instant, to: &str, lives: Lives<'_>) -> Option<Bytes> {
        let peer = self.peers.get_mut(to)?;
        let long_ago = |looked| now.saturating_duration_since(looked) >= LOOK;
        if peer.looked.is_none_or(long_ago) {
            peer.looked = Some(now);
            if lives(to) == Life::Dead {
                peer.bury(&self.node);
            }
        }
        let next = peer.next(now, &self.node, self.entry);
        peer.tended = next.is_some();
        next
    }

    /// What became of it.
    pub(super) fn settle(
        &mut self,
        to: &str,
        result: &Result<Appended, Failed>,
        lives: Lives<'_>,
    ) -> Step {
        let Some(peer) = self.peers.get_mut(to) else {
            return Step::Next;
        };
        match result {
            Ok(Appended::Done) => peer.appended(),
            Ok(Appended::Gone) if lives(to) == Life::Dead => peer.refused(Unreached::NodeGone),
            Ok(Appended::Gone) => peer.refused(Unreached::Uncertain),
            Ok(Appended::Full) => {
                peer.refused(Unreached::Refused(Refused::InboxFull));
                if !std::mem::replace(&mut peer.full, true) {
                    return Step::Full;
                }
            }
            Err(failed) => {
                peer.failed(matches!(failed, Failed::Perhaps(_)));
                if lives(to) != Life::Dead {
                    return Step::BackOff;
                }
                peer.bury(&self.node);
            }
        }
        Step::Next
    }

    /// Tells those who wait for nodes that are dead, and forgets nodes that are long gone.
    pub(super) fn look_around(&mut self, now: Instant, lives: Lives<'_>) {
        let (node, floor) = (&self.node, &mut self.floor);
        self.peers.retain(|name, peer| {
            let life = lives(name);
            if life == Life::Dead {
                peer.bury(node);
            }
            let gone = matches!(life, Life::Dead | Life::Unknown);
            let long_ago = now.saturating_duration_since(peer.used) > FORGET;
            let keep = !(gone && long_ago && peer.is_idle() && !peer.tended);
            if !keep {
                *floor = peer.seq.max(*floor);
            }
            keep
        });
    }

    /// From now on only answers leave.
    pub(super) const fn begin_close(&mut self) {
        self.closing = true;
    }

    /// Whether nothing is on its way.
    pub(super) fn is_sent(&self) -> bool {
        self.peers.values().all(Peer::is_sent)
    }

    /// Nothing leaves or comes any more.
    pub(super) fn end(&mut self) {
        self.closing = true;
        for peer in self.peers.values_mut() {
            peer.end_all(&self.node);
        }
    }

    /// Whether some node could not be written to the last time.
    pub(super) fn is_failing(&self) -> bool {
        self.peers.values().any(|peer| peer.failing)
    }

    /// Where a call may wait.
    fn peer_for(&mut self, now: Instant, to: &str, call: &Call) -> Result<&mut Peer, Refused> {
        if self.closing {
            return Err(Refused::Closing);
        }
        let backlog = self.backlog;
        let peer = self.peer(now, to);
        let room = peer.has_room(now, entry::size(call), backlog);
        room.then_some(peer).ok_or(Refused::BusOffline)
    }

    fn peer(&mut self, now: Instant, to: &str) -> &mut Peer {
        if !self.peers.contains_key(to) {
            let peer = Peer::new(&self.node, self.floor, now);
            self.peers.insert(to.into(), peer);
        }
        let peer = self
            .peers
            .get_mut(to)
            .expect("it was made if it was missing");
        peer.used = now;
        peer
    }

    /// Somebody is to look after a node.
    fn tend(&mut self, to: &str) {
        if let Some((name, _)) = self.peers.get_key_value(to)
            && let name = Arc::clone(name)
            && let Some(peer) = self.peers.get_mut(to)
            && !std::mem::replace(&mut peer.tended, true)
        {
            self.ready.push(name);
        }
    }
}
