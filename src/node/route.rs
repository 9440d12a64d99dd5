mod seek;

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use tokio::{
    runtime::Handle as Runtime,
    sync::{Semaphore, oneshot},
    time::{Instant, timeout_at},
};

use self::seek::{Parcel, Seeker, Tell};
use super::{
    To,
    owners::{Owners, Peer, Way, Whom},
};
use crate::{
    bus::{Answer, Bus, Call, Level, Outcome, Refused, Target, Unreached, Wait},
    connection::Registry,
    message::Frame,
    presence::{Find, Life, Presence},
};

/// How many sessions are asked for at the same time.
const SEEKERS: usize = 256;

/// Bytes of messages that may wait until it is known where they go.
const WAITING: usize = 16 * 1024 * 1024;

/// After so many milliseconds it is looked again whether another node lives.
const GOOD_FOR: u64 = 100;

/// To so few other nodes a message for an account goes without asking which of them have it.
const FEW: usize = 4;

/// The way from this node to the others.
///
/// Everybody who sends holds it; what comes from the bus holds it only weakly.
pub(crate) struct Routes {
    node: Arc<str>,
    registry: Arc<Registry>,
    /// There once the node has begun, if it is not alone.
    reach: OnceLock<Reach>,
    owners: Owners<Parcel>,
    peers: Mutex<HashMap<Arc<str>, Arc<Peer>>>,
    /// Bytes that wait until it is known where they go.
    waiting: AtomicUsize,
    seekers: Semaphore,
    start: Instant,
}

/// What a node has that is not alone.
pub(super) struct Reach {
    pub(super) bus: Bus,
    pub(super) presence: Presence,
    pub(super) runtime: Runtime,
    /// How long other nodes may take to answer, where the caller does not say.
    pub(super) deadline: Duration,
    /// So many bytes at most are sent in one piece of what others can wait for.
    pub(super) piece: usize,
}

/// Something for one session, and what is wanted.
pub(super) struct Letter<'a> {
    pub(super) account: &'a str,
    pub(super) session: &'a str,
    pub(super) frame: Frame,
    /// It was sent to this node by mistake: what others know of the session is wrong, and what this
    /// node knows may be.
    pub(super) bounced: bool,
}

/// Where a letter went.
enum Begun<A> {
    Over(Outcome),
    Asked(A),
    Waits {
        until: Instant,
        claimed: Arc<AtomicBool>,
        then: oneshot::Receiver<BoxFuture<'static, Outcome>>,
    },
}

impl Routes {
    pub(super) fn new(node: &str, registry: &Arc<Registry>) -> Arc<Self> {
        Arc::new(Self {
            node: node.into(),
            registry: Arc::clone(registry),
            reach: OnceLock::new(),
            owners: Owners::new(),
            peers: Mutex::default(),
            waiting: AtomicUsize::new(0),
            seekers: Semaphore::new(SEEKERS),
            start: Instant::now(),
        })
    }

    /// From now on the node is not alone.
    pub(super) fn open(&self, reach: Reach) {
        // It begins once.
        drop(self.reach.set(reach));
    }

    pub(super) fn reach(&self) -> Option<&Reach> {
        self.reach.get()
    }

    /// A guess was wrong.
    pub(super) fn forget(&self, account: &str, session: &str) {
        self.owners.forget(account, session);
    }

