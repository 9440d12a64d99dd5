use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::{Feeds, roster::Roster};
use crate::{
    node::{Handle, To},
    presence::{Move, Movement},
};

/// How often a node of its own looks, and one that has not begun.
const LOOK: Duration = Duration::from_millis(500);

/// The joins and leaves of everybody.
pub(in crate::node) enum All {
    /// It is not known yet whether there are other nodes.
    Idle,
    Shared(Reading),
    Alone(Box<Alone>),
}

/// Somebody who reads what all nodes tell.
pub(in crate::node) struct Reading {
    feeds: Arc<Feeds>,
    reader: usize,
    news: Arc<Notify>,
}

/// Account and session.
type Name = (Box<str>, Box<str>);

/// A node of its own, which tells itself.
pub(in crate::node) struct Alone {
    roster: Roster,
    reader: usize,
    next_look: Option<Instant>,
    /// Socket id and generation by account and session.
    sids: HashMap<Name, (Box<str>, u64)>,
    last: u64,
}

impl All {
    /// Begins to hear, if it can already.
    pub(in crate::node) fn begin(handle: &Handle) -> Self {
        match (handle.presence(), handle.reach()) {
            (Ok(None), _) => Self::Alone(Box::new(Alone::new())),
            (_, Some(reach)) => {
                let feeds = Arc::clone(&handle.node().feeds);
                let (reader, news) = feeds.attach(reach);
                Self::Shared(Reading {
                    feeds,
                    reader,
                    news,
                })
            }
            (_, None) => Self::Idle,
        }
    }

    pub(in crate::node) async fn next(&mut self, handle: &Handle) -> Movement {
        loop {
            match self {
                Self::Idle => {
                    *self = Self::begin(handle);
                    if let Self::Idle = self {
                        sleep(LOOK).await;
                    }
                }
                Self::Shared(reading) => return reading.next().await,
                Self::Alone(alone) => return alone.next(handle).await,
            }
        }
    }

    pub(in crate::node) fn missed(&self) -> u64 {
        match self {
            Self::Idle => 0,
            Self::Shared(reading) => reading.feeds.missed(reading.reader),
            Self::Alone(alone) => alone.roster.missed(alone.reader),
        }
    }
}

impl Reading {
    async fn next(&self) -> Movement {
        loop {
            if let Some(movement) = self.feeds.next(self.reader) {
                return movement;
            }
            self.news.notified().await;
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.feeds.detach(self.reader);
    }
}

impl Alone {
    fn new() -> Self {
        let mut roster = Roster::new();
        let (reader, _) = roster.attach();
        Self {
            roster,
            reader,
            next_look: None,
            sids: HashMap::new(),
            last: 0,
        }
    }

    async fn next(&mut self, handle: &Handle) -> Movement {
        loop {
            if let Some(movement) = self.roster.next(self.reader) {
                return movement;
            }
            if let Some(next) = self.next_look {
                sleep_until(next).await;
            }
            self.look(handle);
            self.next_look = Some(Instant::now() + LOOK);
        }
    }

    fn look(&mut self, handle: &Handle) {
        let (node, now) = (handle.node_id(), super::now());
        let mut before = std::mem::take(&mut self.sids);
        let users = handle.users(To::All).into_iter();
        let joins = users.map(|user| {
            let name = (user.account().into(), user.session().into());
            let known = before.remove(&name);
            let known = known.filter(|(sid, _)| **sid == *user.sid());
            let (sid, generation) = known.unwrap_or_else(|| {
                self.last += 1;
                (user.sid().into(), self.last)
            });
            self.sids.insert(name, (sid, generation));
            Move {
                user,
                generation,
                joined: true,
            }
        });
        let joins: Vec<Move> = joins.collect();
        self.roster.begin(node);
        self.roster.handle(now, node, &joins);
        self.roster.end(now, node);
    }
}
