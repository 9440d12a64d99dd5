//! The task over inboxes that fail when they are told to, in paused time.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use super::cast::{Diary, Fates, LONG, Node, begin, say};
use crate::{
    bus::{
        Answer, Bus, Outcome, Refused, Unreached, entry,
        inboxes::{Appended, Failed, Inboxes, Later},
    },
    config::Settings,
    error::StoreError,
    notice::{Notice, Noticeboard},
    presence::Life,
};

/// Inboxes of which anything can fail.
#[derive(Clone, Default)]
struct Frail(Arc<Mutex<State>>, Arc<Notify>);

#[derive(Default)]
struct State {
    no_reads: bool,
    no_renewals: bool,
    /// Attempts to append fail, and nobody knows.
    no_appends: bool,
    /// They take for ever.
    stuck: bool,
    /// What comes with the next read.
    coming: VecDeque<Bytes>,
    /// When there was an attempt to append.
    attempts: Vec<Instant>,
    /// What is left at the end.
    rest: Vec<Bytes>,
}

fn away() -> StoreError {
    StoreError::Unreachable("away".into())
}

impl Inboxes for Frail {
    fn renew(&self) -> Later<'_, ()> {
        let fails = self.0.lock().no_renewals;
        Box::pin(async move { if fails { Err(away()) } else { Ok(()) } })
    }

    fn append<'a>(&'a self, _: &'a str, _: Bytes) -> Later<'a, Appended, Failed> {
        let mut state = self.0.lock();
        state.attempts.push(Instant::now());
        let (fails, stuck) = (state.no_appends, state.stuck);
        Box::pin(async move {
            if stuck {
                std::future::pending::<()>().await;
            }
            if fails {
                Err(Failed::Perhaps(away()))
            } else {
                Ok(Appended::Done)
            }
        })
    }

    fn read(&self) -> Later<'_, Vec<Bytes>> {
        Box::pin(async {
            if self.0.lock().coming.is_empty() {
                let _ = timeout(Duration::from_secs(1), self.1.notified()).await;
            }
            let mut state = self.0.lock();
            if state.no_reads {
                Err(away())
            } else {
                Ok(state.coming.drain(..).collect())
            }
        })
    }

    fn close(&self) -> Later<'_, Vec<Bytes>> {
        let rest = std::mem::take(&mut self.0.lock().rest);
        Box::pin(async { Ok(rest) })
    }
}

impl Frail {
    fn node(&self, fates: &Fates) -> Node {
        let notices = Noticeboard::new();
        let settings = Settings::new(notices.clone());
        let pair = Bus::pair("a", Arc::new(self.clone()), &settings, fates.lives());
        begin(pair, &notices, Diary::default())
    }

    fn set(&self, set: impl FnOnce(&mut State)) {
        set(&mut self.0.lock());
        self.1.notify_one();
    }

    fn attempts(&self) -> usize {
        self.0.lock().attempts.len()
    }
}

/// An entry of `b` with these items.
fn entry_of(seq: u64, items: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = entry::begin("b");
    items(&mut bytes);
    entry::number(&mut bytes, seq, 1);
    bytes.into()
}

