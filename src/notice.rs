//! What the library tells the application: errors and the life of connections.
//!
//! Every [`Notice`] goes to the function given to
//! [`PrimacronLayer::on_notice`](crate::PrimacronLayer::on_notice), to every
//! [`Notices`] stream, and, with the feature `tracing`, to the subscriber. The library never
//! prints.
//!
//! ```
//! use primacron::{Notice, PrimacronLayer};
//!
//! let layer = PrimacronLayer::in_memory().on_notice(|notice| match notice {
//!     Notice::Validation { event, error, user, .. } => {
//!         eprintln!("{}: {event} of {}: {error}", notice.name(), user.account());
//!     }
//!     other => eprintln!("{}", other.name()),
//! });
//! # drop(layer);
//! ```

mod board;
#[cfg(feature = "tracing")]
mod trace;

use std::sync::Arc;

use http::StatusCode;

pub(crate) use self::board::Noticeboard;
pub use self::board::Notices;
use crate::{
    engine::{CloseReason, Transport},
    message::{RawInput, Refusal, User},
};

/// One thing that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// `error::json`: a message is not in the codec's format.
    #[non_exhaustive]
    Json {
        /// What the client sent.
        raw: RawInput,
        /// Who sent it.
        user: User,
        /// What is wrong with it.
        error: String,
    },
    /// `error::invalid`: a message is in the codec's format, but is not an object with a usable
    /// `event`, `args` and `id`.
    #[non_exhaustive]
    Invalid {
        /// What the client sent.
        raw: RawInput,
        /// Who sent it.
        user: User,
        /// What is wrong with it.
        error: String,
    },
    /// `error::validation`: there is no validator for the event, or it refused.
    #[non_exhaustive]
    Validation {
        /// The name of the event.
        event: String,
        /// Why it was refused.
        error: Refusal,
        /// What the client sent.
        raw: RawInput,
        /// Who sent it.
        user: User,
    },
    /// `error::handler`: the handler failed or panicked.
    #[non_exhaustive]
    Handler {
        /// The name of the event.
        event: String,
        /// What the handler said.
        error: Arc<dyn std::error::Error + Send + Sync>,
        /// Who sent the message.
        user: User,
    },
    /// `connect`: a client is connected.
    #[non_exhaustive]
    Connect {
        /// Who it is.
        user: User,
        /// How it came.
        transport: Transport,
    },
    /// `upgrade`: a connection went from long polling to websocket.
    #[non_exhaustive]
    Upgrade {
        /// Whose connection it is.
        user: User,
    },
    /// `disconnect`: a connection ended.
    #[non_exhaustive]
    Disconnect {
        /// Whose connection it was.
        user: User,
        /// Why it ended.
        reason: CloseReason,
    },
    /// `limit::queue`: the outgoing queue of a connection was full.
    #[non_exhaustive]
    QueueFull {
        /// Whose connection it is.
        user: User,
    },
    /// `reject`: a request to the endpoint was answered with an error.
    #[non_exhaustive]
    Reject {
        /// The status of the answer.
        status: StatusCode,
        /// What was wrong, for the log.
        reason: String,
    },
    /// `error::connect`: the entry of a connection could not be stored. The connection goes on, and
    /// presence catches up by itself.
    #[non_exhaustive]
    ConnectError {
        /// Whose connection it is.
        user: User,
        /// Where the entry belongs.
        key: String,
        /// What was to be stored, without the socket id.
        value: String,
        /// What went wrong.
        error: String,
    },
    /// `error::disconnect`: the entry of a connection could not be removed. It does not count, and
    /// is removed later.
    #[non_exhaustive]
    DisconnectError {
        /// Whose connection it was.
        user: User,
        /// Where the entry is.
        key: String,
        /// What was stored, without the socket id.
        value: String,
        /// What went wrong.
        error: String,
    },
    /// `presence::join`: a session of this node can be found by all nodes. At least once; a join of
    /// a higher generation overrides a leave. A node that comes back after the others declared it
    /// dead, or must have been about to, tells all its sessions again, under higher generations.
    #[non_exhaustive]
    Join {
        /// Who it is.
        user: User,
        /// Raised whenever the session is taken over.
        generation: u64,
    },
    /// `presence::leave`: a session of this node, or of a dead node that this one cleared up after,
    /// was removed. At least once, and with its generation again where an answer was lost; but not
    /// of a session that ended here while the others took this node for dead, or while the store was
    /// away and more had ended than the backlog holds, nor of one of a dead node without a
    /// [leave feed](crate::PrimacronLayer::leave_feed).
    #[non_exhaustive]
    Leave {
        /// Who it was.
        user: User,
        /// The generation that it had.
        generation: u64,
    },
    /// `presence::offline`: the store of the directory cannot be reached. Said once.
    #[non_exhaustive]
    PresenceOffline {
        /// Why.
        error: String,
    },
    /// `presence::online`: the store of the directory is reached, for the first time or again.
    #[non_exhaustive]
    PresenceOnline,
    /// `presence::fenced`: others declared this node dead, or its lease was lost; everything of it
    /// is written again under a new epoch.
    #[non_exhaustive]
    PresenceFenced,
    /// `presence::eviction`: Redis is set to give up keys when its memory is full, and the directory
    /// with them: its `maxmemory-policy` should be `noeviction`. Said whenever it is reached anew.
    #[non_exhaustive]
    PresenceEviction {
        /// The policy that it has.
        policy: String,
    },
    /// `presence::invalid`: something in the store makes no sense and is ignored.
    #[non_exhaustive]
    PresenceInvalid {
        /// What it stands for.
        what: String,
    },
    /// `follow::gap`: a session that follows another one missed messages of it. Given when it hears
    /// the next one, or is given up.
    #[non_exhaustive]
    FollowGap {
        /// The account of both.
        account: Box<str>,
        /// The session that is followed.
        followed: Box<str>,
        /// The session that follows.
        follower: Box<str>,
        /// At most so many messages.
        missed: u64,
    },
    /// `bus::offline`: other nodes cannot be written to, or what they write cannot be read. Said
    /// once.
    #[non_exhaustive]
    BusOffline {
        /// Why.
        error: String,
    },
    /// `bus::online`: nodes reach one another, for the first time or again.
    #[non_exhaustive]
    BusOnline,
    /// `bus::gap`: something that another node sent to this one was lost on the way.
    #[non_exhaustive]
    BusGap {
        /// The node that sent it.
        node: Box<str>,
        /// So many entries, each with one message or more.
        missed: u64,
    },
    /// `bus::invalid`: something that came for this node makes no sense and is ignored.
    #[non_exhaustive]
    BusInvalid {
        /// What is wrong with it.
        what: String,
    },
    /// `bus::full`: another node does not read as fast as is written to it, and what is for it is
    /// refused. Said once.
    #[non_exhaustive]
    BusFull {
        /// The other node.
        node: Box<str>,
    },
    /// `account::unverified`: the account is what clients claim, because the layer has no
    /// `.account(fn)`. Given once, with the first connection.
    #[non_exhaustive]
    UnverifiedAccount,
}

