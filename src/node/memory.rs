use crate::{presence, reach::Reach};

/// What the nodes of one process share in place of Redis, as one of them sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    reach: Reach,
    directory: presence::Memory,
}

impl Memory {
    /// The same as another node sees it.
    pub(crate) fn of_another(&self) -> Self {
        Self {
            reach: self.reach.of_another(),
            directory: self.directory.clone(),
        }
    }

    pub(super) fn directory(&self) -> presence::Memory {
        self.directory.seen(self.reach.clone())
    }
}