/// What was told of the bus until now.
async fn told(node: &mut Node) -> Vec<&'static str> {
    let mut told = Vec::new();
    while let Ok(Some(notice)) = timeout(Duration::from_millis(1), node.notices.next()).await {
        told.push(notice.name());
    }
    told
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_is_told_and_so_is_that_all_works_again() {
    let fail: [fn(&mut State, bool); 3] = [
        |state, fails| state.no_reads = fails,
        |state, fails| state.no_renewals = fails,
        |state, fails| state.no_appends = fails,
    ];
    for fail in fail {
        let inboxes = Frail::default();
        let mut node = inboxes.node(&Fates::default());
        sleep(LONG).await;
        assert_eq!(told(&mut node).await, ["bus::online"]);
        inboxes.set(|state| fail(state, true));
        node.bus.post("b", &say("x")).unwrap();
        sleep(LONG).await;
        assert_eq!(told(&mut node).await, ["bus::offline"]);
        inboxes.set(|state| fail(state, false));
        sleep(LONG).await;
        assert_eq!(told(&mut node).await, ["bus::online"]);
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_come_more_rarely_and_never_end() {
    let inboxes = Frail::default();
    let node = inboxes.node(&Fates::default());
    inboxes.set(|state| state.no_appends = true);
    // Somebody waits for it: it does not grow old.
    let asked = tokio::spawn(node.bus.ask("b", &say("x"), 100 * LONG));
    sleep(Duration::from_millis(400)).await;
    assert!(
        (2..=5).contains(&inboxes.attempts()),
        "{}",
        inboxes.attempts()
    );
    sleep(Duration::from_secs(10)).await;
    let before = inboxes.attempts();
    sleep(Duration::from_secs(10)).await;
    assert!((9..=11).contains(&(inboxes.attempts() - before)));

    inboxes.set(|state| state.no_appends = false);
    sleep(Duration::from_secs(2)).await;
    inboxes.set(|state| state.no_appends = true);
    node.bus.post("b", &say("y")).unwrap();
    let before = inboxes.attempts();
    sleep(Duration::from_millis(400)).await;
    assert!(inboxes.attempts() - before > 2, "it begins anew");
    asked.abort();
}

#[tokio::test(start_paused = true)]
async fn who_dies_while_nothing_leaves_is_noticed() {
    let (inboxes, fates) = (Frail::default(), Fates::default());
    let node = inboxes.node(&fates);
    let asked = tokio::spawn(node.bus.ask("b", &say("x"), 100 * LONG));
    sleep(LONG).await;
    assert!(!asked.is_finished());
    fates.set("b", Life::Dead);
    sleep(Duration::from_secs(1)).await;
    assert!(asked.is_finished());
    assert_eq!(asked.await.unwrap(), Err(Unreached::Unknown));
}

#[tokio::test(start_paused = true)]
async fn an_entry_whose_items_make_no_sense_is_told() {
    let inboxes = Frail::default();
    let mut node = inboxes.node(&Fates::default());
    inboxes.set(|state| state.coming.push_back(entry_of(1, |bytes| bytes.push(1))));
    let notice = node.notice("bus::invalid").await;
    assert!(matches!(&notice, Notice::BusInvalid { what } if what.contains("an entry of b")));
}

#[tokio::test(start_paused = true)]
async fn who_asked_and_went_away_has_asked_nothing_that_did_not_leave_yet() {
    let inboxes = Frail::default();
    let node = inboxes.node(&Fates::default());
    inboxes.set(|state| state.stuck = true);
    node.bus.post("b", &say("first")).unwrap();
    sleep(Duration::from_millis(1)).await;
    let large = "x".repeat(100_000);
    for _ in 0..1000 {
        drop(node.bus.ask("b", &say(&large), LONG));
    }
    let posted = node.bus.post("b", &say(&large));
    assert_eq!(posted, Ok(()), "they take no room");
}

#[tokio::test(start_paused = true)]
async fn what_did_not_leave_by_its_deadline_surely_did_not() {
    let inboxes = Frail::default();
    let node = inboxes.node(&Fates::default());
    inboxes.set(|state| state.stuck = true);
    let leaving = tokio::spawn(node.bus.ask("b", &say("first"), LONG));
    sleep(Duration::from_millis(1)).await;
    let waits = node.bus.ask("b", &say("second"), LONG).await;
    assert_eq!(waits, Err(Unreached::Refused(Refused::BusOffline)));
    assert_eq!(leaving.await.unwrap(), Err(Unreached::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_goes_takes_no_more_calls_and_has_some_patience_with_its_answers() {
    let inboxes = Frail::default();
    let node = inboxes.node(&Fates::default());
    sleep(Duration::from_millis(1)).await;
    inboxes.set(|state| {
        state.stuck = true;
        state.rest.push(entry_of(1, |bytes| {
            entry::put_call(bytes, Some(7), &say("late"))
        }));
    });
    let start = Instant::now();
    let bus = node.bus.clone();
    let finished = tokio::spawn(async move { bus.finish().await });
    sleep(Duration::from_millis(1)).await;
    assert_eq!(node.bus.post("b", &say("x")), Err(Refused::Closing));
    timeout(LONG, finished).await.unwrap().unwrap();
    assert!(start.elapsed() > Duration::from_millis(100), "it tried");
    assert_eq!(inboxes.attempts(), 1);
    assert!(node.diary.texts().is_empty(), "it was refused");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_last_moment_counts() {
    let inboxes = Frail::default();
    let node = inboxes.node(&Fates::default());
    let mut asked = Box::pin(node.bus.ask("b", &say("x"), LONG));
    assert!(timeout(LONG / 2, &mut asked).await.is_err());
    let answer = Answer::Forward(Outcome::Enqueued);
    inboxes.set(|state| {
        let answer = entry_of(1, |bytes| entry::put_answer(bytes, 1, Ok(answer)));
        state.coming.push_back(answer);
    });
    assert_eq!(asked.await, Ok(answer));
}
