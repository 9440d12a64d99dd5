use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::future::BoxFuture;
use tokio::{sync::oneshot, time::Instant};

use super::{
    super::{
        owners::{Peer, Whom},
        place::{place, place_and_wait},
    },
    Letter, Reach, Routes, outcome_of,
};
use crate::{
    bus::{Level, Outcome, Target},
    connection::Connection,
    message::Frame,
    presence::Find,
};

/// What a letter that waits costs beside its own bytes, roughly.
const OVERHEAD: usize = 256;

/// A letter that waits until it is known where it goes.
pub(super) struct Parcel {
    pub(super) frame: Frame,
    pub(super) bounced: bool,
    pub(super) tell: Option<Tell>,
}

/// Somebody waits for the outcome.
pub(super) struct Tell {
    pub(super) level: Level,
    pub(super) until: Instant,
    /// Set by who was first: the caller that gave up, or the sender.
    pub(super) claimed: Arc<AtomicBool>,
    pub(super) then: oneshot::Sender<BoxFuture<'static, Outcome>>,
}

/// Asks where a session is, or all of an account. Whatever becomes of it, what waits for the answer
/// goes on.
pub(super) struct Seeker {
    routes: Arc<Routes>,
    account: Box<str>,
    /// None stands for all of them.
    session: Option<Box<str>>,
    found: Found,
}

enum Found {
    One(Find),
    /// These nodes have sessions of the account, or may have.
    All(Vec<Box<str>>),
}

/// Where a session is.
enum Place<'a> {
    Here(&'a Connection),
    There(&'a Reach, &'a Peer),
    Everywhere(&'a Reach, &'a [Box<str>]),
    Nowhere(Outcome),
}

impl Seeker {
    pub(super) fn new(routes: Arc<Routes>, account: &str, whom: Whom<'_>) -> Self {
        let session = match whom {
            Whom::Session(session) => Some(session.into()),
            Whom::All => None,
        };
        Self {
            routes,
            account: account.into(),
            session,
            found: Found::One(Find::Uncertain),
        }
    }

    pub(super) async fn run(mut self) {
        let routes = Arc::clone(&self.routes);
        // It is never closed.
        let _turn = routes.seekers.acquire().await;
        let Some(reach) = routes.reach() else {
            return;
        };
        self.found = match &self.session {
            Some(session) => Found::One(reach.presence.find(&self.account, session).await),
            None => Found::All(reach.nodes_of(&self.account).await.0),
        };
    }

    fn settle(&self, reach: &Reach) {
        match &self.session {
            Some(session) => self.settle_session(reach, session),
            None => self.settle_all(reach),
        }
    }

    fn settle_all(&self, reach: &Reach) {
        let place = match &self.found {
            Found::All(nodes) => Place::Everywhere(reach, nodes),
            Found::One(_) => Place::Nowhere(Outcome::Uncertain),
        };
        self.go(Whom::All, &place);
    }

    fn settle_session(&self, reach: &Reach, session: &str) {
        let (routes, account, whom) = (&*self.routes, &*self.account, Whom::Session(session));
        let here = routes.registry.session(account, session);
        let peer = match &self.found {
            Found::One(Find::Found(node)) if **node != *routes.node => Some(routes.peer(node)),
            Found::One(_) | Found::All(_) => None,
        };
        if let (None, Some(peer)) = (&here, peer) {
            let place = Place::There(reach, &peer);
            let keep = Some(Arc::clone(&peer));
            let go = |parcel: Parcel| {
                routes.let_go(&parcel);
                parcel.go(&place, account, session);
            };
            return routes.owners.settle(account, whom, keep, go);
        }
        let place = match (&here, &self.found) {
            (Some(here), _) => Place::Here(here),
            (None, Found::One(Find::NotFound)) => Place::Nowhere(Outcome::NoSession),
            (None, _) => Place::Nowhere(Outcome::Uncertain),
        };
        self.go(whom, &place);
    }

    /// Lets all go that waits, without a lock: a full queue is told to the application.
    fn go(&self, whom: Whom<'_>, place: &Place<'_>) {
        let mut parcels = Vec::new();
        let keep = |parcel| parcels.push(parcel);
        self.routes.owners.settle(&self.account, whom, None, keep);
        let session = self.session.as_deref().unwrap_or_default();
        for parcel in parcels {
            self.routes.let_go(&parcel);
            parcel.go(place, &self.account, session);
        }
    }
}

impl Drop for Seeker {
    fn drop(&mut self) {
        if let Some(reach) = self.routes.reach() {
            self.settle(reach);
        }
    }
}

impl Routes {
    fn let_go(&self, parcel: &Parcel) {
        self.waiting.fetch_sub(parcel.cost(), Ordering::Relaxed);
    }
}

impl Parcel {
    pub(super) fn cost(&self) -> usize {
        self.frame.len() + OVERHEAD
    }

    /// Goes where its session is. It does not block.
    fn go(self, at: &Place<'_>, account: &str, session: &str) {
        let letter = Letter {
            account,
            session,
            frame: self.frame,
            bounced: self.bounced,
        };
        match self.tell {
            Some(tell) if tell.claimed.swap(true, Ordering::AcqRel) => {}
            Some(tell) => {
                let asked = at.ask(letter, tell.level, tell.until);
                // Who is gone does not want to know.
                drop(tell.then.send(asked));
            }
            None => at.post(letter),
        }
    }
}

impl Place<'_> {
    fn post(&self, letter: Letter<'_>) {
        match self {
            Self::Here(connection) => place(connection, letter.frame, Level::Enqueued, drop),
            Self::There(reach, peer) => {
                let _ = reach.bus.post(&peer.id, &letter.into_call(None));
            }
            Self::Everywhere(reach, nodes) => {
                let to = Target::Account(letter.account.into());
                let _ = reach.post_to(nodes, &to, &letter.frame);
            }
            Self::Nowhere(_) => {}
        }
    }

    fn ask(&self, letter: Letter<'_>, level: Level, until: Instant) -> BoxFuture<'static, Outcome> {
        match self {
            Self::Here(connection) => {
                Box::pin(place_and_wait(connection, letter.frame, level, until))
            }
            Self::There(reach, peer) => {
                let left = until.saturating_duration_since(Instant::now());
                let asked = reach
                    .bus
                    .ask(&peer.id, &letter.into_call(Some(level)), left);
                Box::pin(async move { outcome_of(asked.await) })
            }
            Self::Nowhere(outcome) => Box::pin(std::future::ready(*outcome)),
            // Nobody waits for all of an account here.
            Self::Everywhere(..) => Box::pin(std::future::ready(Outcome::Unknown)),
        }
    }
}

impl Reach {
    /// The other nodes that have sessions of an account, and whether there surely are no others.
    pub(in crate::node) async fn nodes_of(&self, account: &str) -> (Vec<Box<str>>, bool) {
        let sessions = self.presence.sessions(account).await;
        if !sessions.complete {
            // One that has none says so.
            return self.presence.peers();
        }
        let located = sessions.sessions.into_iter().map(|located| located.node);
        let mut nodes: Vec<Box<str>> = located.collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes.retain(|node| !self.presence.is_own(node));
        (nodes, true)
    }
}
