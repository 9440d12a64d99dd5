//! The handle and its task against a store in this process, in paused time.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::{
    super::{Find, Presence, PresenceState, memory::Memory},
    odd::Odd,
    running::{Node, ann, pass},
};
use crate::{config::PresenceSettings, message::User, notice::Noticeboard};

#[tokio::test(start_paused = true)]
async fn an_entry_is_stored_before_anybody_waits_in_vain() {
    let store = Memory::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(Duration::from_secs(5)).await;
    let start = Instant::now();
    assert!(one.connect(&ann()).await);
    assert!(start.elapsed() < Duration::from_millis(100));
    assert_eq!(
        two.presence.find("ann", "s1").await,
        Find::Found("one".into())
    );
    assert_eq!(one.names(), ["presence::online", "presence::join"]);
    one.presence.disconnect(&ann());
    pass(Duration::from_millis(10)).await;
    assert_eq!(two.presence.find("ann", "s1").await, Find::NotFound);
    assert_eq!(one.names().last(), Some(&"presence::leave"));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_while_the_store_is_away_and_everybody_is_told() {
    let store = Memory::default();
    store.stall(true);
    let node = Node::start("one", &store);
    pass(Duration::from_secs(1)).await;
    let start = Instant::now();
    assert!(!node.connect(&ann()).await);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(node.presence.state(), PresenceState::Offline);
    pass(Duration::from_secs(60)).await;
    assert_eq!(
        node.names(),
        ["presence::offline", "error::connect"],
        "one of each"
    );
    store.stall(false);
    pass(Duration::from_millis(1100)).await;
    assert_eq!(
        node.presence.state(),
        PresenceState::Synced,
        "the back-off is at most a second"
    );
    assert_eq!(store.dump().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_ends_at_once_costs_nothing() {
    let store = Memory::default();
    let node = Node::start("one", &store);
    pass(Duration::from_secs(1)).await;
    drop(node.presence.connect(&ann()));
    node.presence.disconnect(&ann());
    pass(Duration::from_secs(1)).await;
    assert_eq!(node.names(), ["presence::online"]);
    assert!(store.dump().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_old_disconnect_removes_nothing_newer() {
    let store = Memory::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(Duration::from_secs(5)).await;
    assert!(one.connect(&ann()).await);
    let newer = User::new("ann", "s1", "sid2");
    assert!(two.connect(&newer).await);
    one.presence.disconnect(&ann());
    pass(Duration::from_secs(1)).await;
    assert_eq!(
        one.presence.find("ann", "s1").await,
        Find::Found("two".into())
    );

    let newest = User::new("ann", "s1", "sid3");
    assert!(two.connect(&newest).await);
    two.presence.disconnect(&newer);
    pass(Duration::from_secs(1)).await;
    assert_eq!(
        one.presence.find("ann", "s1").await,
        Find::Found("two".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_that_moves_is_superseded_where_it_was() {
    let store = Memory::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(Duration::from_secs(5)).await;
    assert!(one.connect(&ann()).await);
    assert!(two.connect(&User::new("ann", "s1", "sid2")).await);
    pass(Duration::from_secs(1)).await;
    assert_eq!(*one.superseded.lock(), [ann()]);
    assert!(two.superseded.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_declared_dead_comes_back_by_itself() {
    let store = Memory::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(Duration::from_secs(5)).await;
    assert!(one.connect(&ann()).await);
    store.declare_dead("one");
    pass(Duration::from_secs(3)).await;
    assert_eq!(
        two.presence.find("ann", "s1").await,
        Find::Found("one".into())
    );
    assert!(one.names().contains(&"presence::fenced"));
    assert!(
        one.superseded.lock().is_empty(),
        "its clients were untouched"
    );
}

#[tokio::test(start_paused = true)]
async fn clients_of_a_node_that_was_declared_dead_are_closed_if_it_is_strict() {
    let store = Memory::default();
    let (keeps, closes) = (Node::start("one", &store), Node::strict("two", &store));
    pass(Duration::from_secs(5)).await;
    assert!(keeps.connect(&ann()).await);
    let bob = User::new("bob", "s1", "sid2");
    assert!(closes.connect(&bob).await);
    for name in ["one", "two"] {
        store.declare_dead(name);
    }
    pass(Duration::from_secs(1)).await;
    assert_eq!(*closes.fenced.lock(), [bob]);
    assert!(keeps.fenced.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn clients_are_closed_before_others_can_give_up_a_strict_node() {
    let store = Memory::default();
    let node = Node::strict("one", &store);
    pass(Duration::from_secs(5)).await;
    assert!(node.connect(&ann()).await);
    store.stall(true);
    pass(Duration::from_millis(2900)).await;
    assert!(node.fenced.lock().is_empty(), "it may come back in time");
    pass(Duration::from_millis(1000)).await;
    assert_eq!(node.fenced.lock().first(), Some(&ann()));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_everything_closes_nobody() {
    let store = Memory::default();
    let node = Node::strict("one", &store);
    pass(Duration::from_secs(5)).await;
    assert!(node.connect(&ann()).await);
    store.flush();
    pass(Duration::from_secs(5)).await;
    assert_eq!(store.dump().len(), 1);
    assert!(node.fenced.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_gone_the_task_says_goodbye() {
    let store = Memory::default();
    let node = Node::start("one", &store);
    pass(Duration::from_secs(1)).await;
    assert!(node.connect(&ann()).await);
    node.presence.disconnect(&ann());
    drop(node.presence);
    node.task.await.unwrap();
    assert!(store.dump().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_waits_when_the_store_is_lost_waits_no_longer() {
    let store = Memory::default();
    store.stall(true);
    let node = Node::start("one", &store);
    let start = Instant::now();
    assert!(
        !node.connect(&ann()).await,
        "the first answer was not there yet"
    );
    assert!(start.elapsed() < Duration::from_millis(100));
    pass(Duration::from_millis(1)).await;
    assert_eq!(node.names(), ["error::connect", "presence::offline"]);
}

#[tokio::test(start_paused = true)]
async fn what_an_older_epoch_wrote_does_not_count() {
    let store = Memory::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(Duration::from_secs(5)).await;
    store.plant("ann", "s9", "1|one|1|5|old");
    assert_eq!(
        two.presence.find("ann", "s9").await,
        Find::Found("one".into())
    );
    store.declare_dead("one");
    pass(Duration::from_secs(3)).await;
    assert_eq!(one.presence.state(), PresenceState::Synced);
    assert_eq!(two.presence.find("ann", "s9").await, Find::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_came_just_now_is_found_at_once() {
    let store = Memory::default();
    let one = Node::start("one", &store);
    pass(Duration::from_millis(5100)).await;
    let two = Node::start("two", &store);
    assert!(two.connect(&ann()).await);
    assert_eq!(
        one.presence.find("ann", "s1").await,
        Find::Found("two".into())
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_word_is_said_whatever_keeps_the_rest() {
    let store = Odd::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(Duration::from_secs(5)).await;
    assert!(one.connect(&ann()).await);
    store.silent.store(true, Ordering::Relaxed);
    one.presence.disconnect(&ann());

    let finished = timeout(Duration::from_millis(600), one.presence.finish()).await;

    assert!(finished.is_err(), "it tries to remove what is left");
    assert_eq!(two.presence.find("ann", "s1").await, Find::NotFound);
}

#[tokio::test(start_paused = true)]
async fn who_is_displaced_is_told_however_often_that_fails() {
    let store = Odd::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(Duration::from_secs(5)).await;
    assert!(one.connect(&ann()).await);
    store.failures.store(5, Ordering::Relaxed);
    assert!(two.connect(&User::new("ann", "s1", "sid2")).await);
    pass(Duration::from_secs(5)).await;
    assert_eq!(*one.superseded.lock(), [ann()]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_never_ran_keeps_nobody_waiting() {
    let (presence, task) = Presence::pair(
        "one",
        Arc::new(Memory::default()),
        PresenceSettings::default(),
        Noticeboard::new(),
        Arc::new(|_: &User, _| {}),
    );
    drop(task.run());
    let finished = timeout(Duration::from_secs(5), presence.finish());
    assert_eq!(finished.await, Ok(()));
}
