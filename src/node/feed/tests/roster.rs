use super::{
    super::{reader::BACKLOG, roster::Roster},
    SECOND, one, start,
};
use crate::presence::Movement;

/// What a reader hears, short: `+session@node` and `-session`, each with its generation.
fn heard(roster: &mut Roster, reader: usize) -> Vec<String> {
    std::iter::from_fn(|| roster.next(reader))
        .map(|movement| match movement {
            Movement::Join {
                session,
                node,
                generation,
                ..
            } => format!("+{session}@{node} {generation}"),
            Movement::Leave {
                session,
                generation,
                ..
            } => format!("-{session} {generation}"),
        })
        .collect()
}

#[test]
fn who_is_there_is_told_to_whoever_comes() {
    let (mut roster, now) = (Roster::new(), start());
    let (first, _) = roster.attach();
    roster.handle(now, "a", &[one("ann", "s", 1, true)]);
    roster.handle(now, "a", &[one("ann", "s", 1, true)]);
    let (second, _) = roster.attach();

    assert_eq!(heard(&mut roster, first), ["+s@a 1"]);
    assert_eq!(heard(&mut roster, second), ["+s@a 1"]);
    roster.handle(now, "a", &[one("ann", "s", 1, false)]);
    assert_eq!(heard(&mut roster, first), ["-s 1"]);
    assert_eq!(heard(&mut roster, second), ["-s 1"]);
}

#[test]
fn a_session_that_was_taken_over_does_not_leave() {
    let (mut roster, now) = (Roster::new(), start());
    let (reader, _) = roster.attach();
    roster.handle(now, "a", &[one("ann", "s", 1, true)]);
    roster.handle(now, "b", &[one("ann", "s", 2, true)]);
    roster.handle(now, "a", &[one("ann", "s", 1, false)]);
    roster.gone(now, "a");
    assert_eq!(heard(&mut roster, reader), ["+s@a 1", "+s@b 2"]);

    roster.gone(now, "b");
    assert_eq!(heard(&mut roster, reader), ["-s 2"]);
}

#[test]
fn a_node_speaks_only_of_its_own() {
    let (mut roster, now) = (Roster::new(), start());
    let (reader, _) = roster.attach();
    roster.handle(now, "a", &[one("ann", "s", 5, true)]);
    roster.handle(now, "b", &[one("ann", "s", 9, false)]);
    roster.handle(now, "b", &[one("ann", "s", 4, true)]);
    roster.begin("b");
    roster.end(now, "b");
    roster.gone(now, "b");
    assert_eq!(heard(&mut roster, reader), ["+s@a 5"]);
}

#[test]
fn an_older_join_that_comes_late_is_none() {
    let (mut roster, now) = (Roster::new(), start());
    let (reader, _) = roster.attach();
    roster.handle(now, "b", &[one("ann", "s", 2, true)]);
    roster.handle(now, "b", &[one("ann", "s", 2, false)]);
    roster.handle(now, "a", &[one("ann", "s", 1, true)]);
    roster.handle(now, "a", &[one("ann", "s", 1, false)]);
    assert_eq!(heard(&mut roster, reader), ["+s@b 2", "-s 2"]);
}

#[test]
fn who_does_not_come_when_all_are_told_has_left() {
    let (mut roster, now) = (Roster::new(), start());
    let (reader, _) = roster.attach();
    for session in ["s", "t", "u"] {
        roster.handle(now, "a", &[one("ann", session, 1, true)]);
    }
    roster.handle(now, "b", &[one("ann", "v", 1, true)]);
    assert_eq!(heard(&mut roster, reader).len(), 4);

    roster.begin("a");
    roster.handle(now, "a", &[one("ann", "s", 1, true)]);
    roster.handle(now, "a", &[one("ann", "t", 2, true)]);
    roster.end(now, "a");

    assert_eq!(heard(&mut roster, reader), ["+t@a 2", "-u 1"]);
}

