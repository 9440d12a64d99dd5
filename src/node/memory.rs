use crate::{bus::Hub, presence, reach::Reach};
#[cfg(feature = "testing")]
use crate::{node::Handle, reach::Switch};

/// What the nodes of one process share in place of Redis, as one of them sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    reach: Reach,
    directory: presence::Memory,
    hub: Hub,
}

impl Memory {
    /// The same as another node sees it.
    pub(crate) fn of_another(&self) -> Self {
        Self {
            reach: self.reach.of_another(),
            directory: self.directory.clone(),
            hub: self.hub.clone(),
        }
    }

    pub(super) fn directory(&self) -> presence::Memory {
        self.directory.seen(self.reach.clone())
    }

    #[expect(dead_code, reason = "the verbs are to come")]
    pub(super) fn hub(&self) -> Hub {
        self.hub.seen(self.reach.clone())
    }
}

/// What tests do to it.
#[cfg(feature = "testing")]
impl Memory {
    /// Whether both are of one cluster.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        self.directory.is_shared_with(&other.directory)
    }

    /// The condition of what is shared.
    pub(crate) const fn store(&self) -> &Switch {
        self.reach.store()
    }

    /// The condition of this node.
    pub(crate) const fn node(&self) -> &Switch {
        self.reach.node()
    }

    /// Loses everything.
    pub(crate) fn flush(&self) {
        self.directory.flush();
        self.hub.flush();
    }
}

#[cfg(feature = "testing")]
impl Handle {
    /// What this node shares with others of its process, if it does.
    pub(crate) fn memory(&self) -> Option<&Memory> {
        self.owner.node().memory.as_ref()
    }

    /// Ends all connections without a goodbye, and takes no more.
    pub(crate) fn kill(&self) {
        self.owner.node().registry.kill();
    }
}
