//! What waits for a node that cannot be written to.

use std::time::Duration;

use super::line::{BACKLOG, ENTRY, Line};
use crate::{
    bus::{Refused, Unreached, inboxes::Failed},
    presence::Life,
};

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
