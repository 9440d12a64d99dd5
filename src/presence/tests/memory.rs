//! The store in this process keeps what the one in Redis keeps.

use super::{
    super::{
        job::{Beat, Job, Reply, eviction},
        keys::bucket,
        liveness::Corpse,
        memory::Memory,
        value::Lease,
    },
    node::two,
};
use crate::message::User;

fn lease(seq: u64) -> Lease {
    Lease {
        epoch: 1,
        seq,
        dead: false,
        draining: false,
        sessions: 0,
        reach: None,
        rest: None,
    }
}

fn beat(store: &Memory, seq: u64, register: bool) -> bool {
    let lease = lease(seq);
    let beat = Beat { lease, register };
    store.beat_now("one", &beat).unwrap().known
}

fn corpse(seq: u64) -> Corpse {
    Corpse {
        node: "one".into(),
        lease: lease(seq),
        listed: true,
    }
}

fn commit(store: &Memory, expected: Option<&str>, sent: u64) -> Reply {
    let job = Job::Commit {
        bucket: bucket("ann"),
        expected: expected.map(Into::into),
        epoch: 1,
        sent,
    };
    store.write_now("one", &[job]).unwrap().remove(0).unwrap()
}

#[test]
fn a_heartbeat_makes_no_row_and_changes_none_that_says_dead() {
    let store = Memory::default();
    assert!(!beat(&store, 1, false));
    assert!(!beat(&store, 2, false), "it was not made");
    beat(&store, 3, true);
    assert!(beat(&store, 4, false));
    store.declare_dead("one");
    assert!(!beat(&store, 5, false));
    assert!(!beat(&store, 6, false), "it is dead still");
}

#[test]
fn who_moved_meanwhile_is_not_buried() {
    let store = Memory::default();
    beat(&store, 1, true);
    beat(&store, 2, false);
    assert!(!store.bury_now(&corpse(1)).unwrap());
    assert!(beat(&store, 3, false));
    assert!(store.bury_now(&corpse(3)).unwrap());
    assert!(!beat(&store, 4, false));
}

#[test]
fn who_is_not_buried_is_not_forgotten() {
    let store = Memory::default();
    beat(&store, 1, true);
    store.forget_now(&corpse(1)).unwrap();
    assert!(beat(&store, 2, false));
    store.bury_now(&corpse(2)).unwrap();
    store.forget_now(&corpse(2)).unwrap();
    let table = store.beat_now(
        "two",
        &Beat {
            lease: lease(1),
            register: false,
        },
    );
    assert!(table.unwrap().leases.is_empty());
}

#[test]
fn what_a_node_has_to_hear_of_is_kept_for_those_who_are_there_and_bounded() {
    let store = Memory::default();
    let user = User::new("ann", "s", "");
    store.evict_now("one", &eviction(&user, "", 0)).unwrap();
    assert_eq!(store.evicted("one"), 0, "it is not there");
    beat(&store, 1, true);
    for generation in 1..=1001 {
        store
            .evict_now("one", &eviction(&user, "", generation))
            .unwrap();
    }
    let table = store
        .beat_now(
            "one",
            &Beat {
                lease: lease(2),
                register: false,
            },
        )
        .unwrap();
    assert_eq!(table.evictions.len(), 1000);
    assert_eq!(table.evictions[0], eviction(&user, "", 2));
}

#[test]
fn a_bucket_is_vouched_for_in_time_and_under_its_own_marker() {
    let store = Memory::default();
    store.set_time(5_000_000);
    let Reply::Commit {
        marker, done: true, ..
    } = commit(&store, None, 5_000_000)
    else {
        panic!("it is the first");
    };
    assert!(matches!(
        commit(&store, Some("other"), 5_000_000),
        Reply::Commit { done: false, .. }
    ));
    assert!(matches!(
        commit(&store, Some(&marker), 5_000_000),
        Reply::Commit { done: true, .. }
    ));
    assert!(matches!(
        commit(&store, Some(&marker), 3_999_999),
        Reply::Late { time: 5_000_000 }
    ));
}

#[test]
fn on_its_own_node_the_later_connection_takes_over_and_counts_on() {
    let store = Memory::default();
    let (mut one, _, now) = two(&store);
    let put = |sid: &str, force, generation| {
        let job = Job::Put {
            user: User::new("ann", "s", sid),
            epoch: 1,
            generation,
            force,
            sent: 4_500_000,
        };
        store.write_now("one", &[job]).unwrap().remove(0).unwrap()
    };
    one.beat(now);
    assert!(matches!(
        put("a", true, 9_000_000),
        Reply::Put {
            generation: 9_000_000,
            lost: false,
            other: None,
            ..
        }
    ));
    assert!(matches!(
        put("b", false, 3_000_000),
        Reply::Put {
            generation: 9_000_001,
            lost: false,
            other: Some(_),
            ..
        }
    ));
    assert!(matches!(
        put("b", false, 3_000_000),
        Reply::Put {
            generation: 9_000_001,
            lost: false,
            other: None,
            ..
        }
    ));
}

#[test]
fn nobody_removes_the_entry_of_another_node() {
    let store = Memory::default();
    store.plant("ann", "s", "1|two|1|5|sid");
    let gone = super::super::job::Gone {
        user: User::new("ann", "s", "sid"),
        generation: None,
        untold: false,
        again: false,
        listed: true,
    };
    let reply = store
        .write_now("one", &[Job::Delete { gone, epoch: 1 }])
        .unwrap()
        .remove(0);
    assert!(matches!(
        reply,
        Ok(Reply::Delete {
            generation: None,
            ..
        })
    ));
    assert_eq!(store.dump().len(), 1);
}
