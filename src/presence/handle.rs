use std::{
    fmt,
    sync::{Arc, OnceLock, atomic::AtomicU64},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot, watch},
    time::timeout,
};

use super::{
    Census, Find, Life, NodeInfo, PresenceState, PresenceTask, Sessions, Uncertain,
    core::{Change, Core},
    job::{Lookup, Terms},
    keys::{Keys, member},
    liveness::Periods,
    memory::Memory,
    store::Store,
};
use crate::{
    config::PresenceSettings,
    engine::CloseReason,
    error::StoreError,
    message::User,
    notice::{Notice, Noticeboard},
};

/// Closes the connection of a user.
pub(crate) type Close = Arc<dyn Fn(&User, CloseReason) + Send + Sync>;

/// Hears which sessions follow one of ours that begins.
pub(crate) type Followed = Box<dyn Fn(&User, &[String]) + Send + Sync>;

/// The way to the presence task; cheap to clone.
///
/// Nothing here waits for the store unless it asks it something. With the last handle gone the task
/// removes what is left, says goodbye and ends.
#[derive(Clone)]
pub(crate) struct Presence {
    pub(super) shared: Arc<Shared>,
    _alive: Arc<Alive>,
}

/// What handles and task share.
pub(super) struct Shared {
    pub(super) core: Mutex<Core>,
    pub(super) store: Arc<dyn Store>,
    pub(super) settings: PresenceSettings,
    pub(super) notices: Noticeboard,
    pub(super) close: Close,
    pub(super) followed: OnceLock<Followed>,
    /// The next heartbeat is wanted now.
    pub(super) hurry: Notify,
    /// How many heartbeats were answered.
    pub(super) beats: watch::Sender<u64>,
    /// There is something to write.
    pub(super) news: Notify,
    /// A write failed.
    pub(super) trouble: Notify,
    /// What other nodes are to be told of sessions that they lost to us.
    pub(super) evictions: Mutex<Vec<(Arc<str>, String)>>,
    /// There is such.
    pub(super) displaced: Notify,
    /// The store is reached anew.
    pub(super) arrival: Notify,
    pub(super) ending: watch::Sender<bool>,
    pub(super) ended: watch::Sender<bool>,
    /// What keeps the store from being reached.
    pub(super) cause: Mutex<StoreError>,
    /// Up to this epoch, what this node wrote is to be cleared up.
    pub(super) outlived: AtomicU64,
    keys: Keys,
}

struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.ending.send_replace(true);
    }
}

/// A connection's entry on its way into the directory.
#[derive(Debug)]
#[must_use = "the entry is stored all the same, but nobody hears of it"]
pub(crate) struct Storing(Option<oneshot::Receiver<()>>);

impl Presence {
    /// A handle and the task that it talks to, without spawning it.
    pub(super) fn pair(
        node: &str,
        store: Arc<dyn Store>,
        settings: PresenceSettings,
        notices: Noticeboard,
        close: Close,
    ) -> (Self, PresenceTask) {
        let periods = Periods {
            lease: settings.lease,
            suspect: settings.suspect,
            dead: settings.dead,
        };
        let expiry = Terms::of(&settings).expiry;
        let mut core = Core::new(node, periods, settings.backlog, expiry);
        core.set_checks(store.checks());
        core.reach.clone_from(&settings.reach);
        let shared = Arc::new(Shared {
            core: Mutex::new(core),
            store,
            keys: Keys::new(&settings.namespace),
            settings,
            notices,
            close,
            followed: OnceLock::new(),
            hurry: Notify::new(),
            beats: watch::Sender::new(0),
            news: Notify::new(),
            trouble: Notify::new(),
            evictions: Mutex::new(Vec::new()),
            displaced: Notify::new(),
            arrival: Notify::new(),
            ending: watch::Sender::new(false),
            ended: watch::Sender::new(false),
            outlived: AtomicU64::new(0),
            cause: Mutex::new(StoreError::Unreachable("not connected yet".into())),
        });
        let presence = Self {
            _alive: Arc::new(Alive(Arc::clone(&shared))),
            shared: Arc::clone(&shared),
        };
        (presence, PresenceTask::new(shared))
    }

