mod error;
mod follower;
mod sweep;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

pub use self::error::FollowError;
use self::follower::Follower;
use super::{
    Handle,
    route::{Reach, Routes},
};
use crate::{
    account::is_name,
    bus::{Answer, Call, Outcome, Refused},
    connection::{Registry, Tail, Tails},
    message::{Codec, Frame, Json, Message, Outgoing, User, is_reserved},
    notice::Noticeboard,
    presence::Find,
};

/// How many sessions may follow one.
const MAX_FOLLOWERS: usize = 64;

/// How long a session that is gone is waited for before nobody follows it, or it follows nobody.
const LINGER: Duration = Duration::from_secs(60);

/// The sessions of this node that are followed, and by whom.
pub(crate) struct Follows {
    tails: Arc<Tails>,
    registry: Arc<Registry>,
    routes: Arc<Routes>,
    notices: Noticeboard,
    codec: OnceLock<Arc<dyn Codec>>,
    heads: Mutex<HashMap<Name, Arc<Head>>>,
    /// There while somebody looks after the heads.
    sweeping: Mutex<Option<watch::Sender<()>>>,
    /// Changes when the node is gone.
    over: watch::Receiver<()>,
}

/// Account and session.
type Name = (Box<str>, Box<str>);

/// A session that is followed.
struct Head {
    account: Box<str>,
    session: Box<str>,
    followers: Mutex<Vec<Arc<Follower>>>,
    gone_since: Mutex<Option<Instant>>,
    follows: Weak<Follows>,
}

/// # Hearing what others say
impl Handle {
    /// Lets a session hear every message that another session of the same account sends, from now
    /// on, after it was validated, wherever both are connected. (The original called it a pipe.)
    ///
    /// What it hears is the event as the handler of the other session sees it, without the number
    /// of an answer. Both may reconnect under their session id, to another node too; a session that
    /// is gone for a minute follows nobody and is not followed any more. At most 64 sessions follow
    /// one. Copies are sent without waiting: when some were missed, because the follower was gone or
    /// did not read, it gets an event `follow::gap` with the other session and a number, at most so
    /// many, before the next copy, and [`Notice::FollowGap`](crate::Notice::FollowGap) is given. A
    /// copy counts as heard once it is in the follower's queue: what is lost there with a
    /// connection that breaks is no gap.
    ///
    /// # Errors
    ///
    /// [`FollowError::ForeignAccount`] for a session of another account; the others when it could
    /// not be arranged.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the session may follow or not.
    pub async fn follow(
        &self,
        follower: &User,
        account: &str,
        session: &str,
    ) -> Result<(), FollowError> {
        if follower.account() != account {
            return Err(FollowError::ForeignAccount);
        }
        let node = self.owner.node();
        if node.registry.session(account, session).is_some() {
            return node.follows.add(account, session, follower.session()).await;
        }
        let Some(reach) = self.reach() else {
            return Err(self.alone(FollowError::NoSession, FollowError::Uncertain));
        };
        let found = match reach.presence.find(account, session).await {
            Find::Found(found) => found,
            Find::NotFound => return Err(FollowError::NoSession),
            Find::Uncertain => return Err(FollowError::Uncertain),
        };
        let call = Call::Follow {
            account: account.into(),
            followed: session.into(),
            follower: follower.session().into(),
            on: true,
        };
        match reach.bus.ask(&found, &call, reach.deadline).await {
            Ok(Answer::Forward(Outcome::Enqueued | Outcome::Written)) => Ok(()),
            Ok(Answer::Forward(outcome)) => Err(outcome.into()),
            Ok(Answer::Sent(_) | Answer::Closed(_) | Answer::Fed(_)) => Err(FollowError::Unknown),
            Err(unreached) => Err(Outcome::from(unreached).into()),
        }
    }

    /// Ends what [`follow`](Self::follow) began. That it never was is no error.
    ///
    /// # Errors
    ///
    /// When it could not be arranged everywhere: a node may be missing or did not answer, or the
    /// directory was not reached. It may go on then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the session may follow or not.
    pub async fn unfollow(
        &self,
        follower: &User,
        account: &str,
        session: &str,
    ) -> Result<(), FollowError> {
        if follower.account() != account {
            return Err(FollowError::ForeignAccount);
        }
        let follower = follower.session();
        self.owner.node().follows.end(account, session, follower);
        let Some(reach) = self.reach() else {
            return self.alone(Ok(()), Err(FollowError::Uncertain));
        };
        let told = reach.tell_unfollowed(account, session, follower).await;
        // At last: who looks after the pair writes it again.
        let presence = &reach.presence;
        let forgotten = presence.follow(account, session, &[follower], false).await;
        told?;
        forgotten.map_err(|_| FollowError::Uncertain)
    }
}

impl Reach {
    /// Lets all other nodes forget a pair: any that the other session has left may remember it.
    async fn tell_unfollowed(
        &self,
        account: &str,
        session: &str,
        follower: &str,
    ) -> Result<(), FollowError> {
        let (nodes, settled) = self.presence.peers();
        let call = Call::Follow {
            account: account.into(),
            followed: session.into(),
            follower: follower.into(),
            on: false,
        };
        let asked = nodes
            .iter()
            .map(|node| self.bus.ask(node, &call, self.deadline));
        let asked: Vec<_> = asked.collect();
        let mut ended = settled.then_some(()).ok_or(FollowError::Uncertain);
        for answer in futures_util::future::join_all(asked).await {
            if let Err(unreached) = answer {
                ended = Err(Outcome::from(unreached).into());
            }
        }
        ended
    }
}

