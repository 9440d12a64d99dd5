/// Where a session is, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Find {
    /// It is connected to this node.
    Found(Box<str>),
    /// It is connected nowhere.
    ///
    /// One thing can make that untrue for a while: a master of Redis answers before its replicas
    /// have what was written. After a failover that lost the last moment, a session that connected
    /// in it is missing until its node has noticed and written everything again, which takes the
    /// time of some heartbeats.
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

/// What is known of an account.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// Its sessions with their generations, which one of this node has once it is stored.
    pub(crate) sessions: Vec<(Located, Option<u64>)>,
    /// Whether there surely are no others.
    pub(crate) complete: bool,
}

/// A session came or went that is watched: see [`Handle::watch`](crate::Handle::watch).
///
/// Account, session and generation are a key: what was heard with it before is the same again. A
/// join of a higher generation overrides a leave.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Movement {
    /// It is connected, or another connection has taken it over.
    #[non_exhaustive]
    Join {
        /// Whose session it is.
        account: Box<str>,
        /// The session.
        session: Box<str>,
        /// The node that it is connected to.
        node: Box<str>,
        /// Raised whenever the session is taken over.
        generation: u64,
    },
    /// It is connected nowhere any more.
    #[non_exhaustive]
    Leave {
        /// Whose session it was.
        account: Box<str>,
        /// The session.
        session: Box<str>,
        /// The generation that it had.
        generation: u64,
    },
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
    /// Whether it takes no more clients, and lets go of those that it has.
    pub draining: bool,
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
