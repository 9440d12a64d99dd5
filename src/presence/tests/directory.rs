//! What is written, what is written again, and what becomes of what was not.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    super::{
        directory::{Directory, Event},
        job::{Job, Kept, Reply},
        keys::bucket,
    },
    node::{EXPIRY, away},
};
use crate::{error::StoreError, message::User};

const SECOND: Duration = Duration::from_secs(1);

/// What the store's clock shows when a test begins.
const TIME: u64 = 50_000_000;

const KEPT: Kept = Kept {
    listed: true,
    expiring: false,
};

/// A directory, and the store that does as it is told.
struct Desk {
    directory: Directory,
    now: Instant,
    epoch: u64,
    events: Vec<Event>,
}

impl Desk {
    /// All buckets of it are written.
    fn new() -> Self {
        Self::with(8)
    }

    fn with(max_deletes: usize) -> Self {
        let mut desk = Self {
            directory: Directory::new(max_deletes, EXPIRY),
            now: super::start(),
            epoch: 1,
            events: Vec::new(),
        };
        desk.directory.set_clock(desk.now, TIME);
        desk.write_all();
        assert!(desk.directory.is_complete());
        desk
    }

    fn connect(&mut self, user: &User) {
        self.directory.connect(user, self.now, None);
    }

    fn take(&mut self) -> Vec<Job> {
        self.directory.take_batch(self.now, self.epoch, 1000)
    }

    fn settle(&mut self, job: Job, result: Result<Reply, StoreError>) {
        let (now, events) = (self.now, &mut self.events);
        self.directory.settle(job, result, now, events);
    }

    /// The one thing there is to do.
    fn take_one(&mut self) -> Job {
        let mut jobs = self.take();
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        jobs.remove(0)
    }

    /// All goes well until nothing is left; what was done.
    fn write_all(&mut self) -> Vec<&'static str> {
        let mut done = Vec::new();
        for _ in 0..100 {
            let jobs = self.take();
            if jobs.is_empty() {
                return done;
            }
            for job in jobs {
                done.push(name(&job));
                let reply = well(&job, "m");
                self.settle(job, Ok(reply));
            }
        }
        panic!("it never comes to an end: {:?}", &done[done.len() - 5..]);
    }

    /// It is reached again.
    fn find_again(&mut self) {
        for job in self.directory.take_probes() {
            self.settle(job, Ok(Reply::Uncommit));
        }
    }

    fn is_complete(&self) -> bool {
        self.directory.complete_under(bucket("ann")).is_some()
    }

    fn told(&mut self) -> Vec<String> {
        let told = self.events.drain(..).map(|event| match event {
            Event::Stored(user, generation) => format!("stored {} {generation}", user.sid()),
            Event::Removed(user, generation) => format!("removed {} {generation}", user.sid()),
            Event::Usurped(user, generation) => format!("usurped {} {generation}", user.sid()),
            Event::Superseded(user) => format!("superseded {}", user.sid()),
            Event::ConnectFailed(user, _) => format!("not stored {}", user.sid()),
            Event::DisconnectFailed(user, _) => format!("not removed {}", user.sid()),
            other => format!("{other:?}"),
        });
        told.collect()
    }
}

const fn name(job: &Job) -> &'static str {
    match job {
        Job::Put { .. } => "put",
        Job::Delete { .. } => "delete",
        Job::Prune { .. } => "prune",
        Job::Commit { .. } => "commit",
        Job::Uncommit { .. } => "uncommit",
    }
}

fn names(jobs: &[Job]) -> Vec<&'static str> {
    jobs.iter().map(name).collect()
}

fn well(job: &Job, marker: &str) -> Reply {
    let marker: Arc<str> = marker.into();
    match job {
        Job::Put { generation, .. } => Reply::Put {
            marker,
            generation: *generation,
            other: None,
            lost: false,
            followers: Vec::new(),
            kept: KEPT,
        },
        Job::Delete { gone, .. } => Reply::Delete {
            marker: Some(marker),
            generation: gone.generation,
        },
        Job::Commit { sent, .. } => Reply::Commit {
            marker,
            done: true,
            time: *sent,
        },
        Job::Prune { .. } | Job::Uncommit { .. } => Reply::Uncommit,
    }
}

fn refused() -> StoreError {
    StoreError::Refused("full".into())
}