impl Notice {
    /// The name of the notice, stable across versions.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Json { .. } => "error::json",
            Self::Invalid { .. } => "error::invalid",
            Self::Validation { .. } => "error::validation",
            Self::Handler { .. } => "error::handler",
            Self::Connect { .. } => "connect",
            Self::Upgrade { .. } => "upgrade",
            Self::Disconnect { .. } => "disconnect",
            Self::QueueFull { .. } => "limit::queue",
            Self::Reject { .. } => "reject",
            Self::ConnectError { .. } => "error::connect",
            Self::DisconnectError { .. } => "error::disconnect",
            Self::Join { .. } => "presence::join",
            Self::Leave { .. } => "presence::leave",
            Self::PresenceOffline { .. } => "presence::offline",
            Self::PresenceOnline => "presence::online",
            Self::PresenceFenced => "presence::fenced",
            Self::PresenceEviction { .. } => "presence::eviction",
            Self::PresenceInvalid { .. } => "presence::invalid",
            Self::FollowGap { .. } => "follow::gap",
            Self::BusOffline { .. } => "bus::offline",
            Self::BusOnline => "bus::online",
            Self::BusGap { .. } => "bus::gap",
            Self::BusInvalid { .. } => "bus::invalid",
            Self::BusFull { .. } => "bus::full",
            Self::UnverifiedAccount => "account::unverified",
        }
    }

    /// The same, with no more of a message than a backlog of notices should hold.
    fn cut(mut self) -> Self {
        match &mut self {
            Self::Json { raw, .. } | Self::Invalid { raw, .. } => *raw = raw.cut(KEPT),
            Self::Validation { raw, event, .. } => {
                *raw = raw.cut(KEPT);
                truncate(event);
            }
            Self::Handler { event, .. } => truncate(event),
            Self::Connect { .. }
            | Self::Upgrade { .. }
            | Self::Disconnect { .. }
            | Self::QueueFull { .. }
            | Self::Reject { .. }
            | Self::ConnectError { .. }
            | Self::DisconnectError { .. }
            | Self::Join { .. }
            | Self::Leave { .. }
            | Self::PresenceOffline { .. }
            | Self::PresenceOnline
            | Self::PresenceFenced
            | Self::PresenceEviction { .. }
            | Self::PresenceInvalid { .. }
            | Self::FollowGap { .. }
            | Self::BusOffline { .. }
            | Self::BusOnline
            | Self::BusGap { .. }
            | Self::BusInvalid { .. }
            | Self::BusFull { .. }
            | Self::UnverifiedAccount => {}
        }
        self
    }

    /// Whose connection it is about.
    #[must_use]
    pub const fn user(&self) -> Option<&User> {
        match self {
            Self::Json { user, .. }
            | Self::Invalid { user, .. }
            | Self::Validation { user, .. }
            | Self::Handler { user, .. }
            | Self::Connect { user, .. }
            | Self::Upgrade { user }
            | Self::Disconnect { user, .. }
            | Self::ConnectError { user, .. }
            | Self::DisconnectError { user, .. }
            | Self::Join { user, .. }
            | Self::Leave { user, .. }
            | Self::QueueFull { user } => Some(user),
            Self::Reject { .. }
            | Self::PresenceOffline { .. }
            | Self::PresenceOnline
            | Self::PresenceFenced
            | Self::PresenceEviction { .. }
            | Self::PresenceInvalid { .. }
            | Self::FollowGap { .. }
            | Self::BusOffline { .. }
            | Self::BusOnline
            | Self::BusGap { .. }
            | Self::BusInvalid { .. }
            | Self::BusFull { .. }
            | Self::UnverifiedAccount => None,
        }
    }
}

fn truncate(event: &mut String) {
    let end = (0..=KEPT.min(event.len()))
        .rev()
        .find(|end| event.is_char_boundary(*end));
    event.truncate(end.unwrap_or(0));
    event.shrink_to_fit();
}

/// Bytes of a message, and of the name of an event, that a notice in a stream keeps.
const KEPT: usize = 1024;
