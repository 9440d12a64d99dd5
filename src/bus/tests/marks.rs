//! Who is remembered, and how far.

use std::time::{Duration, Instant};

use crate::{
    bus::{
        entry::Head,
        marks::{Marks, Verdict},
    },
    presence::Life,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "time has to begin somewhere")]
    Instant::now()
}

/// So many were missed before it; nothing if it is a repeat.
fn missed(marks: &mut Marks, now: Instant, sender: &str, seq: u64, since: u64) -> Option<u64> {
    match marks.handle(now, &Head { sender, seq, since }) {
        Verdict::New { missed, .. } => Some(missed),
        Verdict::Repeat => None,
    }
}

#[test]
fn nothing_counts_twice_and_what_is_missed_is_counted() {
    let (mut marks, now) = (Marks::default(), start());
    assert_eq!(missed(&mut marks, now, "a", 5, 3), Some(2));
    assert_eq!(missed(&mut marks, now, "a", 5, 3), None);
    assert_eq!(missed(&mut marks, now, "a", 4, 3), None);
    assert_eq!(missed(&mut marks, now, "a", 6, 3), Some(0));
    assert_eq!(missed(&mut marks, now, "a", 9, 3), Some(2));
    assert_eq!(
        missed(&mut marks, now, "a", 20, 19),
        Some(1),
        "it began anew"
    );
    assert_eq!(missed(&mut marks, now, "b", 1, 1), Some(0));
}

#[test]
fn only_who_is_gone_and_was_silent_for_long_is_forgotten() {
    let (mut marks, now) = (Marks::default(), start());
    let later = now + DAY + Duration::from_secs(1);
    for (silent, life, forgotten) in [
        (now + DAY, Life::Dead, false),
        (later, Life::Live, false),
        (later, Life::Suspect, false),
        (later, Life::Dead, true),
        (later, Life::Unknown, true),
    ] {
        missed(&mut marks, now, "a", 5, 1);
        marks.look_around(silent, &|_| life);
        let again = missed(&mut marks, now, "a", 5, 5);
        assert_eq!(again.is_some(), forgotten, "{life:?}");
        marks = Marks::default();
    }
}

#[test]
fn whoever_was_silent_for_longest_makes_way_for_one_too_many() {
    let (mut marks, now) = (Marks::default(), start());
    let second = Duration::from_secs(1);
    for sender in 0..10_000 {
        missed(&mut marks, now + second * sender, &sender.to_string(), 1, 1);
    }
    let now = now + second * 10_000;
    missed(&mut marks, now, "0", 2, 1);
    missed(&mut marks, now, "one too many", 1, 1);
    assert_eq!(
        missed(&mut marks, now, "0", 2, 1),
        None,
        "it was heard just now"
    );
    assert_eq!(missed(&mut marks, now, "2", 1, 1), None);
    assert_eq!(
        missed(&mut marks, now, "1", 1, 1),
        Some(0),
        "it was forgotten"
    );
}
