//! What is said of calls, and what is remembered of nodes.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{
    cast::say,
    line::{BACKLOG, LIVES, Line},
};
use crate::{
    bus::{
        Answer, Outcome, Refused, Unreached,
        core::Step,
        entry,
        inboxes::{Appended, Failed},
    },
    error::StoreError,
    presence::Life,
};

const SECOND: Duration = Duration::from_secs(1);

/// After that time a node that is gone is forgotten.
const FORGET: Duration = Duration::from_secs(600);

const DEAD: fn(&str) -> Life = |_| Life::Dead;

fn failed(how: fn(StoreError) -> Failed) -> Result<Appended, Failed> {
    Err(how(StoreError::Unreachable("away".into())))
}

/// Number and first number of the entry that leaves now.
fn numbers(line: &mut Line) -> (u64, u64) {
    let entry = line.core.next(line.now, "b", &LIVES).unwrap();
    let (head, _) = entry::head(&entry).unwrap();
    (head.seq, head.since)
}

#[test]
fn nothing_leaves_for_a_node_that_is_dead_and_who_waits_hears_of_it() {
    let mut line = Line::new();
    let (_, mut answer) = line.ask("hello");
    assert_eq!(line.core.next(line.now, "b", &DEAD), None);
    assert_eq!(answer.try_recv(), Ok(Err(Unreached::NodeGone)));
}

#[test]
fn what_may_have_left_for_a_node_that_died_is_unknown_and_the_rest_surely_did_not() {
    for (how, said) in [
        (
            Failed::Perhaps as fn(StoreError) -> Failed,
            Unreached::Unknown,
        ),
        (Failed::Surely, Unreached::NodeGone),
    ] {
        let mut line = Line::new();
        let (_, mut tried) = line.ask("tried");
        line.next().unwrap();
        let (_, mut waits) = line.ask("waits");
        assert_eq!(line.core.settle("b", &failed(how), &DEAD), Step::Next);
        assert_eq!(tried.try_recv(), Ok(Err(said)));
        assert_eq!(waits.try_recv(), Ok(Err(Unreached::NodeGone)));
    }
}

#[test]
fn what_was_appended_when_its_node_died_is_unknown() {
    let mut line = Line::new();
    let (_, mut answer) = line.ask("hello");
    line.next().unwrap();
    line.done();
    line.core.look_around(line.now, &DEAD);
    assert_eq!(answer.try_recv(), Ok(Err(Unreached::Unknown)));
}

#[test]
fn what_is_on_its_way_when_this_node_ends_is_unknown_and_the_rest_is_refused() {
    let mut line = Line::new();
    let (_, mut appended) = line.ask("appended");
    line.next().unwrap();
    line.done();
    let (_, mut leaving) = line.ask("leaving");
    line.next().unwrap();
    let (_, mut waits) = line.ask("waits");
    line.core.end();
    assert_eq!(appended.try_recv(), Ok(Err(Unreached::Unknown)));
    assert_eq!(leaving.try_recv(), Ok(Err(Unreached::Unknown)));
    let closing = Err(Unreached::Refused(Refused::Closing));
    assert_eq!(waits.try_recv(), Ok(closing));
    assert_eq!(line.post("late"), Err(Refused::Closing));
}

#[test]
fn while_it_closes_only_answers_leave() {
    let mut line = Line::new();
    line.core.begin_close();
    assert_eq!(line.post("late"), Err(Refused::Closing));
    let (waiter, _answer) = oneshot::channel();
    let asked = line.core.ask(line.now, "b", &say("late"), waiter);
    assert_eq!(asked, Err(Refused::Closing));
    assert!(line.core.is_sent());
    line.core.answer(line.now, "b", 1, Err(Refused::Closing));
    assert!(!line.core.is_sent(), "it waits");
    assert!(line.core.next(line.now, "b", &LIVES).is_some());
    assert!(!line.core.is_sent(), "it is under way");
    line.done();
    assert!(line.core.is_sent());
}

#[test]
fn an_entry_that_may_be_there_keeps_its_number_when_the_inbox_is_full_after_all() {
    let mut line = Line::new();
    let (_, mut first) = line.ask("first");
    assert_eq!(numbers(&mut line), (1, 1));
    line.fail(Failed::Perhaps);
    assert_eq!(numbers(&mut line), (1, 1));
    assert_eq!(
        line.core.settle("b", &Ok(Appended::Full), &LIVES),
        Step::Full
    );
    assert_eq!(first.try_recv(), Ok(Err(Unreached::Unknown)));
    line.post("second").unwrap();
    assert_eq!(numbers(&mut line), (2, 1));
}

#[test]
fn an_entry_that_was_under_way_to_a_dead_node_keeps_its_number() {
    let mut line = Line::new();
    line.post("first").unwrap();
    assert_eq!(numbers(&mut line), (1, 1));
    line.core.look_around(line.now, &DEAD);
    line.post("second").unwrap();
    assert_eq!(numbers(&mut line), (2, 1));
}

