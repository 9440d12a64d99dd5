//! What is asked of a store, and what it answers.

use std::{sync::Arc, time::Duration};

use super::value::Lease;
use crate::{config::PresenceSettings, message::User};

/// Entries last for so many dead times at least.
const DEAD_TIMES: u32 = 4;

/// One write, in one bucket. All of them can be repeated. A batch is of one epoch.
#[derive(Clone, Debug)]
pub(super) enum Job {
    /// Stores an entry of ours.
    Put {
        user: User,
        epoch: u64,
        generation: u64,
        /// Whether it takes the place of any other entry; else only of an older one.
        force: bool,
        /// When it was sent, by the store's clock as far as we know it.
        sent: u64,
    },
    /// Removes an entry if it is still this connection's.
    Delete {
        gone: Gone,
        #[cfg_attr(
            not(feature = "redis"),
            expect(dead_code, reason = "memory looks at what is there")
        )]
        epoch: u64,
    },
    /// Removes an entry of a node that is dead and was cleared up after, if it is still the same and
    /// only waits for the end of its time.
    Prune {
        account: Box<str>,
        session: Box<str>,
        entry: Box<str>,
    },
    /// Says that all our part of a bucket is written, if its marker is still `expected`.
    Commit {
        bucket: u8,
        expected: Option<Arc<str>>,
        epoch: u64,
        /// When it was sent, by the store's clock as far as we know it.
        sent: u64,
    },
    /// Takes that back.
    Uncommit { bucket: u8 },
}

/// A session of ours that ended.
#[derive(Clone, Debug)]
pub(super) struct Gone {
    pub(super) user: User,
    /// Known if it was stored for sure.
    pub(super) generation: Option<u64>,
    /// Somebody may have lost it to us and not know.
    pub(super) untold: bool,
    /// It may have been removed already, and nobody was told.
    pub(super) again: bool,
    /// The index of the node may list it.
    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "memory looks at what is there")
    )]
    pub(super) listed: bool,
}

/// How entries are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Whether an index lists all of this node's, for who clears up after it.
    pub(super) listed: bool,
    /// How long the entries of an account stay that nobody writes again, where they expire.
    pub(super) expiry: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            listed: true,
            expiry: Duration::from_secs(3600),
        }
    }
}

impl Terms {
    /// An entry outlasts every node that is only slow.
    pub(super) fn of(settings: &PresenceSettings) -> Self {
        Self {
            listed: settings.leave_feed,
            expiry: settings.expiry.max(settings.dead * DEAD_TIMES),
        }
    }

    pub(super) fn millis(&self) -> u64 {
        u64::try_from(self.expiry.as_millis()).unwrap_or(u64::MAX)
    }
}

/// How an entry is kept: one that does not expire is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// The index of its node lists it.
    pub(super) listed: bool,
    /// It is gone after a while unless it is written again.
    pub(super) expiring: bool,
}

/// What became of a [`Job`].
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Put {
        marker: Arc<str>,
        generation: u64,
        /// The entry that was there before, or that stayed.
        other: Option<String>,
        /// The other entry is newer and stayed.
        lost: bool,
        /// The sessions that follow this one.
        followers: Vec<String>,
        kept: Kept,
    },
    Delete {
        marker: Option<Arc<str>>,
        generation: Option<u64>,
    },
    Commit {
        marker: Arc<str>,
        done: bool,
        /// The store's clock, in microseconds.
        time: u64,
    },
    Uncommit,
    Prune,
    /// It came so late that its sender has given it up; nothing was done.
    Late {
        /// The store's clock, in microseconds.
        time: u64,
    },
}

/// The heartbeat of a node.
#[derive(Clone, Debug)]
pub(super) struct Beat {
    pub(super) lease: Lease,
    /// Whether the row is made if it is not there under this epoch.
    pub(super) register: bool,
}

/// The answer to a heartbeat.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Whether our row was there, under our epoch and not declared dead.
    pub(super) known: bool,
    /// Whether it was there and declared dead.
    pub(super) buried: bool,
    /// The store's clock, in microseconds.
    pub(super) time: u64,
    /// Rows by node.
    pub(super) leases: Vec<(String, String)>,
    /// Entries of ours that others took the place of.
    pub(super) evictions: Vec<String>,
}

/// What is known of a session or of an account.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookup {
    /// Entries by session.
    pub(super) entries: Vec<(String, String)>,
    pub(super) marker: Option<String>,
    /// Who has written all under which marker and epoch.
    pub(super) written: Vec<(String, String)>,
}

/// What [`Job::Commit`] stores.
pub(super) fn commitment(marker: &str, epoch: u64) -> String {
    format!("{marker}|{epoch}")
}

/// The text of an eviction. Without a sid it means whatever is older.
pub(super) fn eviction(user: &User, sid: &str, generation: u64) -> String {
    let member = super::keys::member(user.account(), user.session());
    format!("{generation}|{sid}|{member}")
}

/// Account, session, sid and the generation that took over.
pub(super) fn parse_eviction(text: &str) -> Option<(&str, &str, &str, u64)> {
    let mut parts = text.splitn(3, '|');
    let generation = parts.next()?.parse().ok()?;
    let sid = parts.next()?;
    let (account, session) = super::keys::parse_member(parts.next()?)?;
    Some((account, session, sid, generation))
}
