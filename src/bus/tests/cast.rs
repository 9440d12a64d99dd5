//! Nodes on a hub in memory, and what they do with what comes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{
    bus::{Answer, Asker, Bus, BusTask, Call, Deliver, Hub, Outcome, Target},
    config::Settings,
    message::{Args, Frame, IntoArgs as _, Outgoing, Raw, WireKind},
    notice::{Notice, Noticeboard, Notices},
    presence::Life,
};

/// How long a test waits for an answer that comes.
pub(super) const LONG: Duration = Duration::from_secs(5);

/// Who lives, as everybody in a test sees it; who is not in it does.
#[derive(Clone, Default)]
pub(super) struct Fates(Arc<Mutex<HashMap<String, Life>>>);

impl Fates {
    pub(super) fn set(&self, node: &str, life: Life) {
        self.0.lock().insert(node.to_owned(), life);
    }

    pub(super) fn lives(&self) -> crate::bus::Lives {
        let fates = self.clone();
        Arc::new(move |node| fates.0.lock().get(node).copied().unwrap_or(Life::Live))
    }
}

/// Where nodes meet.
#[derive(Clone, Default)]
pub(super) struct World {
    pub(super) hub: Hub,
    pub(super) fates: Fates,
}

/// What came to a node, in order, and how it answers.
#[derive(Default)]
pub(super) struct Diary {
    pub(super) heard: Mutex<Vec<(String, String)>>,
    /// Who waits for an answer when `holds`.
    pub(super) held: Mutex<Vec<Asker>>,
    pub(super) holds: bool,
}

impl Diary {
    pub(super) fn texts(&self) -> Vec<String> {
        let heard = self.heard.lock();
        heard.iter().map(|(_, text)| text.clone()).collect()
    }
}

impl Deliver for Diary {
    fn deliver(&self, from: &Arc<str>, call: Call, asker: Asker) {
        self.heard.lock().push((from.to_string(), text(&call)));
        if self.holds {
            self.held.lock().push(asker);
        } else {
            asker.answer(Answer::Forward(Outcome::Enqueued));
        }
    }
}

/// A node whose task runs.
pub(super) struct Node {
    pub(super) bus: Bus,
    pub(super) diary: Arc<Diary>,
    pub(super) notices: Notices,
    pub(super) task: tokio::task::JoinHandle<()>,
}

impl World {
    pub(super) fn node(&self, name: &str) -> Node {
        self.node_with(name, |_| {}, Diary::default())
    }

    pub(super) fn node_with(
        &self,
        name: &str,
        set: impl FnOnce(&mut Settings),
        diary: Diary,
    ) -> Node {
        let notices = Noticeboard::new();
        let mut settings = Settings::new(notices.clone());
        set(&mut settings);
        let pair = Bus::in_memory(&self.hub, name, &settings, self.fates.lives());
        begin(pair, &notices, diary)
    }
}

pub(super) fn begin(pair: (Bus, BusTask), notices: &Noticeboard, diary: Diary) -> Node {
    let (bus, task) = pair;
    let diary = Arc::new(diary);
    Node {
        bus,
        notices: notices.subscribe(),
        task: tokio::spawn(task.run(Arc::clone(&diary) as Arc<dyn Deliver>)),
        diary,
    }
}

impl Node {
    pub(super) async fn notice(&mut self, name: &str) -> Notice {
        loop {
            let notice = self.notices.next().await.unwrap();
            if notice.name() == name {
                return notice;
            }
        }
    }
}

/// A message for everybody.
pub(super) fn say(text: &str) -> Call {
    Call::Send {
        to: Target::All,
        frame: frame(text),
    }
}

pub(super) fn frame(text: &str) -> Frame {
    let args = Args::text(text);
    let message = Outgoing::new("message", args.as_args());
    Frame::encode(&Raw, &message).unwrap()
}

/// What [`say`] said, or what it is.
pub(super) fn text(call: &Call) -> String {
    match call {
        Call::Send { frame, .. } | Call::Forward { frame, .. } => {
            assert_eq!(frame.kind(), WireKind::Text);
            String::from_utf8(frame.payload()[1..].to_vec()).unwrap()
        }
        Call::Close { reason, .. } => format!("close: {reason}"),
        Call::Moved { .. } | Call::Follow { .. } | Call::Watch(_) | Call::Feed(_) => {
            format!("{call:?}")
        }
    }
}
