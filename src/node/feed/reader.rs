use std::{collections::VecDeque, sync::Arc};

use tokio::sync::Notify;

use crate::presence::Movement;

/// So many movements wait for a reader, each for itself; beyond that one a session.
pub(super) const BACKLOG: usize = 8192;

/// So many that are not owed any more may stand between those who are.
const SLACK: usize = 1024;

/// What somebody has heard who watches, and has still to hear.
///
/// Sessions are known by the places of their entries. What is told stands in a queue; once that is
/// full, the sessions are owed of which there is something to be told, each once, and what there is
/// to be told is seen when its turn comes. So a reader that reads nothing costs no more than what it
/// was told of and what is there.
#[derive(Debug, Default)]
pub(super) struct Reader {
    told: VecDeque<Movement>,
    /// In order; what is not owed any more, or is there twice, counts once at most.
    owed: VecDeque<u32>,
    is_owed: Bits,
    /// How many are owed.
    owing: usize,
    /// Whose last movement that was told, or waits to be, is a join.
    joined: Bits,
    pub(super) missed: u64,
    /// There is something to hear.
    pub(super) news: Arc<Notify>,
}

/// A session as it is now.
#[derive(Debug)]
pub(super) struct State<'a> {
    pub(super) account: &'a str,
    pub(super) session: &'a str,
    /// None if it left.
    pub(super) node: Option<&'a str>,
    pub(super) generation: u64,
}

impl Reader {
    /// Something happened to a session.
    pub(super) fn tell(&mut self, id: u32, state: &State<'_>) {
        if self.is_owed.has(id) {
            self.missed += 1;
            if state.node.is_none() && !self.joined.has(id) {
                // It came and went unheard.
                self.missed += 1;
                self.settled(id);
            }
            return;
        }
        if self.owing == 0 && self.told.len() < BACKLOG {
            let movement = self.settle(id, state);
            self.told.extend(movement);
        } else {
            self.owe(id);
        }
        self.news.notify_one();
    }

    /// A session is to be told of.
    pub(super) fn owe(&mut self, id: u32) {
        self.is_owed.set(id, true);
        self.owing += 1;
        self.owed.push_back(id);
        if self.owed.len() > 2 * (self.owing + SLACK) {
            let (is_owed, mut seen) = (&self.is_owed, Bits::default());
            self.owed.retain(|id| {
                let keep = is_owed.has(*id) && !seen.has(*id);
                seen.set(*id, true);
                keep
            });
        }
    }

    /// It is not owed any more.
    fn settled(&mut self, id: u32) {
        self.is_owed.set(id, false);
        self.owing -= 1;
    }

    pub(super) fn take_told(&mut self) -> Option<Movement> {
        let movement = self.told.pop_front();
        if self.told.is_empty() && self.told.capacity() > BACKLOG / 8 {
            self.told = VecDeque::new();
        }
        movement
    }

    pub(super) fn take_owed(&mut self) -> Option<u32> {
        while let Some(id) = self.owed.pop_front() {
            if self.is_owed.has(id) {
                self.settled(id);
                return Some(id);
            }
        }
        self.owed = VecDeque::new();
        None
    }

    /// What is told of a session as it is now.
    pub(super) fn settle(&mut self, id: u32, state: &State<'_>) -> Option<Movement> {
        let (account, session) = (state.account.into(), state.session.into());
        let generation = state.generation;
        match state.node {
            Some(node) => {
                self.joined.set(id, true);
                Some(Movement::Join {
                    account,
                    session,
                    node: node.into(),
                    generation,
                })
            }
            None if self.joined.has(id) => {
                self.joined.set(id, false);
                Some(Movement::Leave {
                    account,
                    session,
                    generation,
                })
            }
            None => None,
        }
    }

    /// Whether a session that left is still to be known.
    pub(super) fn minds(&self, id: u32) -> bool {
        self.is_owed.has(id) || self.joined.has(id)
    }
}

/// A set of places.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn has(&self, id: u32) -> bool {
        let word = self.0.get(id as usize / 64);
        word.is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    fn set(&mut self, id: u32, on: bool) {
        let place = id as usize / 64;
        if place >= self.0.len() {
            if !on {
                return;
            }
            self.0.resize(place + 1, 0);
        }
        let bit = 1 << (id % 64);
        if on {
            self.0[place] |= bit;
        } else {
            self.0[place] &= !bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_and_goes_unheard_leaves_nothing_behind() {
        let mut reader = Reader::default();
        let state = |node| State {
            account: "ann",
            session: "s",
            node,
            generation: 1,
        };
        for id in 0..100_000 {
            reader.tell(id % 9000, &state(Some("a")));
            reader.tell(id % 9000, &state(None));
        }
        assert_eq!(reader.told.len(), BACKLOG);
        assert_eq!(reader.owing, 0);
        assert!(reader.owed.len() <= 2 * SLACK, "{}", reader.owed.len());

        reader.tell(1, &state(Some("a")));
        assert_eq!(reader.take_owed(), Some(1), "each one comes once");
        assert_eq!(reader.take_owed(), None);
    }
}
