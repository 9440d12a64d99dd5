use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::{
    node::{Handle, To},
    presence::{Census, Located, Movement},
};

/// How often a node of its own looks.
const ALONE: Duration = Duration::from_millis(500);

/// What is known of one account.
pub(super) struct OfAccount {
    account: Box<str>,
    /// Node and generation by session.
    known: HashMap<Box<str>, (Box<str>, u64)>,
    news: VecDeque<Movement>,
    next_look: Option<Instant>,
    /// The generations of a node of its own.
    own: Generations,
}

/// What tells the connections of a session apart where there is no directory.
#[derive(Default)]
struct Generations {
    last: u64,
    sids: HashMap<Box<str>, (Box<str>, u64)>,
}

impl OfAccount {
    pub(super) fn new(account: &str) -> Self {
        Self {
            account: account.into(),
            known: HashMap::new(),
            news: VecDeque::new(),
            next_look: None,
            own: Generations::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.account
    }

    pub(super) async fn next(&mut self, handle: &Handle) -> Movement {
        loop {
            if let Some(movement) = self.news.pop_front() {
                return movement;
            }
            if let Some(next) = self.next_look {
                sleep_until(next).await;
            }
            let census = handle.look(&self.account, &mut self.own).await;
            self.next_look = Some(Instant::now() + handle.lease());
            self.compare(census);
        }
    }

    /// Tells what differs from what was known.
    fn compare(&mut self, census: Census) {
        let mut there = HashSet::with_capacity(census.sessions.len());
        for (located, generation) in census.sessions {
            let Located { session, node, .. } = located;
            there.insert(session.clone());
            // One that is not stored yet is told of when it is.
            let Some(generation) = generation else {
                continue;
            };
            let known = self.known.get(&session);
            if known.is_none_or(|(_, known)| *known < generation) {
                self.known
                    .insert(session.clone(), (node.clone(), generation));
                self.news.push_back(Movement::Join {
                    account: self.account.clone(),
                    session,
                    node,
                    generation,
                });
            }
        }
        if census.complete {
            let gone = self.known.extract_if(|session, _| !there.contains(session));
            let left = gone.map(|(session, (_, generation))| Movement::Leave {
                account: self.account.clone(),
                session,
                generation,
            });
            self.news.extend(left);
        }
    }
}

impl Handle {
    async fn look(&self, account: &str, own: &mut Generations) -> Census {
        match self.presence() {
            Ok(Some(presence)) => presence.census(account).await,
            Ok(None) => Census {
                sessions: own.of(self, account),
                complete: true,
            },
            Err(_) => Census::default(),
        }
    }

    fn lease(&self) -> Duration {
        match self.presence() {
            Ok(Some(presence)) => presence.lease(),
            _ => ALONE,
        }
    }
}

impl Generations {
    /// The sessions of a node of its own. A new socket id is a new generation.
    fn of(&mut self, handle: &Handle, account: &str) -> Vec<(Located, Option<u64>)> {
        let users = handle.users(To::Account(account));
        let mut sids = HashMap::with_capacity(users.len());
        let found = users.iter().map(|user| {
            let known = self.sids.get(user.session());
            let known = known.filter(|(sid, _)| **sid == *user.sid());
            let generation = known.map_or_else(
                || {
                    self.last += 1;
                    self.last
                },
                |(_, generation)| *generation,
            );
            sids.insert(user.session().into(), (user.sid().into(), generation));
            let located = Located {
                session: user.session().into(),
                node: handle.node_id().into(),
            };
            (located, Some(generation))
        });
        let found = found.collect();
        self.sids = sids;
        found
    }
}
