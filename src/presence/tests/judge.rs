//! What is made of what was read: never more than is known.

use std::time::Instant;

use super::{
    super::{
        job::{Lookup, commitment},
        keys::bucket,
        memory::Memory,
        types::{Find, Life},
    },
    node::{LEASE, Node, away, two},
};
use crate::message::User;

/// What the store says of a session that is nowhere, with nodes that have written everything.
fn nowhere(one: &mut Node, now: Instant) -> Lookup {
    let lookup = one.store.find_now("ann", "s", true).unwrap();
    assert_eq!(judge(one, now, &lookup), Some(Find::NotFound));
    lookup
}

fn judge(node: &mut Node, now: Instant, lookup: &Lookup) -> Option<Find> {
    node.core.judge(now, "ann", lookup, true).0
}

/// Time goes on in which one node beats alone.
fn beat_alone(node: &mut Node, now: &mut Instant, beats: u32) {
    for _ in 0..beats {
        *now += LEASE;
        node.beat(*now);
        node.write(*now, true);
    }
}

#[test]
fn without_a_marker_nothing_is_known() {
    let (mut one, _, now) = two(&Memory::default());
    let lookup = nowhere(&mut one, now);
    let lost = Lookup {
        marker: None,
        ..lookup
    };
    assert_eq!(judge(&mut one, now, &lost), Some(Find::Uncertain));
}

#[test]
fn under_a_marker_that_we_did_not_write_under_nothing_is_known() {
    let (mut one, _, now) = two(&Memory::default());
    let mut lookup = nowhere(&mut one, now);
    lookup.marker = Some("new".to_owned());
    for (_, written) in &mut lookup.written {
        *written = commitment("new", 1);
    }
    assert_eq!(judge(&mut one, now, &lookup), Some(Find::Uncertain));
}

#[test]
fn while_we_write_anew_nothing_is_known() {
    let (mut one, _, now) = two(&Memory::default());
    let lookup = nowhere(&mut one, now);
    one.core.directory.doubt();
    assert_eq!(judge(&mut one, now, &lookup), Some(Find::Uncertain));
}

#[test]
fn whoever_lives_must_have_written_all_under_this_marker_and_its_epoch() {
    let (mut one, _, now) = two(&Memory::default());
    let lookup = nowhere(&mut one, now);
    let marker = lookup.marker.clone().unwrap();
    for (name, written) in [
        ("other", commitment(&marker, 1)),
        ("two", commitment("old", 1)),
        ("two", commitment(&marker, 2)),
        ("two", marker),
    ] {
        let mut lookup = lookup.clone();
        lookup.written.retain(|(writer, _)| writer == "one");
        lookup.written.push((name.to_owned(), written.clone()));
        let find = judge(&mut one, now, &lookup);
        assert_eq!(find, Some(Find::Uncertain), "{name} {written}");
    }
}

#[test]
fn while_somebody_is_suspected_nothing_is_known() {
    let (mut one, _, mut now) = two(&Memory::default());
    let lookup = nowhere(&mut one, now);
    beat_alone(&mut one, &mut now, 6);
    assert_eq!(one.core.life(now, "two"), Life::Suspect);
    assert_eq!(judge(&mut one, now, &lookup), Some(Find::Uncertain));

    beat_alone(&mut one, &mut now, 4);
    assert_eq!(one.core.life(now, "two"), Life::Dead);
    assert_eq!(judge(&mut one, now, &lookup), Some(Find::NotFound));
}

#[test]
fn while_a_node_may_be_unknown_nothing_is_known() {
    let (mut one, _, now) = two(&Memory::default());
    let lookup = nowhere(&mut one, now);
    one.core.liveness.unsettle();
    assert_eq!(judge(&mut one, now, &lookup), Some(Find::Uncertain));
}

#[test]
fn an_entry_that_makes_no_sense_is_no_answer() {
    let store = Memory::default();
    let (mut one, _, now) = two(&store);
    store.plant("ann", "s", "nonsense");
    let lookup = store.find_now("ann", "s", true).unwrap();
    let (find, change) = one.core.judge(now, "ann", &lookup, true);
    assert_eq!(find, Some(Find::Uncertain));
    assert!(change.is_some(), "it is told");

    let lookup = store.sessions_now("ann").unwrap();
    let (census, changes) = one.core.judge_account(now, "ann", &lookup);
    assert!(census.sessions.is_empty() && !census.complete);
    assert_eq!(changes.len(), 1);
}

