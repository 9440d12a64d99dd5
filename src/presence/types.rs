/// Where a session is, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Find {
    /// It is connected to this node.
    Found(Box<str>),
    /// It is connected nowhere.
    NotFound,
    /// Nobody knows for sure: the directory cannot be reached, is being rebuilt, or the node of the
    /// session has not been heard of for a while.
    Uncertain,
}

/// The directory is not known well enough to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the directory is not known")]
#[non_exhaustive]
pub struct Uncertain;

/// The sessions of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sessions {
    /// Those that are known, in no order.
    pub sessions: Vec<Located>,
    /// Whether there surely are no others.
    pub complete: bool,
}

/// A session and its node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Located {
    /// The session.
    pub session: Box<str>,
    /// The node that it is connected to.
    pub node: Box<str>,
}

/// One node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its random id, new with every start.
    pub id: Box<str>,
    /// How many sessions it had at its last heartbeat.
    pub sessions: usize,
    /// Whether it was heard of lately; it is not said to be dead yet otherwise.
    pub live: bool,
}

/// What there is to be thought of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Live,
    /// It has not been heard of for a while, or nobody can tell.
    Suspect,
    Dead,
    /// It was never heard of, or so long ago that it is forgotten.
    Unknown,
}

/// How far this node's part of the directory is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PresenceState {
    /// All of it. In memory it always is.
    Synced,
    /// The store is there, and not everything is written yet.
    Syncing,
    /// The store cannot be reached.
    Offline,
}

impl PresenceState {
    /// `synced`, `syncing` or `offline`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Syncing => "syncing",
            Self::Offline => "offline",
        }
    }

    /// Its name, and those of the other states.
    pub(super) const fn among_all(self) -> (&'static str, [&'static str; 2]) {
        let others = match self {
            Self::Synced => [Self::Syncing, Self::Offline],
            Self::Syncing => [Self::Synced, Self::Offline],
            Self::Offline => [Self::Synced, Self::Syncing],
        };
        (self.name(), [others[0].name(), others[1].name()])
    }
}