fn ann(sid: &str) -> User {
    User::new("ann", "s", sid)
}

#[test]
fn who_was_never_written_is_not_removed() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    desk.connect(&ann("b"));
    assert!(
        !desk.directory.disconnect(&ann("a")),
        "it is not its own any more"
    );
    assert_eq!(names(&desk.take()), ["put"]);
}

#[test]
fn who_follows_on_one_that_was_written_has_it_removed() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    desk.write_all();
    desk.connect(&ann("b"));
    assert_eq!(names(&desk.take()), ["put", "delete"]);
}

#[test]
fn the_answer_for_an_older_connection_says_nothing_of_a_newer_one() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    let job = desk.take_one();
    desk.connect(&ann("b"));
    let reply = well(&job, "m");
    desk.settle(job, Ok(reply));
    assert!(desk.told().is_empty());
    assert_eq!(desk.directory.of_account("ann"), [(ann("b"), None)]);
}

#[test]
fn a_generation_is_when_a_session_began_and_stays() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    desk.now += 10 * SECOND;
    desk.directory.set_clock(desk.now, TIME + 10_000_000);
    let job = desk.take_one();
    assert!(
        matches!(
            job,
            Job::Put {
                generation: TIME,
                ..
            }
        ),
        "{job:?}"
    );
    let reply = Reply::Put {
        marker: "m".into(),
        generation: TIME + 7,
        other: None,
        lost: false,
        followers: Vec::new(),
        kept: KEPT,
    };
    desk.settle(job, Ok(reply));

    desk.directory.doubt();
    let jobs = desk.take();
    let again = jobs.iter().find(|job| name(job) == "put");
    assert!(
        matches!(again, Some(Job::Put { generation, .. }) if *generation == TIME + 7),
        "{again:?}"
    );
}

#[test]
fn a_clock_that_was_read_later_tells_when_a_session_began() {
    let (now, mut directory) = (super::start(), Directory::new(8, EXPIRY));
    directory.set_clock(now, TIME - 1);
    directory.connect(&ann("a"), now, None);
    directory.set_clock(now + 10 * SECOND, TIME + 10_000_000);
    let jobs = directory.take_batch(now + 11 * SECOND, 1, 1);
    assert!(
        matches!(jobs[..], [Job::Put { generation: TIME, sent, .. }] if sent == TIME + 11_000_000),
        "{jobs:?}"
    );
}

#[test]
fn only_a_first_attempt_that_comes_at_once_takes_the_place_of_whatever_is_there() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    assert!(matches!(desk.take_one(), Job::Put { force: true, .. }));
    desk.directory.doubt();
    let again = desk.take().into_iter().find(|job| name(job) == "put");
    assert!(matches!(again, Some(Job::Put { force: false, .. })));

    desk.connect(&User::new("bob", "s", "b"));
    desk.now += SECOND;
    let late = desk.take().into_iter().find(|job| name(job) == "put");
    assert!(matches!(late, Some(Job::Put { force: false, .. })));
}

#[test]
fn what_came_late_is_sent_again_as_if_for_the_first_time_and_by_the_clock_of_its_server() {
    for writing in [false, true] {
        let mut desk = Desk::new();
        if writing {
            desk.directory.doubt();
        }
        desk.connect(&ann("a"));
        let mut jobs = desk.take();
        let put = jobs.iter().position(|job| name(job) == "put").unwrap();
        let late = Reply::Late { time: TIME * 2 };
        desk.settle(jobs.remove(put), Ok(late));

        let again = desk.take().into_iter().find(|job| name(job) == "put");
        assert!(
            matches!(again, Some(Job::Put { force: true, sent, .. }) if sent == TIME * 2),
            "{again:?}"
        );
    }
}

#[test]
fn a_bucket_is_said_to_be_written_after_all_of_it_and_in_no_batch_with_it() {
    let mut desk = Desk::new();
    for sid in ["a", "b", "c"] {
        desk.connect(&User::new("ann", sid, sid));
    }
    desk.directory.doubt();
    desk.directory.take_batch(desk.now, 1, 64);
    for _ in 0..3 {
        let mut jobs = desk.directory.take_batch(desk.now, 1, 1);
        while matches!(jobs[..], [Job::Commit { bucket: other, .. }] if other != bucket("ann")) {
            let job = jobs.remove(0);
            let reply = well(&job, "m");
            desk.settle(job, Ok(reply));
            jobs = desk.directory.take_batch(desk.now, 1, 1);
        }
        assert_eq!(names(&jobs), ["put"]);
        assert!(!desk.is_complete());
        let job = jobs.remove(0);
        let reply = well(&job, "m");
        desk.settle(job, Ok(reply));
    }
    desk.write_all();
    assert!(desk.is_complete());
}

