use super::{Level, Outcome, Sent};
use crate::{message::Frame, presence::Move};

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
    /// Tell what comes and goes there. This is how far it was told already.
    Watch(Held),
    /// What came and went on the other node.
    Feed(Piece),
}

/// How far a node was told of the sessions of another one; nothing yet if all is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Each one begins with all sessions that are there.
    pub(crate) stream: u64,
    /// The last piece of it.
    pub(crate) piece: u64,
}

/// One piece of what a node tells of its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) at: Held,
    /// From here on all sessions come that are there.
    pub(crate) begins: bool,
    /// They have come by now.
    pub(crate) ends: bool,
    pub(crate) moves: Vec<Move>,
}

/// What a node that watches says of a [`Piece`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    Taken,
    /// It does not follow what is there: a new stream is wanted.
    Again,
    /// Nothing is known of who sends it. It may be sent again in a while.
    Later,
    /// Nobody watches any more.
    Unwanted,
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
    /// Of [`Call::Feed`].
    Fed(Fed),
}
