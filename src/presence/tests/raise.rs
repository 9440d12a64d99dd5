//! What a node tells of its sessions when it comes back to those who took it for dead.

use std::time::Duration;

use super::{
    super::{
        Find,
        directory::{Directory, Event},
        job::{Job, Kept, Reply},
        memory::Memory,
    },
    running::{Node, ann, pass},
    start,
};
use crate::{message::User, notice::Notice};

/// The generations of all joins that a node told.
fn joins(node: &Node) -> Vec<u64> {
    let notices = node.notices.lock();
    let joins = notices.iter().filter_map(|notice| match notice {
        Notice::Join { generation, .. } => Some(*generation),
        _ => None,
    });
    joins.collect()
}

async fn pair() -> (Memory, Node, Node) {
    let store = Memory::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(Duration::from_secs(5)).await;
    assert!(one.connect(&ann()).await);
    (store, one, two)
}

#[tokio::test(start_paused = true)]
async fn who_was_declared_dead_comes_back_with_higher_generations() {
    let (store, one, two) = pair().await;
    one.presence.want_moves(true);
    store.declare_dead("one");
    pass(Duration::from_secs(3)).await;

    let joins = joins(&one);
    assert_eq!(joins.len(), 2);
    assert!(joins[1] > joins[0], "{joins:?}");
    let moves = one.presence.take_moves().moves;
    let moves = moves.iter().map(|one| (one.generation, one.joined));
    assert_eq!(moves.collect::<Vec<_>>(), [(joins[1], true)]);
    let census = two.presence.census("ann").await;
    assert_eq!(census.sessions[0].1, Some(joins[1]));
}

#[tokio::test(start_paused = true)]
async fn who_was_away_as_long_as_a_dead_node_comes_back_with_higher_generations() {
    let (store, one, _two) = pair().await;
    store.stall(true);
    pass(Duration::from_secs(5)).await;
    store.stall(false);
    pass(Duration::from_secs(3)).await;

    let joins = joins(&one);
    assert!(matches!(joins[..], [old, new] if new > old), "{joins:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_everything_or_was_away_for_a_moment_makes_nobody_join_again() {
    let (store, one, two) = pair().await;
    store.flush();
    pass(Duration::from_secs(5)).await;
    store.stall(true);
    pass(Duration::from_secs(2)).await;
    store.stall(false);
    pass(Duration::from_secs(5)).await;

    assert_eq!(joins(&one).len(), 1);
    let found = two.presence.find("ann", "s1").await;
    assert_eq!(found, Find::Found("one".into()));
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_takes_nothing_from_a_newer_connection() {
    let (store, one, two) = pair().await;
    store.stall(true);
    pass(Duration::from_secs(3)).await;
    let newer = User::new("ann", "s1", "sid2");
    assert!(!two.connect(&newer).await, "nobody reaches the store");
    pass(Duration::from_secs(4)).await;
    store.stall(false);
    pass(Duration::from_secs(3)).await;

    assert_eq!(*one.superseded.lock(), [ann()]);
    assert!(two.superseded.lock().is_empty());
    let found = one.presence.find("ann", "s1").await;
    assert_eq!(found, Find::Found("two".into()));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_here_any_more_left_once() {
    let (_store, one, two) = pair().await;
    one.presence.want_moves(true);
    let [old, new, other] = ["sid1", "sid2", "sid3"].map(|sid| User::new("ann", "s1", sid));
    assert!(one.connect(&new).await);
    one.presence.disconnect(&old);
    assert!(two.connect(&other).await);
    pass(Duration::from_secs(1)).await;
    one.presence.disconnect(&new);

    let moves = one.presence.take_moves().moves;
    let told = moves.iter().map(|one| (one.user.sid(), one.joined));
    assert_eq!(told.collect::<Vec<_>>(), [("sid2", true), ("sid2", false)]);
    assert_eq!(moves[0].generation, moves[1].generation);
    assert!((0..64).all(|part| one.presence.told_in(part).is_empty()));
}

/// A directory, and what becomes of what it writes.
struct Desk {
    directory: Directory,
    now: std::time::Instant,
    events: Vec<Event>,
}

impl Desk {
    fn new() -> Self {
        let (mut directory, now) = (Directory::new(8, Duration::from_secs(3600)), start());
        directory.set_clock(now, 1_000);
        directory.log.want(true);
        directory.connect(&ann(), now, None);
        let events = Vec::new();
        let mut desk = Self {
            directory,
            now,
            events,
        };
        desk.write(false, |_| {});
        desk
    }

    /// Writes everything, which takes while something happens.
    fn write(&mut self, lost: bool, meanwhile: impl FnOnce(&mut Directory)) {
        let jobs = self.directory.take_batch(self.now, 1, 100);
        meanwhile(&mut self.directory);
        for job in jobs {
            let reply = match &job {
                Job::Put { generation, .. } => Reply::Put {
                    marker: "m".into(),
                    generation: *generation,
                    other: None,
                    lost,
                    followers: Vec::new(),
                    kept: Kept {
                        listed: true,
                        expiring: false,
                    },
                },
                _ => Reply::Uncommit,
            };
            let (now, events) = (self.now, &mut self.events);
            self.directory.settle(job, Ok(reply), now, events);
        }
    }

    /// Generations of joins and of leaves.
    fn moves(&mut self) -> Vec<(u64, bool)> {
        let moves = self.directory.log.take().moves.into_iter();
        moves.map(|one| (one.generation, one.joined)).collect()
    }
}

#[test]
fn the_answer_to_an_older_write_takes_nothing_back() {
    let mut desk = Desk::new();
    desk.directory.raise();
    desk.write(false, Directory::raise);
    desk.write(false, |_| {});

    let joins = desk.events.iter().map(|event| match event {
        Event::Stored(_, generation) => *generation,
        other => panic!("{other:?}"),
    });
    assert_eq!(joins.collect::<Vec<_>>(), [1_000, 1_002]);
}

#[test]
fn a_session_that_was_lost_to_another_node_left_here() {
    let mut desk = Desk::new();
    desk.directory.raise();
    desk.write(true, |_| {});
    assert_eq!(desk.moves(), [(1_000, true), (1_000, false)]);
}

#[test]
fn a_connection_that_was_never_stored_takes_the_session_with_it() {
    let mut desk = Desk::new();
    let newer = User::new("ann", "s1", "sid2");
    desk.directory.connect(&newer, desk.now, None);
    desk.directory.disconnect(&newer);
    assert_eq!(desk.moves(), [(1_000, true), (1_000, false)]);
}
