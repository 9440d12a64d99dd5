//! A handle whose task runs, against a store in this process.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::super::{Presence, memory::Memory, store::Store};
use crate::{
    config::{FencedPolicy, PresenceSettings},
    engine::CloseReason,
    message::User,
    notice::{Notice, Noticeboard},
};

pub(super) struct Node {
    pub(super) presence: Presence,
    pub(super) notices: Arc<Mutex<Vec<Notice>>>,
    pub(super) superseded: Arc<Mutex<Vec<User>>>,
    pub(super) fenced: Arc<Mutex<Vec<User>>>,
    pub(super) task: tokio::task::JoinHandle<()>,
}

impl Node {
    pub(super) fn start(name: &str, store: &(impl Store + Clone)) -> Self {
        Self::with(name, store, PresenceSettings::default())
    }

    /// A node whose clients are closed when it is given up.
    pub(super) fn strict(name: &str, store: &Memory) -> Self {
        let settings = PresenceSettings {
            fenced: FencedPolicy::Close,
            ..PresenceSettings::default()
        };
        Self::with(name, store, settings)
    }

    pub(super) fn with(
        name: &str,
        store: &(impl Store + Clone),
        settings: PresenceSettings,
    ) -> Self {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let superseded = Arc::new(Mutex::new(Vec::new()));
        let mut board = Noticeboard::new();
        let heard = Arc::clone(&notices);
        board.add_callback(move |notice| heard.lock().push(notice.clone()));
        let fenced = Arc::new(Mutex::new(Vec::new()));
        let closed = [Arc::clone(&superseded), Arc::clone(&fenced)];
        let (presence, task) = Presence::pair(
            name,
            Arc::new(store.clone()),
            settings,
            board,
            Arc::new(move |user: &User, reason: CloseReason| {
                let [superseded, fenced] = &closed;
                let closed = match reason {
                    CloseReason::Superseded => superseded,
                    CloseReason::Fenced => fenced,
                    other => panic!("{other:?}"),
                };
                closed.lock().push(user.clone());
            }),
        );
        Self {
            presence,
            notices,
            superseded,
            fenced,
            task: tokio::spawn(task.run()),
        }
    }

    pub(super) async fn connect(&self, user: &User) -> bool {
        let storing = self.presence.connect(user);
        self.presence.stored(storing).await
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.notices.lock().iter().map(Notice::name).collect()
    }
}

pub(super) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

pub(super) fn ann() -> User {
    User::new("ann", "s1", "sid1")
}
