use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::sync::broadcast;

use super::Notice;

/// How many notices a slow [`Notices`] stream may lag behind before it misses some.
const BACKLOG: usize = 1024;

type Callback = Arc<dyn Fn(&Notice) + Send + Sync>;

/// Where notices go.
#[derive(Clone)]
pub(crate) struct Noticeboard {
    callbacks: Vec<Callback>,
    readers: broadcast::Sender<Notice>,
}

impl Noticeboard {
    pub(crate) fn new() -> Self {
        Self {
            callbacks: Vec::new(),
            readers: broadcast::Sender::new(BACKLOG),
        }
    }

    pub(crate) fn add_callback(&mut self, callback: impl Fn(&Notice) + Send + Sync + 'static) {
        self.callbacks.push(Arc::new(callback));
    }

    /// A stream of what is posted from now on.
    pub(crate) fn subscribe(&self) -> Notices {
        Notices {
            reader: self.readers.subscribe(),
            missed: 0,
        }
    }

    pub(crate) fn post(&self, notice: Notice) {
        #[cfg(feature = "tracing")]
        super::trace::trace(&notice);
        for callback in &self.callbacks {
            // A notice is information: a callback that panics must not end what it is about.
            drop(catch_unwind(AssertUnwindSafe(|| callback(&notice))));
        }
        if self.readers.receiver_count() > 0 {
            // An error says that the last reader went away just now.
            drop(self.readers.send(notice.cut()));
        }
    }
}

impl fmt::Debug for Noticeboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Noticeboard").finish_non_exhaustive()
    }
}

/// A stream of notices, made by [`Handle::notices`](crate::Handle::notices).
///
/// It never slows the library down: a reader that lags more than 1,024 notices behind misses the
/// oldest, and [`missed`](Self::missed) counts them. Of a message that a notice is about it has the
/// first 1,024 bytes; [`on_notice`](crate::PrimacronLayer::on_notice) sees all of it.
#[derive(Debug)]
pub struct Notices {
    reader: broadcast::Receiver<Notice>,
    missed: u64,
}

impl Notices {
    /// The next notice; `None` once the layer and all its handles are gone.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, nothing is missed.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            match self.reader.recv().await {
                Ok(notice) => return Some(notice),
                Err(broadcast::error::RecvError::Lagged(missed)) => self.missed += missed,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// How many notices this stream was too slow for.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}
