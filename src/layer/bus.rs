use std::time::Duration;

use super::PrimacronLayer;

/// # Between nodes
///
/// How messages go from node to node; on a node of its own none of it matters.
impl<M> PrimacronLayer<M> {
    /// How many entries, and bytes of them, may wait in Redis for this node; 65,536 and 64 MiB by
    /// default. An entry is what another node had to send at one moment: one message or many. What
    /// is more is refused to its sender.
    #[must_use]
    #[track_caller]
    pub fn inbox(self, entries: usize, bytes: usize) -> Self {
        self.try_set(|settings| settings.bus.set_inbox(entries, bytes))
    }

    /// How many bytes may wait here for each other node, while Redis is slow or away; 4 MiB by
    /// default. What is more is refused.
    #[must_use]
    #[track_caller]
    pub fn bus_backlog(self, bytes: usize) -> Self {
        self.try_set(|settings| settings.bus.set_backlog(bytes))
    }
    /// How long other nodes may take to answer what [`broadcast`](crate::Handle::broadcast),
    /// [`close`](crate::Handle::close) and others ask of them; 5 s by default. What a single message
    /// may take is said with it, by [`Wait`](crate::Wait).
    #[must_use]
    #[track_caller]
    pub fn bus_deadline(self, deadline: Duration) -> Self {
        self.try_set(|settings| settings.bus.set_deadline(deadline))
    }
}
