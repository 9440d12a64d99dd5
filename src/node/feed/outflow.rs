use std::{collections::VecDeque, sync::Arc};

use tokio::sync::Notify;

use crate::{
    bus::{Fed, Held, Piece, size_of_move},
    presence::{Move, Presence},
};

/// So many moves leave in one piece at most.
pub(super) const PIECE: usize = 512;

/// So many moves wait for a node that watches at most. Beyond that it is told anew who is there.
pub(super) const BACKLOG: usize = 65_536;

/// What one node that watches is still to be told of the sessions of this one.
///
/// One piece is under way at a time, and is sent again until the other one has taken it. Who is
/// there is told part by part, as far as there is room; what happens meanwhile waits behind it, and
/// some of it is told twice.
#[derive(Debug)]
pub(super) struct Outflow {
    /// Who looks after it.
    pub(super) task: u64,
    /// The piece that was made last.
    at: Held,
    waiting: VecDeque<Move>,
    /// The parts from here on are still to be told.
    next_part: u8,
    /// So many of those that wait were there when it began.
    there: Option<usize>,
    begins: bool,
    under_way: Option<Piece>,
    pub(super) news: Arc<Notify>,
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Next,
    /// The same again, or something new, but not at once.
    BackOff,
    /// It cannot go on as it was: a new stream is wanted, and not at once.
    Anew,
    End,
}

impl Outflow {
    pub(super) fn new(stream: u64) -> Self {
        let mut flow = Self {
            task: stream,
            at: Held { stream, piece: 0 },
            waiting: VecDeque::new(),
            next_part: 0,
            there: None,
            begins: true,
            under_way: None,
            news: Arc::default(),
        };
        flow.start_over();
        flow
    }

    /// All of it is told again, as another stream.
    pub(super) fn renew(&mut self, stream: u64) {
        self.at = Held { stream, piece: 0 };
        self.under_way = None;
        self.start_over();
    }

    /// Whoever is there is told again.
    pub(super) fn start_over(&mut self) {
        self.waiting = VecDeque::new();
        (self.next_part, self.there, self.begins) = (0, Some(0), true);
        self.news.notify_one();
    }

    /// These came and went.
    pub(super) fn push(&mut self, moves: &[Move]) {
        if self.waiting.len() + moves.len() > BACKLOG {
            self.start_over();
        } else if !moves.is_empty() {
            self.waiting.extend(moves.iter().cloned());
            self.news.notify_one();
        }
    }

    /// Whether the other node, which was told so far, is told the rest as it is.
    pub(super) fn knows(&self, held: Held) -> bool {
        let Held { stream, piece } = self.at;
        let taken = Held {
            stream,
            piece: piece.saturating_sub(1),
        };
        match self.under_way {
            Some(_) if piece == 1 && held == Held::default() => true,
            Some(_) => held == self.at || held == taken,
            None if piece == 0 => true,
            None => held == self.at,
        }
    }

    /// What is to be sent now, about so many bytes at most; `told_in` says who is there, part by
    /// part.
    pub(super) fn next(&mut self, most: usize, told_in: impl Fn(u8) -> Vec<Move>) -> Option<Piece> {
        if let Some(piece) = &self.under_way {
            return Some(piece.clone());
        }
        while let Some(there) = &mut self.there
            && self.next_part < Presence::PARTS
            && self.waiting.len() < PIECE
        {
            self.waiting.extend(told_in(self.next_part));
            *there = self.waiting.len();
            self.next_part += 1;
        }
        if self.waiting.is_empty() && self.there.is_none() {
            self.waiting = VecDeque::new();
            return None;
        }
        let count = self.fitting(most);
        self.at.piece += 1;
        let piece = Piece {
            at: self.at,
            begins: std::mem::take(&mut self.begins),
            ends: self.pass(count),
            moves: self.waiting.drain(..count).collect(),
        };
        self.under_way = Some(piece.clone());
        Some(piece)
    }

    /// How many leave with the next piece: one, if there is any.
    fn fitting(&self, most: usize) -> usize {
        let mut bytes = 0;
        let fits = |one: &&Move| {
            bytes += size_of_move(one);
            bytes <= most
        };
        let count = self.waiting.iter().take(PIECE).take_while(fits).count();
        count.max(1).min(self.waiting.len())
    }

    /// So many leave; whether everybody who was there has been told then.
    fn pass(&mut self, count: usize) -> bool {
        let Some(there) = &mut self.there else {
            return false;
        };
        *there = there.saturating_sub(count);
        let all = *there == 0 && self.next_part >= Presence::PARTS;
        if all {
            self.there = None;
        }
        all
    }

    /// What the other node said of a piece, if it did.
    pub(super) fn settle(&mut self, at: Held, fed: Option<Fed>) -> Step {
        let current = self.under_way.as_ref().is_some_and(|piece| piece.at == at);
        match fed {
            _ if !current => Step::Next,
            Some(Fed::Taken) => {
                self.under_way = None;
                Step::Next
            }
            Some(Fed::Again) => Step::Anew,
            Some(Fed::Unwanted) => Step::End,
            Some(Fed::Later) | None => Step::BackOff,
        }
    }
}
