use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{sync::Notify, task::yield_now, time::timeout};

use super::inboxes::{Appended, Failed, Inboxes, Later};
use crate::config::BusSettings;

/// How long a read waits for something.
const BLOCK: Duration = Duration::from_secs(1);

/// The inboxes of nodes in this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hub {
    inboxes: Arc<Mutex<HashMap<Arc<str>, Inbox>>>,
}

#[derive(Debug, Default)]
struct Inbox {
    entries: VecDeque<Bytes>,
    bytes: usize,
    most: usize,
    most_bytes: usize,
    /// So many were read; the next read takes them away.
    read: usize,
    news: Arc<Notify>,
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

    fn open(&self) {
        let mut inboxes = self.hub.inboxes.lock();
        inboxes
            .entry(Arc::clone(&self.node))
            .or_insert_with(|| Inbox {
                most: self.settings.inbox_entries,
                most_bytes: self.settings.inbox_bytes,
                ..Inbox::default()
            });
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
            self.open();
            Ok(())
        })
    }

    fn append<'a>(&'a self, to: &'a str, entry: Bytes) -> Later<'a, Appended, Failed> {
        Box::pin(async move {
            let mut inboxes = self.hub.inboxes.lock();
            let Some(inbox) = inboxes.get_mut(to) else {
                return Ok(Appended::Gone);
            };
            let room =
                inbox.entries.len() < inbox.most && inbox.bytes + entry.len() <= inbox.most_bytes;
            if !room {
                return Ok(Appended::Full);
            }
            inbox.bytes += entry.len();
            inbox.entries.push_back(entry);
            inbox.news.notify_one();
            Ok(Appended::Done)
        })
    }

    fn read(&self) -> Later<'_, Vec<Bytes>> {
        Box::pin(async {
            // Others in this process get a turn, however much there is.
            yield_now().await;
            match self.take() {
                Ok(entries) => Ok(entries),
                Err(news) => {
                    drop(timeout(BLOCK, news.notified()).await);
                    Ok(self.take().unwrap_or_default())
                }
            }
        })
    }

    fn close(&self) -> Later<'_, Vec<Bytes>> {
        Box::pin(async {
            let inbox = self.hub.inboxes.lock().remove(&self.node);
            Ok(inbox.map_or_else(Vec::new, |inbox| {
                inbox.entries.into_iter().skip(inbox.read).collect()
            }))
        })
    }
}