#[test]
fn while_a_session_is_being_written_its_bucket_is_not_looked_at() {
    let mut desk = Desk::new();
    desk.directory.check([bucket("ann")]);
    desk.connect(&ann("a"));
    assert_eq!(names(&desk.take()), ["put"]);
    desk.directory.doubt();
    let jobs = desk.take();
    let of_ann = jobs.iter().filter(|job| match job {
        Job::Put { .. } => true,
        Job::Commit { bucket: one, .. } => *one == bucket("ann"),
        _ => false,
    });
    assert_eq!(of_ann.map(name).collect::<Vec<_>>(), ["put"]);
}

#[test]
fn a_look_at_a_bucket_names_the_marker_that_it_is_to_have() {
    let mut desk = Desk::new();
    desk.directory.check([3]);
    let job = desk.take_one();
    assert!(
        matches!(&job, Job::Commit { bucket: 3, expected: Some(marker), .. } if **marker == *"m"),
        "{job:?}"
    );
    let reply = Reply::Commit {
        marker: "new".into(),
        done: false,
        time: TIME,
    };
    desk.settle(job, Ok(reply));
    assert_eq!(desk.directory.complete_under(3), None);
    assert!(!desk.directory.is_complete(), "one is enough");
    assert_eq!(
        desk.directory.complete_under(4).map(|marker| &**marker),
        Some("m")
    );
}

#[test]
fn a_bucket_is_written_only_when_the_store_says_so_and_nothing_came_between() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    desk.write_all();
    for (done, between) in [(false, false), (true, true)] {
        desk.directory.doubt();
        let mut jobs = desk.take();
        while let Some(job) = jobs.pop() {
            let reply = well(&job, "m");
            desk.settle(job, Ok(reply));
        }
        let job = desk.take_one();
        assert_eq!(name(&job), "commit");
        if between {
            desk.directory.doubt();
        }
        let reply = Reply::Commit {
            marker: "m".into(),
            done,
            time: TIME,
        };
        desk.settle(job, Ok(reply));
        assert!(!desk.is_complete(), "done: {done}, between: {between}");
        desk.write_all();
    }
}

#[test]
fn a_bucket_that_began_anew_is_written_again_however_it_is_heard() {
    for how in ["put", "delete", "empty", "commit"] {
        for writing in [false, true] {
            let mut desk = Desk::new();
            desk.connect(&User::new("ann", "stays", "stays"));
            desk.connect(&ann("a"));
            desk.write_all();
            let job = match how {
                "put" => {
                    desk.connect(&User::new("ann", "comes", "comes"));
                    desk.take_one()
                }
                "delete" | "empty" => {
                    desk.directory.disconnect(&ann("a"));
                    desk.take_one()
                }
                _ => {
                    desk.directory.check([bucket("ann")]);
                    desk.take_one()
                }
            };
            if writing {
                let other = Job::Commit {
                    bucket: bucket("ann"),
                    expected: None,
                    epoch: 1,
                    sent: TIME,
                };
                let reply = well(&other, "m2");
                desk.settle(other, Ok(reply));
                desk.take();
            }
            let reply = match how {
                "empty" => Reply::Delete {
                    marker: None,
                    generation: None,
                },
                _ => well(&job, "m3"),
            };
            desk.settle(job, Ok(reply));
            assert!(!desk.is_complete(), "{how}");
            let again = desk.take().iter().filter(|job| name(job) == "put").count();
            assert!(again >= 1, "{how}, writing: {writing}");
        }
    }
}

#[test]
fn in_doubt_it_is_taken_back_that_all_is_written_and_everything_written_once() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    desk.write_all();
    desk.connect(&ann("b"));
    desk.directory.doubt();
    let done = desk.write_all();
    let count = |what| done.iter().filter(|one| **one == what).count();
    assert_eq!(count("uncommit"), 64);
    assert_eq!(count("commit"), 64);
    assert_eq!(count("put"), 1);
    assert_eq!(count("delete"), 1, "what ended is still removed");
}

