//! What one node is made of, and the [`Handle`] to it.
//!
//! ```
//! use primacron::{PrimacronLayer, To};
//!
//! # async fn example() {
//! let layer = PrimacronLayer::in_memory();
//! let handle = layer.handle();
//!
//! let sent = handle.try_send(To::Account("ann"), "news", ("hello",)).unwrap();
//! assert_eq!(sent.queued, 0, "ann is not connected");
//! # }
//! ```

mod begin;
mod deliver;
mod drain;
mod fan;
mod feed;
mod find;
mod follow;
mod memory;
mod owners;
mod place;
mod route;
mod send;
#[cfg(test)]
mod tests;
mod verbs;
mod watch;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::watch as signal;

pub(crate) use self::memory::Memory;
use self::{feed::Feeds, follow::Follows, route::Routes};
pub use self::{follow::FollowError, watch::Watch};
#[cfg(feature = "redis")]
use crate::redis::Redis;
use crate::{
    config::MAX_PAYLOAD,
    connection::{Connection, Registry, Tails},
    engine::CloseReason,
    message::{Codec, Json, Outlet as _, Socket, User},
    notice::{Noticeboard, Notices},
    presence::Presence,
};

/// One running layer: its connections and its notices.
pub(crate) struct Node {
    pub(crate) id: Box<str>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) tails: Arc<Tails>,
    pub(crate) notices: Noticeboard,
    told_unverified: AtomicBool,
    pub(crate) presence: Arc<OnceLock<Presence>>,
    /// The way to other nodes.
    routes: Arc<Routes>,
    follows: Arc<Follows>,
    feeds: Arc<Feeds>,
    /// Dropped with the node: nobody looks after its follows and feeds any more.
    _looking: signal::Sender<()>,
    /// How messages look on the wire, once a service was made.
    codec: OnceLock<Arc<dyn Codec>>,
    /// Bytes of the largest message, once a service was made.
    max_payload: OnceLock<usize>,
    plan: begin::Plan,
    /// What is shared with other nodes of this process; if neither this nor Redis, then nothing.
    memory: Option<Memory>,
    #[cfg(feature = "redis")]
    redis: Option<Redis>,
}

impl Node {
    fn new(notices: Noticeboard) -> Self {
        let id = crate::ids::random_id();
        let registry = Arc::new(Registry::new());
        let routes = Routes::new(&id, &registry);
        let tails = Arc::default();
        let (looking, over) = signal::channel(());
        Self {
            feeds: Feeds::new(&id, &routes, notices.clone(), over.clone()),
            follows: Follows::new(&tails, &registry, &routes, notices.clone(), over),
            _looking: looking,
            id: id.into(),
            registry,
            tails,
            routes,
            notices,
            told_unverified: AtomicBool::new(false),
            presence: Arc::default(),
            codec: OnceLock::new(),
            max_payload: OnceLock::new(),
            plan: begin::Plan::default(),
            memory: None,
            #[cfg(feature = "redis")]
            redis: None,
        }
    }

    /// Whether there is a directory that other nodes know too.
    pub(crate) const fn shares_directory(&self) -> bool {
        #[cfg(feature = "redis")]
        if self.redis.is_some() {
            return true;
        }
        self.memory.is_some()
    }

    /// Before there is a service nobody is connected, and any codec will do.
    fn codec(&self) -> &dyn Codec {
        self.codec.get().map_or(&Json, |codec| &**codec)
    }

    /// Bytes of the largest message.
    pub(crate) fn max_payload(&self) -> usize {
        let max = self.max_payload.get().copied();
        max.unwrap_or(MAX_PAYLOAD)
    }

    /// Whether new connections are refused.
    pub(crate) fn is_draining(&self) -> bool {
        self.registry.is_closing()
    }

    /// Whether this is the first time that somebody asks.
    pub(crate) fn tell_unverified(&self) -> bool {
        !self.told_unverified.swap(true, Ordering::Relaxed)
    }
}

