//! What the task does beside writing, in paused time.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::{
    super::{Find, Presence, PresenceState, keys::bucket, memory::Memory, types::Life},
    odd::Odd,
    running::{Node, ann, pass},
};
use crate::{
    config::PresenceSettings,
    message::User,
    notice::{Notice, Noticeboard},
};

const LEASE: Duration = Duration::from_millis(500);

fn left(node: &Node) -> Vec<String> {
    let notices = node.notices.lock();
    let left = notices.iter().filter_map(|notice| match notice {
        Notice::Leave { user, .. } => Some(user.account().to_owned()),
        _ => None,
    });
    left.collect()
}

/// Ends a node as a crash does.
fn kill(node: &Node) {
    node.task.abort();
}

#[tokio::test(start_paused = true)]
async fn who_clears_up_tells_who_has_left_and_forgets_the_node() {
    let store = Odd::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(LEASE * 10).await;
    for account in ["ann", "bob", "eve"] {
        assert!(two.connect(&User::new(account, "s", account)).await);
    }
    store.pages.lock().extend((0..3).map(|number| {
        let account = format!("page{number}");
        (User::new(&account, "s", "sid"), 1)
    }));
    kill(&two);
    pass(LEASE * 20).await;

    let mut left = left(&one);
    left.sort();
    assert_eq!(left, ["ann", "bob", "eve", "page0", "page1", "page2"]);
    assert!(store.memory.dump().is_empty());
    assert_eq!(one.presence.life("two"), Life::Dead);
    assert!(!is_listed(&store.memory, "two"), "its row is gone");
}

fn is_listed(store: &Memory, node: &str) -> bool {
    store.nodes().iter().any(|name| name == node)
}

#[tokio::test(start_paused = true)]
async fn the_row_that_says_dead_stands_until_everybody_has_seen_it() {
    let store = Memory::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(LEASE * 10).await;
    kill(&two);
    while one.presence.life("two") != Life::Dead {
        pass(LEASE / 5).await;
    }
    // The next round buries it, and not before the one after that it is forgotten.
    pass(LEASE * 4).await;
    assert!(is_listed(&store, "two"));
    pass(LEASE * 5).await;
    assert!(!is_listed(&store, "two"));
}