#[test]
fn with_a_new_epoch_nothing_of_the_old_one_counts() {
    let mut desk = Desk::with(2);
    for sid in ["a", "b", "c", "d"] {
        desk.connect(&User::new("ann", sid, sid));
    }
    desk.write_all();
    desk.directory.disconnect(&User::new("ann", "a", "a"));
    let job = desk.take_one();
    desk.settle(job, Err(refused()));
    desk.directory.disconnect(&User::new("ann", "b", "b"));
    desk.directory.doubt();

    desk.directory.begin_epoch();
    desk.directory.retry_refused();

    let done = desk.write_all();
    assert!(
        !done.contains(&"delete") && !done.contains(&"uncommit"),
        "{done:?}"
    );
    desk.directory.disconnect(&User::new("ann", "c", "c"));
    desk.directory.disconnect(&User::new("ann", "d", "d"));
    assert!(
        !desk.directory.take_overflow(),
        "there is room for two again"
    );
}

#[test]
fn only_so_much_waits_to_be_removed() {
    let mut desk = Desk::with(2);
    for round in 0..3 {
        let users = ["a", "b"].map(|sid| User::new("ann", sid, sid));
        for user in &users {
            desk.connect(user);
        }
        desk.write_all();
        for user in &users {
            desk.directory.disconnect(user);
        }
        assert_eq!(desk.write_all(), ["delete", "delete"], "round {round}");
        assert!(!desk.directory.take_overflow());
    }
    for sid in ["a", "b", "c"] {
        desk.connect(&User::new("ann", sid, sid));
    }
    desk.write_all();
    for sid in ["a", "b", "c"] {
        desk.directory.disconnect(&User::new("ann", sid, sid));
    }
    assert!(desk.directory.take_overflow());
    assert!(!desk.directory.take_overflow(), "once");
    assert!(desk.take().is_empty());
}

#[test]
fn who_could_not_be_stored_is_told_and_not_vouched_for_until_it_is_tried_again() {
    let mut desk = Desk::new();
    let (waiter, mut stored) = oneshot::channel();
    desk.directory.connect(&ann("a"), desk.now, Some(waiter));
    let job = desk.take_one();
    desk.settle(job, Err(refused()));
    assert_eq!(desk.told(), ["not stored a"]);
    assert!(stored.try_recv() == Err(oneshot::error::TryRecvError::Closed));
    assert!(!desk.is_complete());
    assert_eq!(names(&desk.take()), ["uncommit"], "and nothing else");

    desk.directory.retry_refused();
    assert_eq!(desk.write_all(), ["put", "commit"]);
    assert_eq!(desk.told(), [format!("stored a {TIME}")]);
    assert!(desk.is_complete());
}

#[test]
fn what_could_not_be_removed_is_told_and_tried_again() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    desk.write_all();
    desk.directory.disconnect(&ann("a"));
    let job = desk.take_one();
    desk.told();
    desk.settle(job, Err(refused()));
    assert_eq!(desk.told(), ["not removed a"]);
    assert!(desk.take().is_empty());

    desk.directory.retry_refused();
    assert_eq!(desk.write_all(), ["delete"]);
    assert_eq!(desk.told(), [format!("removed a {TIME}")]);
}

#[test]
fn a_bucket_that_may_not_be_vouched_for_waits_until_it_is_tried_again() {
    let mut desk = Desk::new();
    desk.directory.check([bucket("ann")]);
    let job = desk.take_one();
    desk.settle(job, Err(refused()));
    assert!(!desk.is_complete() && desk.take().is_empty());
    desk.directory.retry_refused();
    assert_eq!(desk.write_all(), ["commit"]);
    assert!(desk.is_complete());
}

