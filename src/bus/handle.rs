use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot, watch},
    time::timeout,
};

use super::{
    Answer, BusTask, Call, Refused, Unreached,
    core::Core,
    entry::Answered,
    inboxes::Inboxes,
    line::Line,
    marks::Marks,
    memory::{Hub, InHub},
};
use crate::{config::Settings, metrics::Metrics, notice::Noticeboard, presence::Life};

/// Says what there is to be thought of a node.
pub(crate) type Lives = Arc<dyn Fn(&str) -> Life + Send + Sync>;

/// What other nodes have asked of this one is handed to it.
pub(crate) trait Deliver: Send + Sync {
    /// Does what `from` asks for. It must not wait: who has to says later what became of it.
    fn deliver(&self, from: &Arc<str>, call: Call, asker: Asker);
}

/// The way to the other nodes; cheap to clone.
///
/// Nothing here waits for a transport unless it asks another node something. With the last handle
/// gone the task closes the inbox, answers what is left in it and ends.
#[derive(Clone)]
pub(crate) struct Bus {
    alive: Arc<Alive>,
}

/// A [`Bus`] that keeps nothing going.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(crate) struct WeakBus(std::sync::Weak<Alive>);

struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.ending.send_replace(true);
    }
}

/// What handles and task share.
pub(super) struct Shared {
    pub(super) core: Mutex<Core>,
    pub(super) marks: Mutex<Marks>,
    pub(super) line: Mutex<Line>,
    pub(super) inboxes: Arc<dyn Inboxes>,
    pub(super) lives: Lives,
    pub(super) notices: Noticeboard,
    pub(super) metrics: Metrics,
    /// How often the inbox is renewed.
    pub(super) lease: Duration,
    /// How long the last words may take.
    pub(super) patience: Duration,
    /// A node is to be looked after.
    pub(super) news: Notify,
    /// Something left.
    pub(super) sent: Notify,
    pub(super) ending: watch::Sender<bool>,
    pub(super) ended: watch::Sender<bool>,
}

/// The node that asked for something. Dropped without an answer, it hears of nothing, and knows
/// after its deadline that it does not know.
#[must_use = "somebody may wait for the answer"]
pub(crate) struct Asker {
    shared: Arc<Shared>,
    node: Arc<str>,
    id: Option<u64>,
}

impl Bus {
    /// The bus of a node among others in this process, and its task.
    pub(crate) fn in_memory(
        hub: &Hub,
        node: &str,
        settings: &Settings,
        lives: Lives,
    ) -> (Self, BusTask) {
        let hub = hub.clone();
        let hub = hub.with_patience(settings.presence.command_timeout);
        let inboxes = InHub::new(hub, node.into(), settings.bus.clone());
        Self::pair(node, Arc::new(inboxes), settings, lives)
    }

    /// The bus of a node among others that use the same Redis, and its task.
    #[cfg(feature = "redis")]
    pub(crate) fn in_redis(
        redis: crate::redis::Redis,
        node: &str,
        settings: &Settings,
        lives: Lives,
    ) -> (Self, BusTask) {
        let inboxes = super::redis::open(redis, node, settings);
        Self::pair(node, inboxes, settings, lives)
    }

    /// A handle and the task that it talks to, without spawning it.
    pub(super) fn pair(
        node: &str,
        inboxes: Arc<dyn Inboxes>,
        settings: &Settings,
        lives: Lives,
    ) -> (Self, BusTask) {
        let shared = Arc::new(Shared {
            core: Mutex::new(Core::new(node, settings.bus.backlog)),
            marks: Mutex::default(),
            line: Mutex::default(),
            inboxes,
            lives,
            notices: settings.notices.clone(),
            metrics: settings.metrics.clone(),
            lease: settings.presence.lease,
            patience: settings.presence.command_timeout,
            news: Notify::new(),
            sent: Notify::new(),
            ending: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        });
        let alive = Arc::new(Alive(Arc::clone(&shared)));
        (Self { alive }, BusTask::new(shared))
    }