#[test]
fn that_an_inbox_is_full_is_news_once_until_it_takes_something() {
    let mut line = Line::new();
    let full = |line: &mut Line| {
        line.post("x").unwrap();
        line.next().unwrap();
        line.core.settle("b", &Ok(Appended::Full), &LIVES)
    };
    assert_eq!(full(&mut line), Step::Full);
    assert_eq!(full(&mut line), Step::Next);
    line.post("x").unwrap();
    line.next().unwrap();
    line.done();
    assert_eq!(full(&mut line), Step::Full);
}

#[test]
fn whoever_is_reached_again_does_not_fail_any_more() {
    for reached in [Appended::Done, Appended::Full, Appended::Gone] {
        let mut line = Line::new();
        line.post("x").unwrap();
        line.next().unwrap();
        line.fail(Failed::Perhaps);
        assert!(line.core.is_failing());
        line.next().unwrap();
        line.core.settle("b", &Ok(reached), &LIVES);
        assert!(!line.core.is_failing(), "{reached:?}");
    }
}

#[test]
fn a_node_that_is_gone_for_long_is_forgotten_and_its_numbers_are_not_used_again() {
    let mut line = Line::new();
    line.post("x").unwrap();
    assert_eq!(numbers(&mut line), (1, 1));
    line.done();
    assert_eq!(line.next(), None);

    line.now += FORGET;
    line.core.look_around(line.now, &DEAD);
    line.post("x").unwrap();
    assert_eq!(numbers(&mut line), (2, 1), "it is remembered for so long");
    line.done();
    assert_eq!(line.next(), None);

    line.now += FORGET;
    line.core.look_around(line.now, &DEAD);
    line.post("x").unwrap();
    assert_eq!(numbers(&mut line), (3, 1), "it was used since");
    line.done();
    assert_eq!(line.next(), None);

    line.now += FORGET + SECOND;
    line.core.look_around(line.now, &|_| Life::Suspect);
    line.post("x").unwrap();
    assert_eq!(numbers(&mut line), (4, 1), "perhaps it is not gone");
    line.done();
    assert_eq!(line.next(), None);

    line.now += FORGET + SECOND;
    line.core.look_around(line.now, &|_| Life::Unknown);
    line.post("x").unwrap();
    assert_eq!(numbers(&mut line), (5, 5));
}

#[test]
fn whoever_still_waits_for_a_node_keeps_it_in_mind() {
    let mut line = Line::new();
    let (id, mut answer) = line.ask("x");
    assert_eq!(numbers(&mut line), (1, 1));
    line.done();
    assert_eq!(line.next(), None);
    line.now += FORGET + SECOND;
    line.core.look_around(line.now, &|_| Life::Unknown);
    let said = Answer::Forward(Outcome::Enqueued);
    line.core.handle_answer("b", id, Ok(said));
    assert_eq!(answer.try_recv(), Ok(Ok(said)));
}

#[test]
fn answers_have_room_beyond_the_backlog_and_not_without_end() {
    let mut line = Line::new();
    while line.post(&"x".repeat(100)).is_ok() {}
    let answer = Err(Refused::Closing);
    for _ in 0..10 * BACKLOG {
        line.core.answer(line.now, "b", 1, answer);
    }
    let (mut bytes, mut answers) = (0, 0);
    while let Some(entry) = line.core.next(line.now, "b", &LIVES) {
        let (_, rest) = entry::head(&entry).unwrap();
        let items = entry::items(rest).unwrap();
        answers += items
            .iter()
            .filter(|item| matches!(item, entry::Item::Answer(..)))
            .count();
        bytes += entry.len();
        line.done();
    }
    assert!(answers > 10, "{answers}");
    // Every entry has a head of its own.
    assert!(bytes > BACKLOG && bytes < 3 * BACKLOG, "{bytes}");
}

#[test]
fn what_is_under_way_takes_room_too() {
    let mut line = Line::new();
    let large = "x".repeat(BACKLOG * 2 / 3);
    line.post(&large).unwrap();
    line.next().unwrap();
    assert_eq!(line.post(&large), Err(Refused::BusOffline));
    line.done();
    assert_eq!(line.post(&large), Ok(()));
}

#[test]
fn what_is_too_old_to_leave_makes_room() {
    let mut line = Line::new();
    let large = "x".repeat(BACKLOG * 2 / 3);
    line.post(&large).unwrap();
    assert_eq!(line.post(&large), Err(Refused::BusOffline));
    line.now += 11 * SECOND;
    assert_eq!(line.post(&large), Ok(()));
}

#[test]
fn what_nobody_waits_for_grows_old_in_the_rest_of_a_batch_too() {
    let mut line = Line::new();
    for number in 0..9 {
        line.post(&format!("{number}{}", "x".repeat(60))).unwrap();
    }
    let left = line.next().unwrap().len();
    assert!(left < 9);
    line.fail(Failed::Surely);
    line.next().unwrap();
    line.now += 11 * SECOND;
    line.done();
    assert_eq!(line.next(), None);
}

#[test]
fn what_came_while_an_attempt_failed_grows_old_too() {
    let mut line = Line::new();
    line.ask("first");
    line.next().unwrap();
    line.post("second").unwrap();
    line.fail(Failed::Surely);
    line.now += 11 * SECOND;
    assert_eq!(line.next(), Some(vec!["first".to_owned()]));
}