#[test]
fn who_was_dead_and_writes_under_a_later_epoch_is_not_known() {
    let store = Memory::default();
    let (mut one, _, now) = two(&store);
    store.declare_dead("two");
    one.beat(now);
    store.plant("ann", "s", "1|two|1|5|sid");
    assert_eq!(one.find(now, "ann", "s"), Some(Find::NotFound));

    store.plant("ann", "s", "1|two|2|5|sid");
    assert_eq!(one.find(now, "ann", "s"), Some(Find::Uncertain));
    let lookup = store.sessions_now("ann").unwrap();
    let (census, _) = one.core.judge_account(now, "ann", &lookup);
    assert!(census.sessions.is_empty() && !census.complete);
}

#[test]
fn who_is_named_and_was_never_seen_is_asked_for_and_given_up_in_time() {
    let store = Memory::default();
    let (mut one, _, mut now) = two(&store);
    store.plant("ann", "s", "1|three|1|5|sid");
    assert_eq!(one.find(now, "ann", "s"), Some(Find::Uncertain));
    assert!(one.core.met_stranger());
    assert!(!one.core.met_stranger(), "once");

    beat_alone(&mut one, &mut now, 9);
    let mut corpses = one.core.liveness.corpses(now);
    assert!(corpses.any(|corpse| *corpse.node == *"three"));
}

#[test]
fn a_census_is_complete_only_when_all_is_known() {
    let store = Memory::default();
    let (mut one, _, now) = two(&store);
    let lookup = store.sessions_now("ann").unwrap();
    assert!(one.core.judge_account(now, "ann", &lookup).0.complete);
    one.core.directory.doubt();
    assert!(!one.core.judge_account(now, "ann", &lookup).0.complete);
}

#[test]
fn a_census_has_what_is_here_and_nothing_of_who_is_gone_or_of_others() {
    let store = Memory::default();
    let (mut one, _, now) = two(&store);
    let neighbour = (0..).map(|number| number.to_string());
    let neighbour = neighbour
        .into_iter()
        .find(|name| bucket(name) == bucket("ann"));
    let neighbour = User::new(&neighbour.unwrap(), "there", "sid1");
    one.core.directory.connect(&neighbour, now, None);
    let ann = User::new("ann", "here", "sid2");
    one.core.directory.connect(&ann, now, None);
    store.plant("ann", "gone", "1|one|1|5|old");

    let lookup = store.sessions_now("ann").unwrap();
    let (census, _) = one.core.judge_account(now, "ann", &lookup);

    let sessions = census.sessions.iter().map(|(located, _)| &*located.session);
    assert_eq!(sessions.collect::<Vec<_>>(), ["here"]);
}

#[test]
fn what_there_is_to_be_thought_of_a_node_is_never_more_than_is_known() {
    let (mut one, _, mut now) = two(&Memory::default());
    assert_eq!(one.core.life(now, "one"), Life::Live);
    assert_eq!(one.core.life(now, "two"), Life::Live);
    assert_eq!(one.core.life(now, "three"), Life::Unknown);
    let later = now + LEASE * 6;
    assert_eq!(
        one.core.life(later, "two"),
        Life::Suspect,
        "nothing was heard"
    );
    assert_eq!(one.core.life(later, "one"), Life::Live);

    beat_alone(&mut one, &mut now, 6);
    assert_eq!(one.core.life(now, "two"), Life::Suspect);
    let nodes = one.core.nodes(now);
    assert_eq!(
        nodes.iter().map(|node| node.live).collect::<Vec<_>>(),
        [true, false]
    );
}

#[test]
fn few_peers_are_all_there_are_or_none_is_named() {
    let (mut one, _, now) = two(&Memory::default());
    assert_eq!(one.core.few_peers(now, 1), Some(vec!["two".into()]));
    assert_eq!(one.core.few_peers(now, 0), None);
    one.core.liveness.unsettle();
    assert_eq!(one.core.few_peers(now, 1), None);
}

#[test]
fn who_lost_the_store_for_a_moment_knows_nothing_until_all_can_have_shown_themselves() {
    let (mut one, mut two, mut now) = two(&Memory::default());
    nowhere(&mut one, now);
    one.core.handle_loss(away());
    assert!(!one.core.is_settled(now), "at once");

    let mut settled = None;
    for beat in 1..10 {
        now += LEASE;
        for node in [&mut one, &mut two] {
            node.beat(now);
            node.write(now, true);
        }
        if settled.is_none() && one.core.is_settled(now) {
            settled = Some(LEASE * beat);
        }
    }
    assert_eq!(settled, Some(LEASE * 5));
}

#[test]
fn whose_own_row_is_lost_knows_nothing_until_all_can_have_shown_themselves() {
    let store = Memory::default();
    let (mut one, _, now) = two(&store);
    store.flush();
    one.beat(now);
    one.beat(now);
    one.write(now, true);
    assert!(!one.core.is_settled(now));
    assert_eq!(one.find(now, "ann", "s"), Some(Find::Uncertain));
}
