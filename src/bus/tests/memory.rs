use std::{sync::Arc, time::Duration};

use super::cast::{Diary, LONG, World, say};
use crate::{
    bus::{
        Answer, Bus, Deliver, Outcome, Refused, Unreached, entry,
        inboxes::{Appended, Failed, Inboxes as _},
        memory::InHub,
    },
    condition::{Access, Condition},
    config::Settings,
    notice::{Notice, Noticeboard},
    presence::Life,
};

const ENQUEUED: Answer = Answer::Forward(Outcome::Enqueued);

#[tokio::test(start_paused = true)]
async fn a_call_is_delivered_and_answered() {
    let world = World::default();
    let (mut a, mut b) = (world.node("a"), world.node("b"));
    a.notice("bus::online").await;
    b.notice("bus::online").await;
    assert!(a.bus.is_online());

    let answer = a.bus.ask("b", &say("hello"), LONG).await;

    assert_eq!(answer, Ok(ENQUEUED));
    let heard = b.diary.heard.lock().clone();
    assert_eq!(heard, [("a".to_owned(), "hello".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn posts_and_asks_of_one_node_come_in_order() {
    let world = World::default();
    let (a, mut b) = (world.node("a"), world.node("b"));
    b.notice("bus::online").await;

    let mut asked = Vec::new();
    for number in 0..100 {
        a.bus.post("b", &say(&format!("post {number}"))).unwrap();
        asked.push(a.bus.ask("b", &say(&format!("ask {number}")), LONG));
        if number % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for answer in asked {
        assert_eq!(answer.await, Ok(ENQUEUED));
    }

    let expected: Vec<String> = (0..100)
        .flat_map(|number| [format!("post {number}"), format!("ask {number}")])
        .collect();
    assert_eq!(b.diary.texts(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_node_without_an_inbox_is_uncertain_while_it_lives_and_gone_when_it_is_dead() {
    let world = World::default();
    let a = world.node("a");

    assert_eq!(
        a.bus.ask("nobody", &say("x"), LONG).await,
        Err(Unreached::Uncertain)
    );
    world.fates.set("nobody", Life::Suspect);
    assert_eq!(
        a.bus.ask("nobody", &say("x"), LONG).await,
        Err(Unreached::Uncertain)
    );
    world.fates.set("nobody", Life::Dead);
    assert_eq!(
        a.bus.ask("nobody", &say("x"), LONG).await,
        Err(Unreached::NodeGone)
    );
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_in_time_leaves_the_outcome_unknown() {
    let world = World::default();
    let a = world.node("a");
    let holding = Diary {
        holds: true,
        ..Diary::default()
    };
    let mut b = world.node_with("b", |_| {}, holding);
    b.notice("bus::online").await;

    let answer = a.bus.ask("b", &say("x"), LONG).await;

    assert_eq!(answer, Err(Unreached::Unknown));
    assert_eq!(b.diary.texts(), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_node_that_dies_hears_of_it_before_the_deadline() {
    let world = World::default();
    let a = world.node("a");
    let holding = Diary {
        holds: true,
        ..Diary::default()
    };
    let mut b = world.node_with("b", |_| {}, holding);
    b.notice("bus::online").await;
    let start = tokio::time::Instant::now();

    let answer = a.bus.ask("b", &say("x"), 100 * LONG);
    world.fates.set("b", Life::Dead);

    let answer = answer.await;
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    // It may have left before that was known.
    assert!(
        [Err(Unreached::Unknown), Err(Unreached::NodeGone)].contains(&answer),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_inbox_refuses_the_newest_and_says_so_once() {
    let world = World::default();
    let mut a = world.node("a");
    let small = |settings: &mut Settings| settings.bus.inbox_entries = 2;
    let mut b = world.node_with("b", small, Diary::default());
    b.notice("bus::online").await;
    b.task.abort();
    drop((&mut b.task).await);

    let mut answers = Vec::new();
    for number in 0..4 {
        answers.push(a.bus.ask("b", &say(&number.to_string()), LONG));
        // Each leaves as an entry of its own.
        tokio::time::sleep(LONG / 100).await;
    }

    let mut results = Vec::new();
    for answer in answers {
        results.push(answer.await);
    }
    let full = Err(Unreached::Refused(Refused::InboxFull));
    let unknown = Err(Unreached::Unknown);
    assert_eq!(results, [unknown, unknown, full, full]);
    let notice = a.notice("bus::full").await;
    assert!(matches!(notice, Notice::BusFull { node } if &*node == "b"));
    let more = a.notices.next();
    assert!(tokio::time::timeout(LONG, more).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_backlog_beyond_its_limit_is_refused() {
    let world = World::default();
    let few = |settings: &mut Settings| settings.bus.backlog = 1024;
    let a = world.node_with("a", few, Diary::default());

    let large = say(&"x".repeat(600));
    a.bus.post("b", &large).unwrap();
    assert_eq!(a.bus.post("b", &large), Err(Refused::BusOffline));
    assert_eq!(
        a.bus.post("b", &say(&"x".repeat(2000))),
        Err(Refused::BusOffline)
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_no_entry_is_told_and_skipped() {
    let world = World::default();
    let (a, mut b) = (world.node("a"), world.node("b"));
    b.notice("bus::online").await;
    for garbage in ["", "x", "\u{1}garbage that goes on for a while"] {
        world.hub.throw_in("b", garbage.as_bytes());
    }

    assert_eq!(a.bus.ask("b", &say("good"), LONG).await, Ok(ENQUEUED));

    for _ in 0..3 {
        b.notice("bus::invalid").await;
    }
    assert_eq!(b.diary.texts(), ["good"]);
}

fn entry_of(sender: &str, seq: u64, since: u64) -> Vec<u8> {
    let mut entry = entry::begin(sender);
    entry::number(&mut entry, seq, since);
    entry::put_call(&mut entry, None, &say(&format!("{sender} {seq}")));
    entry
}

#[tokio::test(start_paused = true)]
async fn a_repeat_is_dropped_and_a_gap_is_told() {
    let world = World::default();
    let (a, mut b) = (world.node("a"), world.node("b"));
    b.notice("bus::online").await;
    for (seq, since) in [(3, 3), (3, 3), (4, 3), (7, 3), (4, 3), (9, 9)] {
        world.hub.throw_in("b", &entry_of("x", seq, since));
    }
    world.hub.throw_in("b", &entry_of("y", 3, 1));

    assert_eq!(a.bus.ask("b", &say("last"), LONG).await, Ok(ENQUEUED));

    assert_eq!(b.diary.texts(), ["x 3", "x 4", "x 7", "x 9", "y 3", "last"]);
    for expected in [("x", 2), ("y", 2)] {
        let Notice::BusGap { node, missed } = b.notice("bus::gap").await else {
            unreachable!()
        };
        // Up to the ninth, its sender began anew.
        assert_eq!((&*node, missed), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_a_node_that_was_not_asked_counts_for_nothing() {
    let world = World::default();
    let mut a = world.node("a");
    let holding = Diary {
        holds: true,
        ..Diary::default()
    };
    let mut b = world.node_with("b", |_| {}, holding);
    a.notice("bus::online").await;
    b.notice("bus::online").await;

    let answer = a.bus.ask("b", &say("x"), LONG);
    for id in 0..10 {
        let mut forged = entry::begin("c");
        entry::number(&mut forged, id + 1, 1);
        entry::put_answer(&mut forged, id, Ok(ENQUEUED));
        world.hub.throw_in("a", &forged);
    }

    assert_eq!(answer.await, Err(Unreached::Unknown));
}

#[tokio::test(start_paused = true)]
async fn what_is_left_in_the_inbox_of_a_node_that_ends_is_refused() {
    let world = World::default();
    let a = world.node("a");
    let settings = Settings::new(Noticeboard::new());
    let (bus, task) = Bus::in_memory(&world.hub, "b", &settings, world.fates.lives());
    let inbox = InHub::new(world.hub.clone(), "b".into(), settings.bus);
    inbox.renew().await.unwrap();

    let answer = a.bus.ask("b", &say("x"), LONG);
    tokio::time::sleep(LONG / 100).await;
    // It ends before it has read anything.
    let diary = Arc::new(Diary::default());
    let run = task.run(Arc::clone(&diary) as Arc<dyn Deliver>);
    tokio::join!(bus.finish(), run);

    let closing = Err(Unreached::Refused(Refused::Closing));
    assert_eq!(answer.await, closing);
    assert_eq!(diary.texts(), [""; 0]);
    assert_eq!(bus.post("a", &say("x")), Err(Refused::Closing));
    assert_eq!(
        a.bus.ask("b", &say("x"), LONG).await,
        Err(Unreached::Uncertain)
    );
}

#[tokio::test(start_paused = true)]
async fn with_the_last_handle_the_task_ends() {
    let world = World::default();
    let a = world.node("a");
    let weak = a.bus.downgrade();
    let other = weak.upgrade().unwrap();

    drop(a.bus);
    assert!(!a.task.is_finished());
    let waiting = other.ask("b", &say("x"), LONG);
    drop(other);

    a.task.await.unwrap();
    assert!(weak.upgrade().is_none());
    assert!(waiting.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_never_ran_keeps_nobody_waiting() {
    let world = World::default();
    let settings = Settings::new(Noticeboard::new());
    let (bus, task) = Bus::in_memory(&world.hub, "a", &settings, world.fates.lives());
    let answer = bus.ask("b", &say("x"), 100 * LONG);
    drop(task.run(Arc::new(Diary::default())));

    let ended = tokio::time::timeout(LONG, bus.finish()).await;

    assert_eq!(ended, Ok(()));
    let closing = Err(Unreached::Refused(Refused::Closing));
    assert_eq!(answer.await, closing);
}

#[tokio::test(start_paused = true)]
async fn an_inbox_is_full_in_bytes_until_they_are_read() {
    let world = World::default();
    let mut settings = Settings::new(Noticeboard::new());
    settings.bus.inbox_bytes = 10;
    let inbox = InHub::new(world.hub, "b".into(), settings.bus);
    inbox.renew().await.unwrap();
    let append = async |text: &'static str| inbox.append("b", text.into()).await.unwrap();

    for _ in 0..3 {
        assert!(matches!(append("123456").await, Appended::Done));
        assert!(matches!(append("12345").await, Appended::Full));
        assert!(matches!(append("1234").await, Appended::Done));
        assert_eq!(inbox.read().await.unwrap(), ["123456", "1234"]);
        // What was read is there until the next read says that it is handled.
        assert!(inbox.read().await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_inbox_of_a_node_that_was_killed_goes_away() {
    let world = World::default();
    let settings = Settings::new(Noticeboard::new());
    let inbox = |name: &str| InHub::new(world.hub.clone(), name.into(), settings.bus.clone());
    let (a, b) = (inbox("a"), inbox("b"));
    a.renew().await.unwrap();
    b.renew().await.unwrap();

    tokio::time::advance(Duration::from_secs(59)).await;
    a.renew().await.unwrap();
    let there = a.append("b", "x".into()).await;
    assert!(matches!(there, Ok(Appended::Done)), "{there:?}");

    tokio::time::advance(Duration::from_secs(1)).await;
    a.renew().await.unwrap();
    let gone = a.append("b", "x".into()).await;
    assert!(matches!(gone, Ok(Appended::Gone)), "{gone:?}");
    let own = a.append("a", "x".into()).await;
    assert!(matches!(own, Ok(Appended::Done)), "{own:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waited_in_vain_knows_nothing_and_who_was_turned_away_knows_it_all() {
    let access = Access::default();
    let hub = World::default().hub.seen(access.clone());
    let settings = Settings::new(Noticeboard::new());
    let inbox = InHub::new(hub.with_patience(LONG), "b".into(), settings.bus);
    inbox.renew().await.unwrap();

    access.store().set(Condition::Stalled);
    let stalled = inbox.append("b", "x".into()).await;
    assert!(matches!(stalled, Err(Failed::Perhaps(_))), "{stalled:?}");
    access.store().set(Condition::Away);
    let away = inbox.append("b", "x".into()).await;
    assert!(matches!(away, Err(Failed::Surely(_))), "{away:?}");
}