    /// Asks a node for something and does not wait for what becomes of it.
    pub(crate) fn post(&self, to: &str, call: &Call) -> Result<(), Refused> {
        let shared = &self.alive.0;
        shared.write(|core, now| core.post(now, to, call))
    }

    /// Asks a node for something, at once, and waits for its answer.
    ///
    /// Dropped before it is ready, the node may do it or not.
    pub(crate) fn ask(
        &self,
        to: &str,
        call: &Call,
        at_most: Duration,
    ) -> impl Future<Output = Result<Answer, Unreached>> + Send + use<> {
        let (asker, answer) = oneshot::channel();
        let shared = &self.alive.0;
        let asked = shared.write(|core, now| core.ask(now, to, call, asker));
        let asked = asked.map(|id| Asked {
            shared: Arc::clone(shared),
            to: to.into(),
            id,
            answer,
            over: false,
        });
        async move { asked.map_err(Unreached::Refused)?.wait(at_most).await }
    }

    /// Whether all other nodes can be written to, as far as is known.
    #[cfg(test)]
    pub(crate) fn is_online(&self) -> bool {
        self.alive.0.line.lock().is_online()
    }

    /// Takes no more calls, closes the inbox and answers what is left in it; ready when all that
    /// is done.
    pub(crate) async fn finish(&self) {
        let shared = &self.alive.0;
        shared.ending.send_replace(true);
        let mut ended = shared.ended.subscribe();
        // An error says that the task is gone.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    #[cfg(test)]
    pub(crate) fn downgrade(&self) -> WeakBus {
        WeakBus(Arc::downgrade(&self.alive))
    }
}

#[cfg(test)]
impl WeakBus {
    /// The bus, unless it is going away.
    pub(crate) fn upgrade(&self) -> Option<Bus> {
        let alive = self.0.upgrade()?;
        Some(Bus { alive })
    }
}

/// A call that is on its way.
struct Asked {
    shared: Arc<Shared>,
    to: Box<str>,
    id: u64,
    answer: oneshot::Receiver<Result<Answer, Unreached>>,
    over: bool,
}

impl Asked {
    async fn wait(mut self, at_most: Duration) -> Result<Answer, Unreached> {
        let waited = timeout(at_most, &mut self.answer).await;
        self.over = true;
        match waited {
            Ok(answer) => answer.unwrap_or(Err(Unreached::Unknown)),
            Err(_) => {
                let unreached = self.shared.core.lock().give_up(&self.to, self.id);
                // It may have come at the last moment.
                self.answer.try_recv().unwrap_or(Err(unreached))
            }
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.over {
            self.shared.core.lock().give_up(&self.to, self.id);
        }
    }
}

impl Asker {
    pub(super) const fn new(shared: Arc<Shared>, node: Arc<str>, id: Option<u64>) -> Self {
        Self { shared, node, id }
    }

    /// Whether anybody waits for an answer.
    pub(crate) const fn waits(&self) -> bool {
        self.id.is_some()
    }

    pub(crate) fn answer(self, answer: Answer) {
        self.settle(Ok(answer));
    }

    /// Says that nothing was done.
    pub(crate) fn refuse(self, why: Refused) {
        self.settle(Err(why));
    }

    fn settle(self, answered: Answered) {
        if let Some(id) = self.id {
            self.shared
                .write(|core, now| core.answer(now, &self.node, id, answered));
        }
    }
}

impl Shared {
    /// Puts something into a batch, and wakes the task if nobody looks after that batch.
    fn write<T>(&self, write: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let mut core = self.core.lock();
        let written = write(&mut core, now());
        let news = core.has_ready();
        drop(core);
        if news {
            self.news.notify_one();
        }
        written
    }
}

pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}

impl fmt::Debug for Alive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alive").finish_non_exhaustive()
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
