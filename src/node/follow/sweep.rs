use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle as Runtime,
    sync::watch,
    time::{Instant, sleep},
};

use super::{Follower, Follows, Head, LINGER};
use crate::{bus::Call, presence::Find};

/// How often it is looked who is still there.
const ROUND: Duration = Duration::from_secs(15);

/// Where a session is, as far as this matters here.
enum Whereabouts {
    Here,
    There(Box<str>),
    Nowhere,
    Unknown,
}

impl Follows {
    /// Looks after those who follow and those who are followed, as long as there are any. The task
    /// does not keep the node.
    pub(super) fn sweep(self: &Arc<Self>) {
        let mut sweeping = self.sweeping.lock();
        if sweeping.is_some() {
            return;
        }
        let runtime = match self.reach() {
            Some(reach) => reach.runtime.clone(),
            None => match Runtime::try_current() {
                Ok(runtime) => runtime,
                Err(_) => return,
            },
        };
        let (over, ended) = watch::channel(());
        *sweeping = Some(over);
        let follows = Arc::downgrade(self);
        runtime.spawn(rounds(follows, ended, self.over.clone()));
    }

    async fn look_after_all(self: &Arc<Self>) {
        let heads: Vec<Arc<Head>> = self.heads.lock().values().cloned().collect();
        for head in heads {
            let followers = head.followers.lock().clone();
            for follower in followers {
                self.look_after(&head, &follower).await;
            }
            self.look_after_head(&head).await;
        }
    }

    /// Who follows and is gone for long follows nobody.
    async fn look_after(&self, head: &Head, follower: &Follower) {
        let is_there = match self.whereabouts(&head.account, follower.session()).await {
            Whereabouts::Here | Whereabouts::There(_) => true,
            Whereabouts::Nowhere => false,
            Whereabouts::Unknown => return,
        };
        let now = Instant::now();
        let gone = follower.note_presence(is_there, now);
        if gone.is_some_and(|since| now - since >= LINGER) {
            self.end(&head.account, &head.session, follower.session());
            self.tell_missed(head, follower);
            let gone = [follower.session()];
            self.remember(&head.account, &head.session, &gone, false)
                .await;
        }
    }

    /// What a follower missed that is not looked after here any more nobody else knows.
    fn tell_missed(&self, head: &Head, follower: &Follower) {
        let missed = follower.take_missed();
        if missed > 0 {
            self.notices.post(follower.gap(head, missed));
        }
    }

    /// Who is followed and went to another node is followed there; who is gone for long is not
    /// followed any more.
    async fn look_after_head(&self, head: &Head) {
        let whereabouts = self.whereabouts(&head.account, &head.session).await;
        if let Whereabouts::Here | Whereabouts::Nowhere = whereabouts {
            let followers = head.followers.lock().clone();
            let names: Vec<&str> = followers.iter().map(|one| one.session()).collect();
            self.remember(&head.account, &head.session, &names, true)
                .await;
        }
        let now = Instant::now();
        let gone_since = match &whereabouts {
            Whereabouts::Unknown => return,
            Whereabouts::Nowhere => Some(*head.gone_since.lock().get_or_insert(now)),
            Whereabouts::Here | Whereabouts::There(_) => {
                *head.gone_since.lock() = None;
                None
            }
        };
        let gone = gone_since.is_some_and(|since| now - since >= LINGER);
        let node = match whereabouts {
            Whereabouts::There(node) => Some(node),
            Whereabouts::Nowhere if gone => None,
            _ => return,
        };
        let followers = head.followers.lock().clone();
        for follower in followers {
            let (account, session) = (&head.account, &head.session);
            match (&node, self.reach()) {
                (Some(node), Some(reach)) => {
                    let call = Call::Follow {
                        account: account.clone(),
                        followed: session.clone(),
                        follower: follower.session().into(),
                        on: true,
                    };
                    // If it does not get there, it knows from the directory.
                    let _ = reach.bus.post(node, &call);
                    self.end(account, session, follower.session());
                    self.tell_missed(head, &follower);
                }
                _ => self.remove(account, session, follower.session()).await,
            }
        }
    }

    async fn whereabouts(&self, account: &str, session: &str) -> Whereabouts {
        if self.registry.session(account, session).is_some() {
            return Whereabouts::Here;
        }
        let Some(reach) = self.reach() else {
            return Whereabouts::Nowhere;
        };
        match reach.presence.find(account, session).await {
            Find::Found(node) if reach.presence.is_own(&node) => Whereabouts::Here,
            Find::Found(node) => Whereabouts::There(node),
            Find::NotFound => Whereabouts::Nowhere,
            Find::Uncertain => Whereabouts::Unknown,
        }
    }
}

/// A round that has begun goes on though nobody is left to be looked after: the directory is still
/// to hear of the last one. It does not outlive the node.
async fn rounds(
    follows: Weak<Follows>,
    mut ended: watch::Receiver<()>,
    mut over: watch::Receiver<()>,
) {
    loop {
        tokio::select! {
            () = sleep(ROUND) => {}
            _ = ended.changed() => return,
        }
        let Some(follows) = follows.upgrade() else {
            return;
        };
        tokio::select! {
            () = follows.look_after_all() => {}
            _ = over.changed() => return,
        }
    }
}