    /// Sends a frame to a session that is not here. It is under way, in its place among others,
    /// when this returns; the future is how far it got.
    pub(super) fn forward(
        self: &Arc<Self>,
        reach: &Reach,
        letter: Letter<'_>,
        wait: Wait,
    ) -> impl Future<Output = Outcome> + Send + 'static + use<> {
        let begun = self.begin_forward(reach, letter, wait);
        async move {
            match begun {
                Begun::Over(outcome) => outcome,
                Begun::Asked(asked) => outcome_of(asked.await),
                Begun::Waits {
                    until,
                    claimed,
                    mut then,
                } => match timeout_at(until, &mut then).await {
                    Ok(Ok(asked)) => asked.await,
                    Ok(Err(_)) => Outcome::Uncertain,
                    Err(_) if claimed.swap(true, Ordering::AcqRel) => match then.await {
                        Ok(asked) => asked.await,
                        Err(_) => Outcome::Unknown,
                    },
                    Err(_) => Outcome::Uncertain,
                },
            }
        }
    }

    fn begin_forward(
        self: &Arc<Self>,
        reach: &Reach,
        letter: Letter<'_>,
        wait: Wait,
    ) -> Begun<impl Future<Output = Result<Answer, Unreached>> + Send + 'static + use<>> {
        if let Some(peer) = self.known(reach, &letter) {
            let call = letter.into_call(Some(wait.level));
            return Begun::Asked(reach.bus.ask(&peer.id, &call, wait.at_most));
        }
        let until = Instant::now() + wait.at_most;
        let claimed = Arc::new(AtomicBool::new(false));
        let (tell, then) = oneshot::channel();
        let tell = Tell {
            level: wait.level,
            until,
            claimed: Arc::clone(&claimed),
            then: tell,
        };
        match self.seek_session(reach, letter, Some(tell)) {
            Ok(()) => Begun::Waits {
                until,
                claimed,
                then,
            },
            Err(refused) => Begun::Over(Outcome::Refused(refused)),
        }
    }

    /// Sends a frame to a session that is not here, without waiting for anything.
    pub(super) fn post(self: &Arc<Self>, reach: &Reach, letter: Letter<'_>) -> Result<(), Refused> {
        match self.known(reach, &letter) {
            Some(peer) => reach.bus.post(&peer.id, &letter.into_call(None)),
            None => self.seek_session(reach, letter, None),
        }
    }

    /// Sends a frame to all sessions of an account that are not here, without waiting for anything.
    pub(super) fn post_account(
        self: &Arc<Self>,
        reach: &Reach,
        account: &str,
        frame: Frame,
    ) -> Result<(), Refused> {
        let few = reach.presence.few_peers(FEW);
        if let Some(peers) = few.filter(|_| !self.owners.is_sought(account, Whom::All)) {
            return reach.post_to(&peers, &Target::Account(account.into()), &frame);
        }
        let parcel = Parcel {
            frame,
            bounced: false,
            tell: None,
        };
        self.seek(reach, account, Whom::All, parcel)
    }

    /// The node of a session, if it is known, alive, and nothing waits for the session.
    fn known(&self, reach: &Reach, letter: &Letter<'_>) -> Option<Arc<Peer>> {
        if letter.bounced {
            return None;
        }
        let peer = self.owners.known(letter.account, letter.session)?;
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let lives = |node: &str| reach.presence.life(node) == Life::Live;
        peer.is_good(now, GOOD_FOR, lives).then_some(peer)
    }

    /// Lets a letter wait until it is known where it goes.
    fn seek_session(
        self: &Arc<Self>,
        reach: &Reach,
        letter: Letter<'_>,
        tell: Option<Tell>,
    ) -> Result<(), Refused> {
        let parcel = Parcel {
            frame: letter.frame,
            bounced: letter.bounced,
            tell,
        };
        let whom = Whom::Session(letter.session);
        self.seek(reach, letter.account, whom, parcel)
    }

    fn seek(
        self: &Arc<Self>,
        reach: &Reach,
        account: &str,
        whom: Whom<'_>,
        parcel: Parcel,
    ) -> Result<(), Refused> {
        let cost = parcel.cost();
        if self.waiting.fetch_add(cost, Ordering::Relaxed) > WAITING {
            self.waiting.fetch_sub(cost, Ordering::Relaxed);
            return Err(Refused::BusOffline);
        }
        if let Way::Seek = self.owners.wait(account, whom, parcel) {
            let seeker = Seeker::new(Arc::clone(self), account, whom);
            reach.runtime.spawn(seeker.run());
        }
        Ok(())
    }

    /// What stands for a node that has sessions.
    fn peer(&self, node: &str) -> Arc<Peer> {
        let mut peers = self.peers.lock();
        if let Some(peer) = peers.get(node) {
            return Arc::clone(peer);
        }
        // Nodes come and go; who is remembered by nobody is forgotten.
        peers.retain(|_, peer| Arc::strong_count(peer) > 1);
        let peer = Arc::new(Peer::new(node.into()));
        peers.insert(Arc::clone(&peer.id), Arc::clone(&peer));
        peer
    }
}

impl Reach {
    /// Asks all other nodes that are concerned, at the same time; what each of them says, and
    /// whether there surely are no others.
    pub(super) async fn ask_all(
        &self,
        to: To<'_>,
        call: impl FnOnce(Target) -> Call,
    ) -> (Vec<(Box<str>, Result<Answer, Unreached>)>, bool) {
        let (nodes, complete) = match to {
            To::All => self.presence.peers(),
            To::Account(account) => self.nodes_of(account).await,
            To::Session { account, session } => match self.presence.find(account, session).await {
                Find::Found(node) if self.presence.is_own(&node) => (Vec::new(), true),
                Find::Found(node) => (vec![node], true),
                Find::NotFound => (Vec::new(), true),
                Find::Uncertain => (Vec::new(), false),
            },
        };
        let call = call(Target::from(to));
        let asked = nodes.into_iter().map(|node| {
            let asked = self.bus.ask(&node, &call, self.deadline);
            async move { (node, asked.await) }
        });
        // All of them are on their way before the first is waited for.
        let asked: Vec<_> = asked.collect();
        (join_all(asked).await, complete)
    }

    /// Sends a frame to many on other nodes, without waiting for anything.
    pub(super) fn post_to(
        &self,
        nodes: &[Box<str>],
        to: &Target,
        frame: &Frame,
    ) -> Result<(), Refused> {
        let mut posted = Ok(());
        let call = Call::Send {
            to: to.clone(),
            frame: frame.clone(),
        };
        for node in nodes {
            let refused = self.bus.post(node, &call);
            posted = posted.and(refused);
        }
        posted
    }
}

impl<'a> Letter<'a> {
    pub(super) const fn new(account: &'a str, session: &'a str, frame: Frame) -> Self {
        Self {
            account,
            session,
            frame,
            bounced: false,
        }
    }

    fn into_call(self, level: Option<Level>) -> Call {
        Call::Forward {
            account: self.account.into(),
            session: self.session.into(),
            frame: self.frame,
            level: level.unwrap_or(Level::Enqueued),
            bounced: self.bounced,
        }
    }
}

/// What another node said of a forward.
fn outcome_of(answer: Result<Answer, Unreached>) -> Outcome {
    match answer {
        Ok(Answer::Forward(outcome)) => outcome,
        // It speaks of something else: nobody knows.
        Ok(Answer::Sent(_) | Answer::Closed(_) | Answer::Fed(_)) => Outcome::Unknown,
        Err(unreached) => unreached.into(),
    }
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_nobody_remembers_is_forgotten() {
        let routes = Routes::new("own", &Arc::new(Registry::new()));
        let known = routes.peer("known");
        for number in 0..100 {
            drop(routes.peer(&number.to_string()));
            // The newest is forgotten with the next one.
            assert!(routes.peers.lock().len() <= 2);
        }
        assert!(Arc::ptr_eq(&known, &routes.peer("known")));
    }
}