impl Follows {
    pub(super) fn new(
        tails: &Arc<Tails>,
        registry: &Arc<Registry>,
        routes: &Arc<Routes>,
        notices: Noticeboard,
        over: watch::Receiver<()>,
    ) -> Arc<Self> {
        Arc::new(Self {
            tails: Arc::clone(tails),
            registry: Arc::clone(registry),
            routes: Arc::clone(routes),
            notices,
            codec: OnceLock::new(),
            heads: Mutex::default(),
            sweeping: Mutex::default(),
            over,
        })
    }

    pub(super) fn set_codec(&self, codec: &Arc<dyn Codec>) {
        self.codec.get_or_init(|| Arc::clone(codec));
    }

    fn codec(&self) -> &dyn Codec {
        self.codec.get().map_or(&Json, |codec| &**codec)
    }

    fn reach(&self) -> Option<&Reach> {
        self.routes.reach()
    }

    /// Somebody follows a session of this node.
    async fn add(
        self: &Arc<Self>,
        account: &str,
        session: &str,
        follower: &str,
    ) -> Result<(), FollowError> {
        self.begin(account, session, follower)?;
        self.remember(account, session, &[follower], true).await;
        Ok(())
    }

    /// Lets the directory know, so that whichever node gets the session later does too. What it
    /// does not hear now it hears in the next round.
    async fn remember(&self, account: &str, session: &str, followers: &[&str], on: bool) {
        if let Some(reach) = self.reach() {
            let presence = &reach.presence;
            drop(presence.follow(account, session, followers, on).await);
        }
    }

    /// The same as [`add`](Self::add) without telling the directory.
    pub(super) fn begin(
        self: &Arc<Self>,
        account: &str,
        session: &str,
        follower: &str,
    ) -> Result<(), FollowError> {
        let mut heads = self.heads.lock();
        let key = (account.into(), session.into());
        let is_new = !heads.contains_key(&key);
        let head = heads
            .entry(key)
            .or_insert_with(|| Head::new(self, account, session));
        let mut followers = head.followers.lock();
        if followers.iter().any(|one| one.is(follower)) {
            return Ok(());
        }
        if followers.len() >= MAX_FOLLOWERS {
            return Err(FollowError::TooMany);
        }
        followers.push(Follower::new(follower));
        drop(followers);
        if is_new {
            self.tails.insert(Arc::clone(head) as Arc<dyn Tail>);
            self.sweep();
        }
        drop(heads);
        if let Some(connection) = self.registry.session(account, session) {
            connection.set_followed(true);
        }
        Ok(())
    }

    /// A session came to this node that others followed before.
    pub(super) fn resume(self: &Arc<Self>, user: &User, followers: &[String]) {
        for follower in followers.iter().filter(|name| is_name(name)) {
            // More of them than may be were not written by us.
            let _ = self.begin(user.account(), user.session(), follower);
        }
    }

    /// Somebody does not follow a session any more.
    async fn remove(&self, account: &str, session: &str, follower: &str) {
        self.end(account, session, follower);
        self.remember(account, session, &[follower], false).await;
    }

    /// The same without telling the directory.
    pub(super) fn end(&self, account: &str, session: &str, follower: &str) {
        let mut heads = self.heads.lock();
        let key = (account.into(), session.into());
        let Some(head) = heads.get(&key) else {
            return;
        };
        let mut followers = head.followers.lock();
        followers.retain(|one| !one.is(follower));
        if followers.is_empty() {
            drop(followers);
            self.forget(&mut heads, &key);
        }
    }

    /// Nobody follows a session any more.
    fn forget(&self, heads: &mut HashMap<Name, Arc<Head>>, key: &Name) {
        let (account, session) = key;
        heads.remove(key);
        self.tails.remove(account, session);
        if let Some(connection) = self.registry.session(account, session) {
            connection.set_followed(false);
        }
        if heads.is_empty() {
            *self.sweeping.lock() = None;
        }
    }

    /// What another node asks.
    pub(super) async fn asked(
        self: &Arc<Self>,
        account: &str,
        session: &str,
        follower: &str,
        on: bool,
    ) -> Outcome {
        if !on {
            self.end(account, session, follower);
            return Outcome::Enqueued;
        }
        if self.registry.session(account, session).is_none() {
            return Outcome::Uncertain;
        }
        match self.add(account, session, follower).await {
            Ok(()) => Outcome::Enqueued,
            Err(_) => Outcome::Refused(Refused::QueueFull),
        }
    }
}

impl Head {
    fn new(follows: &Arc<Follows>, account: &str, session: &str) -> Arc<Self> {
        Arc::new(Self {
            account: account.into(),
            session: session.into(),
            followers: Mutex::default(),
            gone_since: Mutex::default(),
            follows: Arc::downgrade(follows),
        })
    }
}

impl Tail for Head {
    fn head(&self) -> (&str, &str) {
        (&self.account, &self.session)
    }

    fn hear(&self, message: &Message) {
        let Some(follows) = self.follows.upgrade() else {
            return;
        };
        if is_reserved(message.event()) {
            return;
        }
        let args = crate::message::IntoArgs::as_args(message.args());
        let copy = Outgoing::new(message.event(), args);
        // A codec of one event only cannot say others.
        let Ok(frame) = Frame::encode(follows.codec(), &copy) else {
            return;
        };
        let followers = self.followers.lock().clone();
        for follower in &followers {
            follower.copy(&follows, self, &frame);
        }
    }
}

impl std::fmt::Debug for Follows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follows").finish_non_exhaustive()
    }
}
