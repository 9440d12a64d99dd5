use crate::{bus::Hub, condition::Access, presence};
#[cfg(feature = "testing")]
use crate::{condition::Switch, node::Handle};

/// What the nodes of one process share in place of Redis, as one of them sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    access: Access,
    directory: presence::Memory,
    hub: Hub,
}

impl Memory {
    /// The same as another node sees it.
    pub(crate) fn of_another(&self) -> Self {
        Self {
            access: self.access.of_another(),
            directory: self.directory.clone(),
            hub: self.hub.clone(),
        }
    }

    pub(super) fn directory(&self) -> presence::Memory {
        self.directory.seen(self.access.clone())
    }

    pub(super) fn hub(&self) -> Hub {
        self.hub.seen(self.access.clone())
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
        self.access.store()
    }

    /// The condition of this node.
    pub(crate) const fn node(&self) -> &Switch {
        self.access.node()
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