    /// Who hears which sessions follow ours. There is one.
    pub(crate) fn on_followed(&self, followed: Followed) {
        drop(self.shared.followed.set(followed));
    }

    /// Remembers for a while that sessions of an account follow another one, or no longer.
    pub(crate) async fn follow(
        &self,
        account: &str,
        followed: &str,
        followers: &[impl AsRef<str>],
        on: bool,
    ) -> Result<(), StoreError> {
        let pairs = followers.iter().map(|one| member(followed, one.as_ref()));
        let pairs: Vec<String> = pairs.collect();
        self.shared.store.follow(account, &pairs, on).await
    }

    /// A connection begins here.
    pub(crate) fn connect(&self, user: &User) -> Storing {
        let (waiter, stored) = oneshot::channel();
        let mut core = self.shared.core.lock();
        let away = core.is_away(user.account());
        let waiter = (!away).then_some(waiter);
        core.directory.connect(user, now(), waiter);
        drop(core);
        self.shared.news.notify_one();
        if away {
            let cause = self.shared.cause.lock().clone();
            self.shared.tell_failure(user, &cause, true);
        }
        Storing((!away).then_some(stored))
    }

    /// A connection ends. It may do so twice.
    pub(crate) fn disconnect(&self, user: &User) {
        let mut core = self.shared.core.lock();
        let was_there = core.directory.disconnect(user);
        let away = core.is_away(user.account());
        drop(core);
        self.shared.news.notify_one();
        if was_there && away {
            let cause = self.shared.cause.lock().clone();
            self.shared.tell_failure(user, &cause, false);
        }
    }

    /// Waits until an entry is stored, as long as the settings say; whether it is.
    pub(crate) async fn stored(&self, storing: Storing) -> bool {
        match storing.0 {
            Some(stored) => {
                let waited = timeout(self.shared.settings.wait, stored).await;
                matches!(waited, Ok(Ok(())))
            }
            None => false,
        }
    }

    /// Whether nobody may connect who could not be found.
    pub(crate) fn is_required(&self) -> bool {
        self.shared.settings.required
    }

    pub(crate) async fn find(&self, account: &str, session: &str) -> Find {
        if let Some(here) = self.find_here(account, session) {
            return here;
        }
        if self.shared.core.lock().directory.has_lost(account) {
            return Find::Uncertain;
        }
        for full in [false, true] {
            let Ok(lookup) = self.shared.store.find(account, session, full).await else {
                return Find::Uncertain;
            };
            if let Some(here) = self.find_here(account, session) {
                return here;
            }
            let full = full || lookup.entries.is_empty();
            let judge = || {
                let mut core = self.shared.core.lock();
                let judged = core.judge(now(), account, &lookup, full);
                (judged, core.met_stranger())
            };
            let ((mut find, nonsense), stranger) = judge();
            self.shared.tell_nonsense(nonsense);
            if stranger {
                self.meet().await;
                find = judge().0.0;
            }
            if let Some(find) = find {
                return find;
            }
        }
        Find::Uncertain
    }

    /// Reads the table of nodes now: an entry names one that came since the last heartbeat.
    async fn meet(&self) {
        let mut beats = self.shared.beats.subscribe();
        self.shared.hurry.notify_one();
        // If it takes longer, nobody knows for sure.
        drop(timeout(self.shared.settings.wait, beats.changed()).await);
    }

    fn find_here(&self, account: &str, session: &str) -> Option<Find> {
        let core = self.shared.core.lock();
        let here = core.directory.has(account, session);
        here.then(|| Find::Found((**core.node()).into()))
    }

    pub(crate) async fn sessions(&self, account: &str) -> Sessions {
        let Census { sessions, complete } = self.census(account).await;
        let sessions = sessions.into_iter().map(|(located, _)| located).collect();
        Sessions { sessions, complete }
    }

    /// How often it is worth to look.
    pub(crate) fn lease(&self) -> Duration {
        self.shared.settings.lease
    }

