//! What nobody heard of, and what becomes of it.

use super::{
    super::{directory::Directory, job::Job, keys::bucket, memory::Memory},
    node::{EXPIRY, away, two},
};
use crate::{error::StoreError, message::User};

#[test]
fn who_was_displaced_without_a_word_is_told_later() {
    for leaves in [false, true] {
        let store = Memory::default();
        let (mut one, mut two, now) = two(&store);
        let (old, new) = (User::new("ann", "s", "old"), User::new("ann", "s", "new"));
        one.core.directory.connect(&old, now, None);
        one.write(now, true);

        store.set_time(5_000_000);
        two.core.directory.connect(&new, now, None);
        two.write(now, false);
        if leaves {
            two.core.directory.disconnect(&new);
        }
        two.beat(now);
        two.write(now, true);
        one.beat(now);

        assert_eq!(one.superseded, [old], "leaves: {leaves}");
        assert!(two.superseded.is_empty());
        two.beat(now);
        assert_eq!(two.core.directory.len(), usize::from(!leaves));
    }
}

#[test]
fn who_is_newer_does_not_mind_what_an_older_one_tells_late() {
    let store = Memory::default();
    let (mut one, _, now) = two(&store);
    let user = User::new("ann", "s", "new");
    one.core.directory.connect(&user, now, None);
    one.write(now, true);
    let nobody = User::new("ann", "s", "");
    assert_eq!(one.core.directory.evict(&nobody, 5), None);
    assert_eq!(one.core.directory.len(), 1);
}

#[test]
fn a_removal_that_nobody_heard_of_is_told_once_it_is_sure() {
    let store = Memory::default();
    let (mut one, _, now) = two(&store);
    let user = User::new("ann", "s", "sid");
    one.core.directory.connect(&user, now, None);
    one.write(now, true);
    one.core.directory.disconnect(&user);
    one.write(now, false);
    assert!(one.removed.is_empty() && store.dump().is_empty());

    one.beat(now);
    one.write(now, true);

    assert_eq!(one.removed.len(), 1);
}

#[test]
fn what_is_lost_stays_lost_where_something_was_refused() {
    let (now, user) = (super::start(), User::new("ann", "s", "sid"));
    let mut directory = Directory::new(8, EXPIRY);
    directory.set_clock(now, 1_000_000);
    directory.connect(&user, now, None);
    let jobs = directory.take_batch(now, 1, 1);
    let mut events = Vec::new();
    let lost = Job::Commit {
        bucket: bucket("ann"),
        expected: None,
        epoch: 1,
        sent: 1,
    };
    directory.settle(lost, Err(away()), now, &mut events);
    for job in jobs {
        let refused = StoreError::Refused("full".into());
        directory.settle(job, Err(refused), now, &mut events);
    }
    assert!(directory.has_lost("ann"));
}