/// Shared by layers, services and handles: with the last of them the node ends.
#[derive(Clone)]
pub(crate) struct Owner {
    node: Arc<Owned>,
}

struct Owned(Node);

impl Owner {
    pub(crate) fn new(notices: Noticeboard) -> Self {
        Self {
            node: Arc::new(Owned(Node::new(notices))),
        }
    }

    /// A node that shares a directory with others of this process.
    pub(crate) fn with_memory(notices: Noticeboard, memory: Memory) -> Self {
        let mut node = Node::new(notices);
        node.memory = Some(memory);
        Self {
            node: Arc::new(Owned(node)),
        }
    }

    /// A node that shares a directory with others.
    #[cfg(feature = "redis")]
    pub(crate) fn with_redis(notices: Noticeboard, redis: Redis) -> Self {
        let mut node = Node::new(notices);
        node.redis = Some(redis);
        Self {
            node: Arc::new(Owned(node)),
        }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let close = |connection: &Arc<Connection>| connection.close(CloseReason::Shutdown);
        self.0.registry.begin_close();
        self.0.registry.for_each(close);
    }
}

/// Whom something is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum To<'a> {
    /// One session of an account.
    Session {
        /// The account.
        account: &'a str,
        /// Its session.
        session: &'a str,
    },
    /// All sessions of an account.
    Account(&'a str),
    /// Everybody.
    All,
}

impl<'a> To<'a> {
    /// One session of an account.
    #[must_use]
    pub const fn session(account: &'a str, session: &'a str) -> Self {
        Self::Session { account, session }
    }
}

impl<'a> From<&'a User> for To<'a> {
    fn from(user: &'a User) -> Self {
        Self::session(user.account(), user.session())
    }
}

/// The way to everybody who is connected, from anywhere in the program.
///
/// Cheap to clone; all clones and the layer share one node.
#[derive(Clone)]
pub struct Handle {
    owner: Owner,
}

impl Handle {
    pub(crate) const fn new(owner: Owner) -> Self {
        Self { owner }
    }

    pub(crate) fn node(&self) -> &Node {
        self.owner.node()
    }

    /// The random id of this node, new with every start.
    #[must_use]
    pub fn node_id(&self) -> &str {
        &self.owner.node().id
    }

    /// The socket of a session, if it is connected to this node.
    #[must_use]
    pub fn socket(&self, account: &str, session: &str) -> Option<Socket> {
        let connection = self.owner.node().registry.session(account, session)?;
        Some(connection.socket())
    }

    /// The users that are connected, in no order.
    #[must_use]
    pub fn users<'a>(&self, to: impl Into<To<'a>>) -> Vec<User> {
        let mut users = Vec::new();
        visit(&self.owner.node().registry, to.into(), |connection| {
            users.push(connection.user().clone())
        });
        users
    }

    /// How many connections there are.
    #[must_use]
    pub fn count<'a>(&self, to: impl Into<To<'a>>) -> usize {
        match to.into() {
            To::All => self.owner.node().registry.len(),
            to => {
                let mut count = 0;
                visit(&self.owner.node().registry, to, |_| count += 1);
                count
            }
        }
    }

    /// How many bytes wait to be sent.
    #[must_use]
    pub fn queued_bytes<'a>(&self, to: impl Into<To<'a>>) -> usize {
        let mut bytes = 0;
        visit(&self.owner.node().registry, to.into(), |connection| {
            bytes += connection.queued_bytes()
        });
        bytes
    }

    /// A stream of all notices from now on.
    #[must_use]
    pub fn notices(&self) -> Notices {
        self.owner.node().notices.subscribe()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("node", &self.node_id())
            .finish_non_exhaustive()
    }
}

/// Visits the connections of this node that something is for.
fn visit(registry: &Registry, to: To<'_>, mut visit: impl FnMut(&Arc<Connection>)) {
    match to {
        To::Session { account, session } => {
            registry.session(account, session).iter().for_each(visit);
        }
        To::Account(account) => registry.account(account).iter().for_each(visit),
        To::All => registry.for_each(|connection| visit(connection)),
    }
}