    pub(crate) async fn census(&self, account: &str) -> Census {
        let lost = self.shared.core.lock().directory.has_lost(account);
        let lookup = match lost {
            true => Lookup::default(),
            false => {
                let read = self.shared.store.sessions(account).await;
                read.unwrap_or_default()
            }
        };
        let mut core = self.shared.core.lock();
        let (census, nonsense) = core.judge_account(now(), account, &lookup);
        drop(core);
        self.shared.tell_nonsense(nonsense);
        census
    }

    /// All nodes that are not dead, if they are surely all.
    pub(crate) fn nodes(&self) -> Result<Vec<NodeInfo>, Uncertain> {
        let core = self.shared.core.lock();
        let now = now();
        core.is_settled(now)
            .then(|| core.nodes(now))
            .ok_or(Uncertain)
    }

    /// What there is to be thought of a node. It asks nobody.
    pub(crate) fn life(&self, node: &str) -> Life {
        self.shared.core.lock().life(now(), node)
    }

    /// All other nodes that are not dead, and whether there surely are no others.
    pub(crate) fn peers(&self) -> (Vec<Box<str>>, bool) {
        let core = self.shared.core.lock();
        let now = now();
        let others = core.nodes(now).into_iter().skip(1);
        (others.map(|node| node.id).collect(), core.is_settled(now))
    }

    /// All other nodes that are not dead, if there surely are no others and not more than so many.
    pub(crate) fn few_peers(&self, most: usize) -> Option<Vec<Box<str>>> {
        self.shared.core.lock().few_peers(now(), most)
    }

    /// Whether it is this node's id.
    pub(crate) fn is_own(&self, node: &str) -> bool {
        **self.shared.core.lock().node() == *node
    }

    pub(crate) fn state(&self) -> PresenceState {
        self.shared.core.lock().state()
    }

    /// Lets the others know that this node takes no more clients, with a heartbeat of now.
    pub(crate) fn drain(&self) {
        self.shared.core.lock().draining = true;
        self.shared.hurry.notify_one();
    }

    /// Removes what is left and says goodbye; ready when that is done.
    pub(crate) async fn finish(&self) {
        self.shared.ending.send_replace(true);
        let mut ended = self.shared.ended.subscribe();
        // An error says that the task is gone.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

impl Shared {
    /// Tells that an entry could not be stored or removed.
    pub(super) fn tell_failure(&self, user: &User, error: &StoreError, connect: bool) {
        let key = self.keys.account(user.account());
        let core = self.core.lock();
        let value = format!("{}: {}|{}", user.session(), core.node(), core.epoch());
        drop(core);
        let (user, error) = (user.clone(), error.to_string());
        self.notices.post(if connect {
            Notice::ConnectError {
                user,
                key,
                value,
                error,
            }
        } else {
            Notice::DisconnectError {
                user,
                key,
                value,
                error,
            }
        });
    }

    pub(super) fn tell_nonsense(&self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            if let Change::Nonsense(what) = change {
                self.notices.post(Notice::PresenceInvalid { what });
            }
        }
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").finish_non_exhaustive()
    }
}

pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Presence {
    /// Presence in memory that the nodes of one process share: a handle and its task.
    pub(crate) fn in_memory(
        memory: Memory,
        node: &str,
        settings: PresenceSettings,
        notices: Noticeboard,
        close: Close,
    ) -> (Self, PresenceTask) {
        let store = Arc::new(memory.with(settings.command_timeout, Terms::of(&settings)));
        Self::pair(node, store, settings, notices, close)
    }

    /// Presence in Redis: a handle and its task.
    #[cfg(feature = "redis")]
    pub(crate) fn in_redis(
        redis: crate::redis::Redis,
        node: &str,
        settings: PresenceSettings,
        notices: Noticeboard,
        close: Close,
    ) -> (Self, PresenceTask) {
        let store = super::redis::open(
            redis,
            &settings.namespace,
            settings.command_timeout,
            Terms::of(&settings),
        );
        Self::pair(node, store, settings, notices, close)
    }
}