#[tokio::test(start_paused = true)]
async fn while_somebody_else_clears_up_nobody_else_does() {
    let store = Odd::default();
    store.claimed.store(true, Ordering::Relaxed);
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(LEASE * 10).await;
    assert!(two.connect(&ann()).await);
    kill(&two);
    pass(LEASE * 40).await;
    assert!(left(&one).is_empty());
    assert_eq!(store.memory.dump().len(), 1);

    store.claimed.store(false, Ordering::Relaxed);
    pass(LEASE * 10).await;
    assert_eq!(left(&one), ["ann"]);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_buried_is_cleared_up_all_the_same() {
    let store = Memory::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(LEASE * 10).await;
    assert!(two.connect(&ann()).await);
    kill(&two);
    store.declare_dead("two");
    pass(LEASE * 6).await;
    assert_eq!(left(&one), ["ann"]);
}

#[tokio::test(start_paused = true)]
async fn who_knows_nothing_for_sure_clears_up_nothing() {
    let store = Memory::default();
    let two = Node::start("two", &store);
    pass(LEASE * 10).await;
    assert!(two.connect(&ann()).await);
    kill(&two);
    store.declare_dead("two");
    let one = Node::start("one", &store);
    // Its first round comes before it has seen all who live.
    pass(LEASE * 4 + LEASE / 2).await;
    assert!(left(&one).is_empty());
    pass(LEASE * 5).await;
    assert_eq!(left(&one), ["ann"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_node_could_not_remove_is_removed_with_its_next_epoch_and_not_told_as_left() {
    let store = Memory::default();
    let settings = PresenceSettings {
        backlog: 1,
        ..PresenceSettings::default()
    };
    let node = Node::with("one", &store, settings);
    pass(LEASE * 10).await;
    let users = ["ann", "bob", "eve"].map(|account| User::new(account, "s", account));
    for user in &users {
        assert!(node.connect(user).await);
    }
    for user in &users[..2] {
        node.presence.disconnect(user);
    }
    pass(LEASE * 20).await;
    let accounts: Vec<_> = store
        .dump()
        .into_iter()
        .map(|(account, ..)| account)
        .collect();
    assert_eq!(accounts, ["eve"]);
    assert!(left(&node).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_is_found_again_and_told_everything() {
    let store = Odd::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(LEASE * 10).await;
    *store.away.lock() = Some("ann");
    assert!(!one.connect(&ann()).await);
    let start = Instant::now();
    let again = User::new("ann", "s2", "sid2");
    assert!(!one.connect(&again).await);
    assert_eq!(start.elapsed(), Duration::ZERO, "it is known to be away");
    assert_eq!(
        one.names()
            .iter()
            .filter(|name| **name == "error::connect")
            .count(),
        2
    );
    one.presence.disconnect(&again);
    one.presence.disconnect(&again);
    let failed = |name: &&&str| **name == "error::disconnect";
    assert_eq!(one.names().iter().filter(failed).count(), 1, "once");
    assert_eq!(one.presence.state(), PresenceState::Syncing);
    assert_eq!(one.presence.find("ann", "other").await, Find::Uncertain);
    assert!(!one.presence.sessions("ann").await.complete);
    let before = store.batches.load(Ordering::Relaxed);
    pass(Duration::from_secs(20)).await;
    let batches = store.batches.load(Ordering::Relaxed) - before;
    assert!(batches < 200, "{batches} in 20 s");

    *store.away.lock() = None;
    // The longest time between two attempts.
    pass(Duration::from_millis(1100)).await;

    assert_eq!(one.presence.state(), PresenceState::Synced);
    assert_eq!(
        two.presence.find("ann", "s1").await,
        Find::Found("one".into())
    );
}

#[tokio::test(start_paused = true)]
async fn an_account_whose_server_is_away_is_not_asked_for() {
    let store = Odd::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(LEASE * 10).await;
    assert!(two.connect(&ann()).await);
    *store.away.lock() = Some("ann");
    assert!(!one.connect(&User::new("ann", "here", "sid")).await);
    assert_eq!(one.presence.find("ann", "s1").await, Find::Uncertain);
    let sessions = one.presence.sessions("ann").await.sessions;
    assert_eq!(sessions.len(), 1, "our own");
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_haste_does_not_help_and_the_attempts_go_on() {
    let store = Odd::default();
    let node = Node::start("one", &store);
    pass(LEASE * 4).await;
    store.memory.stall(true);
    pass(Duration::from_secs(60)).await;
    let before = store.beats.load(Ordering::Relaxed);
    for _ in 0..100 {
        node.presence.drain();
        pass(Duration::from_millis(100)).await;
    }
    let attempts = store.beats.load(Ordering::Relaxed) - before;
    assert!((9..=11).contains(&attempts), "{attempts} in 10 s");
}

#[tokio::test(start_paused = true)]
async fn who_drains_says_so_at_once() {
    let store = Memory::default();
    let settings = PresenceSettings {
        lease: Duration::from_secs(100),
        suspect: Duration::from_secs(400),
        dead: Duration::from_secs(500),
        ..PresenceSettings::default()
    };
    let node = Node::with("one", &store, settings);
    pass(Duration::from_secs(110)).await;
    node.presence.drain();
    pass(Duration::from_millis(1)).await;
    assert!(store.row("one").is_some_and(|row| row.contains("drain")));
}

#[tokio::test(start_paused = true)]
async fn who_comes_right_behind_goes_along() {
    let store = Odd::default();
    let node = Node::start("one", &store);
    pass(LEASE * 10 + LEASE / 2).await;
    let before = store.batches.load(Ordering::Relaxed);
    for account in ["ann", "bob", "eve"] {
        drop(node.presence.connect(&User::new(account, "s", account)));
        tokio::task::yield_now().await;
    }
    pass(Duration::from_millis(2)).await;
    assert_eq!(store.batches.load(Ordering::Relaxed) - before, 1);
    assert_eq!(store.memory.dump().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_great_deal_is_written_at_the_rate_that_is_set() {
    let store = Memory::default();
    let settings = PresenceSettings {
        batch: 10,
        rate: 100,
        ..PresenceSettings::default()
    };
    let node = Node::with("one", &store, settings);
    pass(LEASE * 10 + LEASE / 2).await;
    for account in 0..50 {
        drop(
            node.presence
                .connect(&User::new(&account.to_string(), "s", "sid")),
        );
    }
    pass(Duration::from_millis(250)).await;
    let written = store.dump().len();
    assert!((20..=40).contains(&written), "{written}");
    pass(Duration::from_millis(500)).await;
    assert_eq!(store.dump().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_stored_is_told_with_what_keeps_it() {
    let store = Memory::default();
    let node = Node::start("one", &store);
    pass(LEASE * 10).await;
    store.stall(true);
    pass(LEASE * 10).await;
    assert!(!node.connect(&ann()).await);
    let notices = node.notices.lock();
    let Some(Notice::ConnectError { error, .. }) = notices.last() else {
        panic!("{notices:?}");
    };
    assert!(!error.contains("not connected yet"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_reached_is_told_with_its_cause() {
    let store = Odd::default();
    let node = Node::start("one", &store);
    pass(LEASE * 10).await;
    *store.away.lock() = Some("ann");
    assert!(!node.connect(&ann()).await);
    assert!(!node.connect(&User::new("ann", "s2", "sid2")).await);
    let notices = node.notices.lock();
    let Some(Notice::ConnectError { error, .. }) = notices.last() else {
        panic!("{notices:?}");
    };
    assert!(error.contains("just now"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_loses_what_is_written_is_told_of_whenever_it_is_reached_anew() {
    let store = Odd::default();
    *store.lossy.lock() = Some("allkeys-lru".to_owned());
    let node = Node::start("one", &store);
    let told = |node: &Node| {
        node.names()
            .iter()
            .filter(|name| **name == "presence::eviction")
            .count()
    };
    pass(LEASE * 10).await;
    assert_eq!(told(&node), 1);
    store.memory.stall(true);
    pass(LEASE * 10).await;
    store.memory.stall(false);
    pass(LEASE * 10).await;
    assert_eq!(told(&node), 2);
}

#[tokio::test(start_paused = true)]
async fn who_takes_its_own_session_over_loses_it_to_nobody() {
    let store = Memory::default();
    let node = Node::start("one", &store);
    pass(LEASE * 10).await;
    assert!(node.connect(&ann()).await);
    let again = User::new("ann", "s1", "sid2");
    assert!(node.connect(&again).await);
    // Before the next heartbeat fetches what there is to hear of.
    pass(Duration::from_millis(5)).await;
    assert_eq!(store.evicted("one"), 0);
    pass(LEASE * 4).await;
    assert!(
        node.superseded.lock().is_empty(),
        "the registry has closed it"
    );
}

#[tokio::test(start_paused = true)]
async fn very_many_that_are_displaced_are_all_told() {
    let store = Odd::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(LEASE * 10).await;
    let user = |account: u32, sid: &str| User::new(&account.to_string(), "s", sid);
    for account in 0..300 {
        drop(one.presence.connect(&user(account, "old")));
    }
    pass(LEASE).await;
    for account in 0..300 {
        drop(two.presence.connect(&user(account, "new")));
    }
    pass(LEASE * 4).await;
    assert_eq!(one.superseded.lock().len(), 300);
}

#[tokio::test(start_paused = true)]
async fn the_dead_are_told_nothing() {
    let store = Odd::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(LEASE * 10).await;
    assert!(two.connect(&ann()).await);
    kill(&two);
    store.claimed.store(true, Ordering::Relaxed);
    pass(LEASE * 20).await;
    assert_eq!(one.presence.life("two"), Life::Dead);
    store.failures.store(1000, Ordering::Relaxed);
    assert!(one.connect(&User::new("ann", "s1", "sid2")).await);
    pass(LEASE).await;
    assert_eq!(store.failures.load(Ordering::Relaxed), 1000);
}

#[tokio::test(start_paused = true)]
async fn whose_connect_was_not_heard_of_tells_everybody() {
    let store = Odd::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(LEASE * 10).await;
    assert!(one.connect(&ann()).await);
    let new = User::new("ann", "s1", "sid2");
    store.deaf.store(true, Ordering::Relaxed);
    assert!(!two.connect(&new).await);
    store.deaf.store(false, Ordering::Relaxed);
    pass(LEASE * 8).await;
    assert_eq!(*one.superseded.lock(), [ann()]);
    assert!(two.superseded.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_goes_tells_whom_it_displaced_and_stores_nothing_more() {
    let store = Odd::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(LEASE * 10).await;
    assert!(one.connect(&ann()).await);
    store.failures.store(1, Ordering::Relaxed);
    assert!(two.connect(&User::new("ann", "s1", "sid2")).await);
    drop(two.presence.connect(&User::new("bob", "s", "sid3")));
    two.presence.finish().await;
    assert_eq!(bucket_of(&store, "bob"), 0);
    pass(LEASE * 2).await;
    assert_eq!(*one.superseded.lock(), [ann()]);
}

fn bucket_of(store: &Odd, name: &str) -> usize {
    let entries = store.memory.dump();
    entries
        .iter()
        .filter(|(account, ..)| account == name)
        .count()
}

#[tokio::test(start_paused = true)]
async fn whom_the_store_never_heard_of_has_no_last_word() {
    let store = Memory::default();
    store.stall(true);
    let node = Node::start("one", &store);
    pass(LEASE).await;
    store.stall(false);
    timeout(LEASE / 50, node.presence.finish()).await.unwrap();
    assert!(!is_listed(&store, "one"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_asked_is_no_answer() {
    let store = Memory::default();
    let node = Node::start("one", &store);
    pass(LEASE * 10).await;
    assert_eq!(node.presence.find("ann", "s1").await, Find::NotFound);
    store.stall(true);
    assert_eq!(node.presence.find("ann", "s1").await, Find::Uncertain);
}

#[tokio::test(start_paused = true)]
async fn who_was_never_heard_of_is_gone() {
    let store = Memory::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(LEASE * 10).await;
    assert!(one.presence.is_gone("nobody"));
    assert!(!one.presence.is_gone("two"));
    kill(&two);
    pass(LEASE * 10).await;
    assert!(one.presence.is_gone("two"));
}

#[tokio::test(start_paused = true)]
async fn of_who_moved_before_it_was_buried_nothing_is_removed() {
    let store = Odd::default();
    store.moving.store(true, Ordering::Relaxed);
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(LEASE * 10).await;
    assert!(two.connect(&ann()).await);
    kill(&two);
    pass(LEASE * 40).await;
    assert!(left(&one).is_empty());
    assert_eq!(store.memory.dump().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_could_not_clear_up_all_goes_on_before_the_node_is_forgotten() {
    let store = Odd::default();
    let (one, two) = (Node::start("one", &store), Node::start("two", &store));
    pass(LEASE * 10).await;
    assert!(two.connect(&ann()).await);
    kill(&two);
    store.clumsy.store(3, Ordering::Relaxed);
    pass(LEASE * 40).await;
    assert_eq!(left(&one), ["ann"]);
    assert!(!is_listed(&store.memory, "two"));
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_it_is_asked_for_is_found() {
    let store = Odd::default();
    let node = Node::start("one", &store);
    pass(LEASE * 10 + LEASE / 2).await;
    *store.slow.lock() = Duration::from_millis(1);
    let come = async {
        tokio::task::yield_now().await;
        drop(node.presence.connect(&ann()));
    };
    let (find, ()) = tokio::join!(node.presence.find("ann", "s1"), come);
    assert_eq!(find, Find::Found("one".into()));
}

#[tokio::test(start_paused = true)]
async fn only_so_many_wait_to_be_told() {
    let (presence, task) = Presence::pair(
        "one",
        Arc::new(Memory::default()),
        PresenceSettings::default(),
        Noticeboard::new(),
        Arc::new(|_: &User, _| {}),
    );
    for _ in 0..20_000 {
        task.evict("two".into(), String::new());
    }
    assert_eq!(presence.shared.evictions.lock().len(), 10_000);
}

#[test]
fn accounts_of_the_tests_are_in_buckets_of_their_own() {
    let buckets = ["ann", "bob", "eve"].map(bucket);
    assert!(buckets[0] != buckets[1] && buckets[1] != buckets[2] && buckets[0] != buckets[2]);
}
