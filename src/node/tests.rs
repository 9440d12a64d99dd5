//! What a node does for another one, as that one sees it.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{Handle, Memory, Owner};
use crate::{
    bus::{Answer, Asker, Bus, Call, Deliver, Level, Outcome},
    config::Settings,
    message::{Args, Frame, IntoArgs as _, Outgoing, Raw, User},
    notice::Noticeboard,
    presence::{Find, Life, Presence},
};

const SECOND: Duration = Duration::from_secs(1);

/// Another node, of which everything is seen that it is asked.
struct Stranger {
    bus: Bus,
    presence: Presence,
    asked: Arc<Asked>,
}

#[derive(Default)]
struct Asked(Mutex<Vec<Call>>);

impl Deliver for Asked {
    fn deliver(&self, _: &Arc<str>, call: Call, asker: Asker) {
        self.0.lock().push(call);
        asker.answer(Answer::Forward(Outcome::Written));
    }
}

impl Stranger {
    fn new(memory: &Memory, name: &str) -> Self {
        let settings = Settings::new(Noticeboard::new());
        let (presence, task) = Presence::in_memory(
            memory.directory(),
            name,
            settings.presence.clone(),
            settings.notices.clone(),
            Arc::new(|_: &User, _| {}),
        );
        tokio::spawn(task.run());
        let lives = Arc::new(|_: &str| Life::Live);
        let (bus, task) = Bus::in_memory(&memory.hub(), name, &settings, lives);
        let asked = Arc::new(Asked::default());
        tokio::spawn(task.run(Arc::clone(&asked) as Arc<dyn Deliver>));
        Self {
            bus,
            presence,
            asked,
        }
    }

    async fn ask(&self, node: &Handle, call: Call) -> Outcome {
        match self.bus.ask(node.node_id(), &call, SECOND).await {
            Ok(Answer::Forward(outcome)) => outcome,
            other => panic!("{other:?}"),
        }
    }
}

/// A node and another one, who know each other.
async fn two() -> (Handle, Stranger) {
    let memory = Memory::default();
    let settings = Settings::new(Noticeboard::new());
    let owner = Owner::with_memory(settings.notices.clone(), memory.of_another());
    owner.begin(&settings);
    let stranger = Stranger::new(&memory.of_another(), "stranger");
    tokio::time::sleep(5 * SECOND).await;
    (Handle::new(owner), stranger)
}

fn letter(bounced: bool) -> Call {
    let args = Args::text("hello");
    let message = Outgoing::new("message", args.as_args());
    Call::Forward {
        account: "ann".into(),
        session: "s".into(),
        frame: Frame::encode(&Raw, &message).unwrap(),
        level: Level::Enqueued,
        bounced,
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_made_one_detour_makes_no_other() {
    let (node, stranger) = two().await;
    assert_eq!(stranger.ask(&node, letter(false)).await, Outcome::NoSession);
    assert_eq!(stranger.ask(&node, letter(true)).await, Outcome::Uncertain);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_on_says_so_and_who_sent_it_wrongly_hears_of_it() {
    let (node, stranger) = two().await;
    let storing = stranger.presence.connect(&User::new("ann", "s", "sid"));
    assert!(stranger.presence.stored(storing).await);
    assert_eq!(node.find("ann", "s").await, Find::Found("stranger".into()));

    let outcome = stranger.ask(&node, letter(false)).await;

    assert_eq!(outcome, Outcome::Written);
    let asked = stranger.asked.0.lock();
    let detours = asked
        .iter()
        .filter(|call| matches!(call, Call::Forward { bounced: true, .. }));
    assert_eq!(detours.count(), 1, "{asked:?}");
    let moved = asked
        .iter()
        .filter(|call| matches!(call, Call::Moved { .. }));
    assert_eq!((moved.count(), asked.len()), (1, 2), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_follows_who_is_not_here() {
    let (node, stranger) = two().await;
    let follow = Call::Follow {
        account: "ann".into(),
        followed: "head".into(),
        follower: "tail".into(),
        on: true,
    };
    assert_eq!(stranger.ask(&node, follow).await, Outcome::Uncertain);
}

#[tokio::test(start_paused = true)]
async fn who_went_to_another_node_is_followed_there_once_and_only_by_names() {
    let (node, stranger) = two().await;
    let storing = stranger.presence.connect(&User::new("ann", "head", "sid"));
    assert!(stranger.presence.stored(storing).await);
    let follows = &node.owner.node().follows;
    // What the directory says may be anybody's.
    let followers = ["", "tail", &"x".repeat(1000)].map(str::to_owned);
    follows.resume(&User::new("ann", "head", "sid"), &followers);

    tokio::time::sleep(60 * SECOND).await;

    let asked = stranger.asked.0.lock();
    let followers: Vec<&str> = asked
        .iter()
        .map(|call| match call {
            Call::Follow {
                follower, on: true, ..
            } => &**follower,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(followers, ["tail"]);
}
