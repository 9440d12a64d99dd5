use super::{Level, Outcome, Sent};
use crate::message::Frame;

/// What one node asks another to do.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// Deliver a message to one session.
    Forward {
        account: Box<str>,
        session: Box<str>,
        frame: Frame,
        level: Level,
        /// It was sent on by a node that the session has left: it goes no further.
        bounced: bool,
    },
    /// Deliver a message to many.
    Send { to: Target, frame: Frame },
    /// Close connections.
    Close { to: Target, reason: Box<str> },
    /// The session is not where the other node took it to be.
    Moved {
        account: Box<str>,
        session: Box<str>,
    },
    /// Let one session of an account hear what another one sends, or no longer.
    Follow {
        account: Box<str>,
        followed: Box<str>,
        follower: Box<str>,
        on: bool,
    },
}

/// For whom something is, on the node that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Session {
        account: Box<str>,
        session: Box<str>,
    },
    Account(Box<str>),
    All,
}

/// What the other node says of a [`Call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Of [`Call::Forward`] and [`Call::Follow`].
    Forward(Outcome),
    /// Of [`Call::Send`].
    Sent(Sent),
    /// Of [`Call::Close`]: so many connections.
    Closed(usize),
}
