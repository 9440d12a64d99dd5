use std::{sync::Arc, time::Instant};

use super::{
    super::{inflow::Inflows, roster::Roster},
    SECOND, one, start,
};
use crate::{
    bus::{Fed, Held, Piece},
    presence::Move,
};

struct Watcher {
    now: Instant,
    roster: Roster,
    inflows: Inflows,
}

impl Watcher {
    fn new() -> Self {
        let mut roster = Roster::new().with_room(2);
        roster.attach();
        Self {
            now: start(),
            roster,
            inflows: Inflows::default(),
        }
    }

    /// What is said of a piece, and whether there was too much in it for the first time.
    fn take(
        &mut self,
        stream: u64,
        piece: u64,
        marks: (bool, bool),
        moves: &[Move],
    ) -> (Fed, bool) {
        let piece = Piece {
            at: Held { stream, piece },
            begins: marks.0,
            ends: marks.1,
            moves: moves.to_vec(),
        };
        let from: Arc<str> = "a".into();
        let taking = self
            .inflows
            .handle(&mut self.roster, self.now, &from, &piece);
        (taking.fed, taking.excess)
    }

    fn due(&mut self, lost: bool) -> Vec<Held> {
        let due = self.inflows.due(self.now, &["a".into()], lost);
        due.into_iter().map(|(_, held)| held).collect()
    }
}

const ALL: (bool, bool) = (true, true);
const NONE: (bool, bool) = (false, false);

#[test]
fn a_piece_is_taken_once_and_in_its_place() {
    let mut watcher = Watcher::new();
    let join = [one("ann", "s", 1, true)];
    let leave = [one("ann", "s", 1, false)];
    for (stream, piece, marks) in [(1, 2, ALL), (1, 1, NONE), (0, 1, ALL), (9, u64::MAX, ALL)] {
        let fed = watcher.take(stream, piece, marks, &join);
        assert_eq!(fed, (Fed::Again, false), "{stream} {piece}");
    }
    assert_eq!(watcher.take(1, 1, ALL, &join), (Fed::Taken, false));
    assert_eq!(watcher.take(1, 1, NONE, &leave), (Fed::Taken, false));
    assert_eq!(watcher.roster.dump().len(), 1, "it was a repeat");
    assert_eq!(watcher.take(1, 3, NONE, &leave), (Fed::Again, false));
    assert_eq!(watcher.take(1, 2, NONE, &leave), (Fed::Taken, false));
    assert!(watcher.roster.dump().is_empty());

    assert_eq!(watcher.take(2, 1, ALL, &join), (Fed::Taken, false));
    assert_eq!(watcher.take(1, 3, NONE, &leave), (Fed::Again, false));
    assert_eq!(watcher.roster.dump().len(), 1, "the older stream is over");
}

#[test]
fn a_node_is_asked_until_it_has_told_everything_and_rarely_after_that() {
    let mut watcher = Watcher::new();
    assert_eq!(watcher.due(false), [Held::default()]);
    assert_eq!(watcher.due(false), []);
    watcher.now += SECOND;
    assert_eq!(watcher.due(false), [Held::default()]);
    watcher.take(1, 1, (true, false), &[]);
    let held = Held {
        stream: 1,
        piece: 1,
    };
    watcher.now += SECOND;
    assert_eq!(watcher.due(false), [held], "it began and did not go on");

    watcher.take(1, 2, (false, true), &[]);
    let held = Held { piece: 2, ..held };
    watcher.now += 9 * SECOND;
    assert_eq!(watcher.due(false), []);
    assert_eq!(watcher.due(true), [held], "something may have been lost");
    for _ in 0..4 {
        watcher.now += SECOND;
        assert_eq!(watcher.due(false), [held], "perhaps it did not hear that");
    }
    watcher.now += 9 * SECOND;
    assert_eq!(watcher.due(false), []);
    watcher.now += SECOND;
    assert_eq!(watcher.due(false), [held]);

    watcher.inflows.forget(|node| node == "a");
    assert_eq!(watcher.due(false), [Held::default()]);
}

#[test]
fn that_a_node_has_too_many_sessions_is_said_once() {
    let mut watcher = Watcher::new();
    let moves = ["s", "t", "u"].map(|session| one("ann", session, 1, true));
    assert_eq!(watcher.take(1, 1, ALL, &moves), (Fed::Taken, true));
    assert_eq!(watcher.take(1, 2, NONE, &moves), (Fed::Taken, false));
    assert_eq!(watcher.roster.dump().len(), 2);
}