#[test]
fn whoever_comes_and_goes_at_once_is_told_of() {
    let (mut roster, now) = (Roster::new(), start());
    let (reader, _) = roster.attach();
    roster.handle(now, "a", &[one("ann", "s", 1, true)]);
    roster.handle(now, "a", &[one("ann", "s", 1, false)]);
    assert_eq!(heard(&mut roster, reader), ["+s@a 1", "-s 1"]);
    assert_eq!(roster.missed(reader), 0);
}

#[test]
fn a_slow_reader_hears_what_became_of_everybody_and_how_much_it_missed() {
    let (mut roster, now) = (Roster::new(), start());
    let (reader, _) = roster.attach();
    let name = |number: usize| format!("s{number}");
    for number in 0..BACKLOG {
        roster.handle(now, "a", &[one("ann", &name(number), 1, true)]);
    }
    // These are beyond the backlog.
    roster.handle(now, "a", &[one("ann", "s0", 1, false)]);
    for session in ["unheard", "moved", "stays"] {
        roster.handle(now, "a", &[one("ann", session, 1, true)]);
    }
    roster.handle(now, "a", &[one("ann", "unheard", 1, false)]);
    roster.handle(now, "b", &[one("ann", "moved", 2, true)]);

    let heard = heard(&mut roster, reader);
    let beyond = ["-s0 1", "+moved@b 2", "+stays@a 1"];
    assert_eq!(&heard[BACKLOG..], beyond);
    assert_eq!(roster.missed(reader), 3, "a join, a leave and a move");
}

#[test]
fn a_reader_that_reads_nothing_costs_no_more_than_what_it_was_told_of() {
    let (mut roster, mut now) = (Roster::new(), start());
    let (_reader, _) = roster.attach();
    for number in 0..10 * BACKLOG {
        now += SECOND;
        let session = format!("s{number}");
        roster.handle(now, "a", &[one("ann", &session, 1, true)]);
        roster.handle(now, "a", &[one("ann", &session, 1, false)]);
    }
    assert!(roster.len() <= 2 * BACKLOG, "{}", roster.len());
}

#[test]
fn nothing_is_remembered_for_long_of_those_who_left() {
    let (mut roster, mut now) = (Roster::new(), start());
    let (reader, _) = roster.attach();
    for number in 0..100 {
        roster.handle(now, "a", &[one("ann", &format!("s{number}"), 1, true)]);
    }
    roster.gone(now, "a");
    assert_eq!(heard(&mut roster, reader).len(), 200);
    now += 31 * SECOND;
    roster.handle(now, "b", &[one("ann", "s", 1, true)]);
    assert_eq!(roster.len(), 1);
    assert_eq!(&*roster.nodes()[0], "b");
}

#[test]
fn a_node_has_no_more_sessions_than_are_taken() {
    let (mut roster, now) = (Roster::new().with_room(2), start());
    let (reader, _) = roster.attach();
    let all = ["s", "t", "u"].map(|session| one("ann", session, 1, true));
    assert!(roster.handle(now, "a", &all[..2]));
    assert!(!roster.handle(now, "a", &all));
    assert!(roster.handle(now, "b", &[one("ann", "v", 1, true)]));
    assert!(roster.handle(now, "a", &[one("ann", "s", 2, true)]));
    assert_eq!(
        heard(&mut roster, reader),
        ["+s@a 1", "+t@a 1", "+v@b 1", "+s@a 2"]
    );

    assert!(!roster.handle(now, "a", &[one("ann", "v", 2, true)]));
    roster.handle(now, "a", &[one("ann", "t", 1, false)]);
    assert!(roster.handle(now, "a", &[one("ann", "v", 2, true)]));
    assert_eq!(heard(&mut roster, reader), ["-t 1", "+v@a 2"]);
}

#[test]
fn the_last_reader_takes_everything_with_it() {
    let (mut roster, now) = (Roster::new(), start());
    let (first, second) = (roster.attach().0, roster.attach().0);
    roster.handle(now, "a", &[one("ann", "s", 1, true)]);
    assert!(roster.detach(first).is_none());
    assert_eq!(heard(&mut roster, second), ["+s@a 1"]);
    assert_eq!(roster.next(first), None);
    assert!(roster.detach(second).is_some());
    assert!(roster.nodes().is_empty() && roster.len() == 0);
}
