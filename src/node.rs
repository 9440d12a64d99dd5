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
mod fan;
mod find;
mod verbs;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until, timeout_at};

use self::fan::Fan;
#[cfg(feature = "redis")]
use crate::redis::Redis;
use crate::{
    bus::Sent,
    config::MAX_PAYLOAD,
    connection::{Connection, Registry},
    engine::CloseReason,
    message::{
        Codec, IntoArgs, Json, Outlet as _, PushError, SendError, Socket, User, encode_event, push,
    },
    notice::{Noticeboard, Notices},
    presence::Presence,
};

/// One running layer: its connections and its notices.
pub(crate) struct Node {
    pub(crate) id: Box<str>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) notices: Noticeboard,
    told_unverified: AtomicBool,
    pub(crate) presence: Arc<OnceLock<Presence>>,
    /// How messages look on the wire, once a service was made.
    codec: OnceLock<Arc<dyn Codec>>,
    /// Bytes of the largest message, once a service was made.
    max_payload: OnceLock<usize>,
    /// Where the directory is kept; nowhere but in this process without.
    #[cfg(feature = "redis")]
    redis: Option<Redis>,
}

impl Node {
    fn new(notices: Noticeboard) -> Self {
        Self {
            id: crate::ids::random_id().into(),
            registry: Arc::new(Registry::new()),
            notices,
            told_unverified: AtomicBool::new(false),
            presence: Arc::default(),
            codec: OnceLock::new(),
            max_payload: OnceLock::new(),
            #[cfg(feature = "redis")]
            redis: None,
        }
    }

    /// Whether the directory is kept outside of this process.
    pub(crate) const fn shares_directory(&self) -> bool {
        #[cfg(feature = "redis")]
        return self.redis.is_some();
        #[cfg(not(feature = "redis"))]
        false
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

    /// Sends an event, waiting for those whose queue is full. No receiver waits for another one, but
    /// the caller waits for the slowest: put a timeout around it where that matters.
    ///
    /// # Errors
    ///
    /// [`SendError::ReservedEvent`] and [`SendError::Encode`]; who did not get it is counted in
    /// [`Sent::refused`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, those with room have got it.
    pub async fn send(
        &self,
        to: impl Into<To<'_>>,
        event: &str,
        args: impl IntoArgs,
    ) -> Result<Sent, SendError> {
        let to = to.into();
        if let Some(connection) = self.only(to) {
            let frame = encode_event(connection.codec(), event, &args)?;
            drop(args);
            return Ok(Sent::one(push(&*connection, frame).await.is_ok()));
        }
        let mut waiting = FuturesUnordered::new();
        let mut fan = Fan::new(event, &args);
        let mut sent = Sent::default();
        self.for_each(to, |connection| {
            let Some(frame) = fan.frame(connection) else {
                return;
            };
            match connection.push_or_wait(frame) {
                Err(PushError::Full(frame, room)) => {
                    let connection = Arc::clone(connection);
                    waiting.push(async move {
                        room.await;
                        push(&*connection, frame).await
                    });
                }
                pushed => sent.count(pushed.is_ok()),
            }
        });
        fan.into_sent()?;
        drop(args);
        while let Some(pushed) = waiting.next().await {
            sent.count(pushed.is_ok());
        }
        Ok(sent)
    }

    /// Sends an event now or not at all. A connection whose queue is full is treated by its
    /// [`QueuePolicy`](crate::QueuePolicy).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn try_send<'a>(
        &self,
        to: impl Into<To<'a>>,
        event: &str,
        args: impl IntoArgs,
    ) -> Result<Sent, SendError> {
        let to = to.into();
        if let Some(connection) = self.only(to) {
            let frame = encode_event(connection.codec(), event, &args)?;
            return Ok(Sent::one(connection.try_push(frame).is_ok()));
        }
        let mut fan = Fan::new(event, &args);
        let mut sent = Sent::default();
        self.for_each(to, |connection| {
            if let Some(frame) = fan.frame(connection) {
                sent.count(connection.try_push(frame).is_ok());
            }
        });
        fan.into_sent()?;
        Ok(sent)
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
        self.for_each(to.into(), |connection| {
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
                self.for_each(to, |_| count += 1);
                count
            }
        }
    }

    /// How many bytes wait to be sent.
    #[must_use]
    pub fn queued_bytes<'a>(&self, to: impl Into<To<'a>>) -> usize {
        let mut bytes = 0;
        self.for_each(to.into(), |connection| bytes += connection.queued_bytes());
        bytes
    }

    /// A stream of all notices from now on.
    #[must_use]
    pub fn notices(&self) -> Notices {
        self.owner.node().notices.subscribe()
    }

    /// Empties the node: new connections are answered with 503, the clients that are there are
    /// closed one by one, spread over three quarters of the window, and what is queued for them is
    /// sent. Ready when all are gone, or when the window is over; the listener is closed after
    /// that. A node that was drained stays so.
    pub async fn drain(&self, window: Duration) {
        let node = self.owner.node();
        let window = window.min(LONGEST_DRAIN);
        node.registry.begin_close();
        let start = Instant::now();
        let mut connections = Vec::new();
        node.registry
            .for_each(|connection| connections.push(Arc::clone(connection)));
        let step = (window * 3 / 4) / u32::try_from(connections.len().max(1)).unwrap_or(u32::MAX);
        for (index, connection) in (0..).zip(connections) {
            sleep_until(start + step * index).await;
            connection.close(CloseReason::Shutdown);
        }
        drop(timeout_at(start + window, node.registry.emptied()).await);
        if let Some(presence) = node.presence.get() {
            presence.finish().await;
        }
    }

    /// The connection of one session: a frame for it alone is not shared.
    fn only(&self, to: To<'_>) -> Option<Arc<Connection>> {
        match to {
            To::Session { account, session } => {
                self.owner.node().registry.session(account, session)
            }
            To::Account(_) | To::All => None,
        }
    }

    fn for_each(&self, to: To<'_>, mut visit: impl FnMut(&Arc<Connection>)) {
        let registry = &self.owner.node().registry;
        match to {
            To::Session { account, session } => {
                registry.session(account, session).iter().for_each(visit);
            }
            To::Account(account) => registry.account(account).iter().for_each(visit),
            To::All => registry.for_each(|connection| visit(connection)),
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("node", &self.node_id())
            .finish_non_exhaustive()
    }
}

/// A year: no clock overflows with it.
const LONGEST_DRAIN: Duration = Duration::from_secs(365 * 24 * 3600);
