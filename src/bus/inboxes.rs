use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::error::StoreError;

/// What a transport answers some day; within a time of its own.
pub(super) type Later<'a, T, E = StoreError> = BoxFuture<'a, Result<T, E>>;

/// Where the entries of nodes wait until they read them: one inbox a node.
pub(super) trait Inboxes: Send + Sync + 'static {
    /// Makes sure that our own inbox is there: keeps it from going away, or makes a new one.
    fn renew(&self) -> Later<'_, ()>;

    /// Puts an entry into the inbox of a node, once.
    fn append<'a>(&'a self, to: &'a str, entry: Bytes) -> Later<'a, Appended, Failed>;

    /// Waits for entries in our own inbox, for a while. What the read before has brought is taken
    /// away: it was handled.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the next one brings the same.
    fn read(&self) -> Later<'_, Vec<Bytes>>;

    /// Takes our own inbox away, in one step, and gives what had not been read.
    fn close(&self) -> Later<'_, Vec<Bytes>>;
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appended {
    Done,
    /// There is no such inbox.
    Gone,
    /// The inbox has no room for it.
    Full,
}

/// Why nobody knows, or why it was not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failed {
    /// Surely not appended.
    #[error("{0}")]
    Surely(StoreError),
    /// Perhaps it was, or will be.
    #[error("{0}")]
    Perhaps(StoreError),
}
