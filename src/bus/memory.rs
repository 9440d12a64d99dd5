use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    task::yield_now,
    time::{Instant, timeout},
};

use super::inboxes::{Appended, Failed, Inboxes, Later};
use crate::{condition::Access, config::BusSettings, error::StoreError};

/// How long a read waits for something.
const BLOCK: Duration = Duration::from_secs(1);

/// An inbox that nobody has renewed for so long goes away: its node was killed.
const EXPIRY: Duration = Duration::from_secs(60);

/// The inboxes of nodes in this process.
#[derive(Clone, Default)]
pub(crate) struct Hub {
    inboxes: Arc<Mutex<HashMap<Arc<str>, Inbox>>>,
    access: Access,
    /// How long it may take when it is stalled.
    patience: Duration,
}

impl Hub {
    /// The same inboxes as one node sees them.
    pub(crate) fn seen(&self, access: Access) -> Self {
        let inboxes = Arc::clone(&self.inboxes);
        Self {
            inboxes,
            access,
            ..*self
        }
    }

    pub(super) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Loses all of them.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn flush(&self) {
        self.inboxes.lock().clear();
    }
}

/// What is in them is nobody's business.
impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

struct Inbox {
    entries: VecDeque<Bytes>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
    /// So many were read; the next read takes them away.
    read: usize,
    news: Arc<Notify>,
    renewed: Instant,
}

#[cfg(test)]
impl Hub {
    /// Puts anything into the inbox of a node.
    pub(super) fn throw_in(&self, node: &str, bytes: &[u8]) {
        let mut inboxes = self.inboxes.lock();
        let inbox = inboxes.get_mut(node).unwrap();
        inbox.bytes += bytes.len();
        inbox.entries.push_back(Bytes::copy_from_slice(bytes));
        inbox.news.notify_one();
    }
}

/// One node's way to the hub.
#[derive(Debug)]
pub(super) struct InHub {
    hub: Hub,
    node: Arc<str>,
    settings: BusSettings,
}

impl InHub {
    pub(super) const fn new(hub: Hub, node: Arc<str>, settings: BusSettings) -> Self {
        Self {
            hub,
            node,
            settings,
        }
    }

    async fn access(&self) -> Result<(), StoreError> {
        self.hub.access.answer(self.hub.patience).await
    }

    fn open(&self) {
        let now = Instant::now();
        let mut inboxes = self.hub.inboxes.lock();
        inboxes.retain(|_, inbox| now.duration_since(inbox.renewed) < EXPIRY);
        let own = inboxes.entry(Arc::clone(&self.node));
        own.and_modify(|inbox| inbox.renewed = now)
            .or_insert_with(|| Inbox {
                entries: VecDeque::new(),
                bytes: 0,
                most: self.settings.inbox_entries,
                most_bytes: self.settings.inbox_bytes,
                read: 0,
                news: Arc::default(),
                renewed: now,
            });
    }

    fn put(&self, to: &str, entry: Bytes) -> Appended {
        let mut inboxes = self.hub.inboxes.lock();
        let Some(inbox) = inboxes.get_mut(to) else {
            return Appended::Gone;
        };
        let has_room = inbox.entries.len() < inbox.most;
        if !has_room || inbox.bytes + entry.len() > inbox.most_bytes {
            return Appended::Full;
        }
        inbox.bytes += entry.len();
        inbox.entries.push_back(entry);
        inbox.news.notify_one();
        Appended::Done
    }

    fn take(&self) -> Result<Vec<Bytes>, Arc<Notify>> {
        let mut inboxes = self.hub.inboxes.lock();
        let Some(inbox) = inboxes.get_mut(&self.node) else {
            return Err(Arc::default());
        };
        let handled = inbox.entries.drain(..inbox.read);
        inbox.bytes -= handled.map(|entry| entry.len()).sum::<usize>();
        inbox.read = inbox.entries.len();
        if inbox.read == 0 {
            return Err(Arc::clone(&inbox.news));
        }
        Ok(inbox.entries.iter().cloned().collect())
    }
}

impl Inboxes for InHub {
    fn renew(&self) -> Later<'_, ()> {
        Box::pin(async {
            self.access().await?;
            self.open();
            Ok(())
        })
    }

    fn append<'a>(&'a self, to: &'a str, entry: Bytes) -> Later<'a, Appended, Failed> {
        Box::pin(async move {
            match self.access().await {
                Ok(()) => Ok(self.put(to, entry)),
                Err(error) if self.hub.access.check().is_err() => Err(Failed::Surely(error)),
                // As with Redis: who has waited in vain knows nothing.
                Err(error) => Err(Failed::Perhaps(error)),
            }
        })
    }

    fn read(&self) -> Later<'_, Vec<Bytes>> {
        Box::pin(async {
            self.access().await?;
            // Others in this process get a turn, however much there is.
            yield_now().await;
            match self.take() {
                Ok(entries) => Ok(entries),
                Err(news) => {
                    drop(timeout(BLOCK, news.notified()).await);
                    self.access().await?;
                    Ok(self.take().unwrap_or_default())
                }
            }
        })
    }

    fn close(&self) -> Later<'_, Vec<Bytes>> {
        Box::pin(async {
            self.access().await?;
            let inbox = self.hub.inboxes.lock().remove(&self.node);
            Ok(inbox.map_or_else(Vec::new, |inbox| {
                inbox.entries.into_iter().skip(inbox.read).collect()
            }))
        })
    }
}