#[test]
fn a_batch_that_came_to_nothing_is_told_once_and_what_it_took_back_is_taken_back_again() {
    let mut desk = Desk::new();
    desk.connect(&ann("old"));
    desk.write_all();
    desk.directory.disconnect(&ann("old"));
    desk.directory.doubt();
    let (waiter, mut stored) = oneshot::channel();
    let new = User::new("bob", "s", "new");
    desk.directory.connect(&new, desk.now, Some(waiter));
    let jobs = desk.take();
    desk.told();

    desk.directory.give_up(jobs, &away(), &mut desk.events);
    desk.directory.doubt();

    assert!(stored.try_recv() == Err(oneshot::error::TryRecvError::Closed));
    let mut told = desk.told();
    told.sort();
    assert_eq!(told, ["not removed old", "not stored new"]);
    let done = desk.write_all();
    assert_eq!(done.iter().filter(|one| **one == "uncommit").count(), 64);
    let told = desk.told();
    assert!(told.contains(&format!("removed old {TIME}")), "{told:?}");
}

#[test]
fn who_was_stored_before_is_not_told_that_it_is_not_stored_again() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    desk.write_all();
    desk.told();
    desk.directory.doubt();
    let jobs = desk.take();
    desk.directory.give_up(jobs, &away(), &mut desk.events);
    assert!(desk.told().is_empty());
    desk.directory.doubt();
    desk.write_all();
    assert_eq!(
        desk.told(),
        [format!("usurped a {TIME}")],
        "it is not stored for the first time"
    );
}

#[test]
fn what_an_older_connection_may_have_taken_a_newer_one_tells() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    let jobs = desk.take();
    desk.directory.give_up(jobs, &away(), &mut desk.events);
    desk.connect(&ann("b"));
    desk.told();
    desk.write_all();
    assert!(desk.told().contains(&format!("usurped b {TIME}")));
}

#[test]
fn a_removal_of_what_was_not_there_is_none() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    desk.write_all();
    desk.directory.disconnect(&ann("a"));
    desk.told();
    let job = desk.take_one();
    let reply = Reply::Delete {
        marker: Some("m".into()),
        generation: None,
    };
    desk.settle(job, Ok(reply));
    assert!(desk.told().is_empty());
}

#[test]
fn a_server_that_is_not_reached_keeps_nobody_waiting_and_nothing_goes_there() {
    let mut desk = Desk::new();
    let waiters: Vec<_> = ["first", "queued"]
        .map(|sid| {
            let (waiter, stored) = oneshot::channel();
            let user = User::new("ann", sid, sid);
            desk.directory.connect(&user, desk.now, Some(waiter));
            stored
        })
        .into();
    let job = desk.directory.take_batch(desk.now, 1, 1).remove(0);
    desk.settle(job, Err(away()));
    for mut stored in waiters {
        assert!(stored.try_recv() == Err(oneshot::error::TryRecvError::Closed));
    }
    assert_eq!(desk.told(), ["not stored first", "not stored queued"]);

    desk.connect(&User::new("ann", "later", "later"));
    desk.directory
        .disconnect(&User::new("ann", "first", "first"));
    let jobs = desk.take();
    let elsewhere =
        |job: &Job| matches!(job, Job::Commit { bucket: one, .. } if *one != bucket("ann"));
    assert!(jobs.iter().all(elsewhere), "{jobs:?}");
    assert_eq!(
        jobs.len(),
        63,
        "what else is on that server is to be known soon"
    );
    desk.directory.doubt();
    assert!(desk.directory.has_lost("ann"), "nobody has found it again");
    assert_eq!(names(&desk.directory.take_probes()), ["uncommit"]);
}

#[test]
fn a_server_that_is_reached_again_is_told_everything() {
    let mut desk = Desk::new();
    for sid in ["gone", "tried", "stays"] {
        desk.connect(&User::new("ann", sid, sid));
    }
    desk.write_all();
    desk.directory
        .disconnect(&User::new("ann", "tried", "tried"));
    let job = desk.take_one();
    desk.told();
    desk.settle(job, Err(away()));
    assert_eq!(desk.told(), ["not removed tried"]);
    desk.directory.disconnect(&User::new("ann", "gone", "gone"));
    desk.take();

    desk.find_again();

    let jobs = desk.take();
    assert_eq!(names(&jobs), ["delete", "delete", "put"]);
    for job in jobs {
        // It was removed before, and nobody heard of it.
        let reply = match job {
            Job::Delete { ref gone, .. } if gone.user.sid() == "tried" => Reply::Delete {
                marker: Some("m".into()),
                generation: None,
            },
            ref other => well(other, "m"),
        };
        desk.settle(job, Ok(reply));
    }
    let mut told = desk.told();
    told.sort();
    assert_eq!(
        told,
        [
            format!("removed gone {TIME}"),
            format!("removed tried {TIME}")
        ]
    );
    assert_eq!(desk.write_all(), ["commit"]);
    assert!(desk.is_complete());
}

