//! What a node makes of its heartbeats.

use super::{
    super::{
        core::Change,
        directory::Event,
        job::{Job, Table},
        keys::bucket,
        memory::Memory,
        types::PresenceState,
    },
    node::{LEASE, Node, away, two},
};
use crate::message::User;

fn table(time: u64) -> Table {
    Table {
        known: true,
        buried: false,
        time,
        leases: Vec::new(),
        evictions: Vec::new(),
    }
}

#[test]
fn nothing_is_written_before_the_store_knows_the_node() {
    let store = Memory::default();
    let mut one = Node::new("one", &store);
    let now = super::start();
    one.core
        .directory
        .connect(&User::new("ann", "s", "sid"), now, None);
    assert!(one.core.take_batch(now, 100).is_empty());
    assert!(one.core.beat(now).register);
    one.beat(now);
    assert!(!one.core.take_batch(now, 100).is_empty());
}

#[test]
fn who_is_declared_dead_registers_anew_at_once_and_writes_nothing_before() {
    let store = Memory::default();
    let (mut one, _, now) = two(&store);
    assert!(
        !one.core.beat(now).register,
        "its row is not to be made again"
    );
    store.declare_dead("one");

    let changes = one.beat(now);

    assert!(
        changes
            .iter()
            .any(|change| matches!(change, Change::Fenced))
    );
    assert!(
        changes
            .iter()
            .any(|change| matches!(change, Change::Outlived(1)))
    );
    assert_eq!(one.core.epoch(), 2);
    assert!(one.core.wants_beat() && one.core.beat(now).register);
    assert!(one.core.take_batch(now, 100).is_empty());
}

#[test]
fn a_table_that_says_it_is_dead_is_not_talked_over() {
    let store = Memory::default();
    let (mut one, mut two, now) = two(&store);
    store.declare_dead("one");
    one.beat(now);
    two.beat(now);
    assert_eq!(two.core.peers(now).len(), 0);
}

#[test]
fn what_was_written_under_an_older_epoch_does_not_count() {
    let store = Memory::default();
    let (mut one, _, now) = two(&store);
    let user = User::new("ann", "s", "sid");
    one.core.directory.connect(&user, now, None);
    let (epoch, jobs) = (one.core.epoch(), one.core.take_batch(now, 100));
    let results = store.write_now("one", &jobs);
    store.declare_dead("one");
    one.beat(now);

    let changes = one.core.settle(now, epoch, jobs, results);

    assert!(changes.is_empty(), "{changes:?}");
    assert_eq!(one.core.directory.of_account("ann"), [(user, None)]);
}

#[test]
fn a_node_is_synced_when_all_of_it_is_written() {
    let (mut one, _, now) = two(&Memory::default());
    assert_eq!(one.core.state(), PresenceState::Synced);
    one.core.directory.doubt();
    assert_eq!(one.core.state(), PresenceState::Syncing);
    one.write(now, true);
    assert_eq!(one.core.state(), PresenceState::Synced);
    one.core.handle_loss(away());
    assert_eq!(one.core.state(), PresenceState::Offline);
}

#[test]
fn who_could_not_be_heard_for_so_long_that_others_gave_it_up_is_told() {
    let (mut one, _, now) = two(&Memory::default());
    let alone = |changes: &[Change]| changes.iter().any(|one| matches!(one, Change::Alone));
    let later = now + LEASE * 6;
    assert!(!alone(&one.beat(later)));
    assert!(alone(&one.beat(later + LEASE * 7)));
}

#[test]
fn a_node_that_forgot_what_to_remove_begins_anew() {
    let store = Memory::default();
    let (mut one, _, now) = two(&store);
    let users: Vec<User> = (0..9)
        .map(|number| User::new("ann", &number.to_string(), "sid"))
        .collect();
    for user in &users {
        one.core.directory.connect(user, now, None);
    }
    one.write(now, true);
    for user in &users {
        one.core.directory.disconnect(user);
    }

    let changes = one.beat(now);

    assert!(
        changes
            .iter()
            .any(|change| matches!(change, Change::Outlived(1)))
    );
    assert_eq!(one.core.epoch(), 2);
}

#[test]
fn a_row_that_makes_no_sense_is_told() {
    let (mut one, _, now) = two(&Memory::default());
    let mut table = table(5_000_000);
    table.leases.push(("odd".to_owned(), "nonsense".to_owned()));
    let changes = one.core.handle_table(now, table);
    assert!(matches!(&changes[..], [Change::Nonsense(what)] if what.contains("odd")));
}

#[test]
fn what_others_took_is_told_and_what_makes_no_sense_of_it_too() {
    let (mut one, _, now) = two(&Memory::default());
    let mut table = table(5_000_000);
    table.evictions.push("nonsense".to_owned());
    let changes = one.core.handle_table(now, table);
    assert!(matches!(changes[..], [Change::Nonsense(_)]));
}

#[test]
fn an_account_is_away_when_its_server_is() {
    let (mut one, _, now) = two(&Memory::default());
    assert!(!one.core.is_away("ann"));
    let lost = Job::Uncommit {
        bucket: bucket("ann"),
    };
    let results = Ok(vec![Err(away())]);
    one.core.settle(now, 1, vec![lost], results);
    assert!(one.core.is_away("ann"));
    let elsewhere = (0..).map(|number| number.to_string());
    let elsewhere = elsewhere
        .into_iter()
        .find(|name| bucket(name) != bucket("ann"));
    assert!(!one.core.is_away(&elsewhere.unwrap()));
}

#[test]
fn what_is_sent_bears_the_time_of_the_last_heartbeat() {
    let now = super::start();
    let mut one = Node::new("one", &Memory::default());
    one.core.handle_table(now, table(1_000_000));
    one.core.handle_table(now, table(9_000_000));
    one.core
        .directory
        .connect(&User::new("ann", "s", "sid"), now, None);
    let jobs = one.core.take_batch(now, 1);
    assert!(
        matches!(
            jobs[..],
            [Job::Put {
                sent: 9_000_000,
                ..
            }]
        ),
        "{jobs:?}"
    );
}

#[test]
fn what_was_refused_is_tried_again_some_heartbeats_later() {
    let (mut one, _, mut now) = two(&Memory::default());
    let user = User::new("ann", "s", "sid");
    one.core.directory.connect(&user, now, None);
    let jobs = one.core.take_batch(now, 100);
    let refused = || Err(crate::error::StoreError::Refused("full".into()));
    let results = jobs.iter().map(|_| refused()).collect();
    let changes = one.core.settle(now, 1, jobs, Ok(results));
    let failed = Change::Of(Event::ConnectFailed(user, refused().unwrap_err()));
    assert_eq!(
        format!("{:?}", changes.last()),
        format!("{:?}", Some(failed))
    );

    let mut beats = 0;
    while one.core.directory.of_account("ann")[0].1.is_none() {
        beats += 1;
        assert!(beats <= 10, "it is never tried again");
        now += LEASE;
        one.beat(now);
        one.write(now, true);
    }
}
