//! What waits for a node that cannot be written to.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::cast::{say, text};
use crate::{
    bus::{
        Answer, Refused, Unreached,
        core::{Core, Step},
        entry::{self, Item},
        inboxes::{Appended, Failed},
    },
    error::StoreError,
    presence::Life,
};

const BACKLOG: usize = 2048;

/// A call of this file takes less than a third of it.
const ENTRY: usize = 256;

const LIVES: fn(&str) -> Life = |_| Life::Live;

/// One node's calls to another one.
struct Line {
    core: Core,
    now: Instant,
}

impl Line {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "time has to begin somewhere")]
        let now = Instant::now();
        let core = Core::new("a", BACKLOG).with_entry(ENTRY);
        Self { core, now }
    }

    fn post(&mut self, what: &str) -> Result<(), Refused> {
        self.core.post(self.now, "b", &say(what))
    }

    /// A call that somebody waits for.
    fn ask(&mut self, what: &str) -> (u64, oneshot::Receiver<Result<Answer, Unreached>>) {
        let (waiter, answer) = oneshot::channel();
        let asked = self.core.ask(self.now, "b", &say(what), waiter);
        (asked.unwrap(), answer)
    }

    /// What leaves now.
    fn next(&mut self) -> Option<Vec<String>> {
        let entry = self.core.next(self.now, "b", &LIVES)?;
        let (_, rest) = entry::head(&entry).unwrap();
        let calls = entry::items(rest).unwrap().into_iter().map(|item| {
            let Item::Call(_, call) = item else {
                panic!("{item:?}")
            };
            text(&call)
        });
        Some(calls.collect())
    }

    fn fail(&mut self, how: fn(StoreError) -> Failed) {
        let failed = Err(how(StoreError::Unreachable("away".into())));
        assert_eq!(self.core.settle("b", &failed, &LIVES), Step::BackOff);
    }

    fn done(&mut self) {
        let done = Ok(Appended::Done);
        assert_eq!(self.core.settle("b", &done, &LIVES), Step::Next);
    }
}

#[test]
fn an_attempt_for_a_node_that_was_buried_meanwhile_says_nothing_of_the_next_entry() {
    let mut line = Line::new();
    line.post("1").unwrap();
    line.next().unwrap();
    line.core.look_around(line.now, &|_| Life::Dead);
    line.post("2").unwrap();
    line.fail(Failed::Perhaps);
    assert_eq!(line.next().unwrap(), ["2"]);

    // It surely never left: more can come to it.
    line.fail(Failed::Surely);
    line.post("3").unwrap();

    assert_eq!(line.next().unwrap(), ["2", "3"]);
    line.done();
}

#[test]
fn a_node_that_nothing_waits_for_any_more_does_not_fail() {
    let mut line = Line::new();
    line.post("1").unwrap();
    line.next().unwrap();
    line.fail(Failed::Surely);
    assert!(line.core.is_failing());

    line.now += Duration::from_secs(11);

    assert_eq!(line.next(), None);
    assert!(!line.core.is_failing());
}

#[test]
fn an_entry_takes_some_of_what_waits_and_the_next_one_goes_on() {
    let mut line = Line::new();
    let words: Vec<String> = (0..8).map(|n| n.to_string().repeat(60)).collect();
    let asked: Vec<_> = words.iter().map(|word| line.ask(word)).collect();

    assert_eq!(line.next().unwrap(), words[..3]);
    line.fail(Failed::Surely);
    assert_eq!(line.next().unwrap(), words[..3]);
    line.done();
    assert_eq!(line.next().unwrap(), words[3..6]);
    let offline = Unreached::Refused(Refused::BusOffline);
    let expected = [
        (2, Unreached::Unknown),
        (3, Unreached::Unknown),
        (6, offline),
    ];
    for (some, unreached) in expected {
        assert_eq!(line.core.give_up("b", asked[some].0), unreached, "{some}");
    }
    line.done();
    assert_eq!(line.next().unwrap(), words[7..]);
    line.done();
    assert_eq!(line.next(), None);
}

#[test]
fn what_is_larger_than_an_entry_leaves_alone() {
    let mut line = Line::new();
    let large = "x".repeat(2 * ENTRY);
    for word in [&*large, "1", &*large, "2"] {
        line.post(word).unwrap();
    }
    for expected in [&[&*large][..], &["1"], &[&*large], &["2"]] {
        assert_eq!(line.next().unwrap(), expected);
        line.done();
    }
}

#[test]
fn a_backlog_does_not_grow_while_attempts_fail() {
    let mut line = Line::new();
    let mut taken = 0;
    for _ in 0..100 {
        while line.post(&"x".repeat(60)).is_ok() {
            taken += 1;
        }
        line.next().unwrap();
        while line.post(&"x".repeat(60)).is_ok() {
            taken += 1;
        }
        line.fail(Failed::Surely);
    }

    assert!((10..BACKLOG / 60).contains(&taken), "{taken}");
}

#[test]
fn what_was_given_up_while_it_was_under_way_does_not_leave_with_a_later_attempt() {
    let mut line = Line::new();
    let (id, _answer) = line.ask("1");
    line.post("2").unwrap();
    line.next().unwrap();
    assert_eq!(line.core.give_up("b", id), Unreached::Unknown);
    line.fail(Failed::Surely);

    assert_eq!(line.next().unwrap(), ["2"]);
}