#[test]
fn who_takes_back_what_was_not_lost_writes_nothing_twice() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    desk.write_all();
    let job = Job::Uncommit {
        bucket: bucket("ann"),
    };
    desk.settle(job, Ok(Reply::Uncommit));
    assert!(desk.take().is_empty());
}

#[test]
fn each_server_is_written_to_by_its_own_clock() {
    let mut desk = Desk::new();
    let job = Job::Commit {
        bucket: bucket("ann"),
        expected: Some("m".into()),
        epoch: 1,
        sent: TIME,
    };
    let reply = Reply::Commit {
        marker: "m".into(),
        done: true,
        time: TIME * 2,
    };
    desk.settle(job, Ok(reply));
    desk.connect(&ann("a"));
    desk.now += SECOND;
    let job = desk.take_one();
    assert!(
        matches!(job, Job::Put { sent, .. } if sent == TIME * 2 + 1_000_000),
        "{job:?}"
    );
}

#[test]
fn only_who_is_meant_and_older_makes_way() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    assert_eq!(
        desk.directory.evict(&ann(""), TIME + 1),
        None,
        "it was not stored yet"
    );
    assert_eq!(
        desk.directory.evict(&ann("b"), TIME + 1),
        None,
        "it is another one"
    );
    desk.write_all();
    assert_eq!(desk.directory.evict(&ann("a"), TIME), None, "it is as new");
    assert_eq!(desk.directory.evict(&ann(""), TIME), None, "it is as new");
    assert_eq!(
        desk.directory.evict(&ann("b"), TIME + 1),
        None,
        "it is another one"
    );
    assert_eq!(desk.directory.evict(&ann(""), TIME + 1), Some(ann("a")));
    assert!(!desk.directory.has("ann", "s"));

    desk.connect(&ann("c"));
    assert_eq!(
        desk.directory.evict(&ann("c"), 1),
        Some(ann("c")),
        "its answer was lost"
    );
}

#[test]
fn who_made_way_does_not_stay_in_the_index() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    desk.write_all();
    desk.directory.evict(&ann("a"), TIME + 1);
    let job = desk.take_one();
    assert!(matches!(&job, Job::Delete { gone, .. } if gone.listed));
    let gone = Reply::Delete {
        marker: Some("m".into()),
        generation: None,
    };
    desk.settle(job, Ok(gone));

    desk.connect(&ann("b"));
    let job = desk.take_one();
    let lost = Reply::Put {
        marker: "m".into(),
        generation: TIME,
        other: None,
        lost: true,
        followers: Vec::new(),
        kept: KEPT,
    };
    desk.settle(job, Ok(lost));
    assert_eq!(names(&desk.take()), ["delete"]);
    assert_eq!(
        desk.told(),
        [format!("stored a {TIME}"), "superseded b".to_owned()]
    );
}

#[test]
fn who_is_written_again_may_come_to_be_listed() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    let unlisted = |kept| Reply::Put {
        marker: "m".into(),
        generation: TIME,
        other: None,
        lost: false,
        followers: Vec::new(),
        kept,
    };
    let job = desk.take_one();
    let kept = Kept {
        listed: false,
        expiring: true,
    };
    desk.settle(job, Ok(unlisted(kept)));
    desk.directory.doubt();
    let jobs = desk.take();
    assert!(names(&jobs).contains(&"put"));
    desk.directory.disconnect(&ann("a"));
    let jobs = desk.take();
    let delete = jobs.iter().find(|job| name(job) == "delete");
    assert!(matches!(delete, Some(Job::Delete { gone, .. }) if gone.listed));
}

#[test]
fn at_the_end_nothing_is_stored_and_what_ended_is_removed() {
    let mut desk = Desk::new();
    desk.connect(&ann("a"));
    desk.write_all();
    desk.directory.disconnect(&ann("a"));
    desk.directory.doubt();
    for account in ["bob", "eve"] {
        desk.connect(&User::new(account, "s", account));
    }
    desk.directory.end();
    assert_eq!(desk.write_all(), ["delete"]);
}
