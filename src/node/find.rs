use super::{Handle, To, route::Reach};
use crate::presence::{Find, Located, NodeInfo, Presence, PresenceState, Sessions, Uncertain};

/// # Who is connected where
///
/// A node of [`in_memory`](crate::PrimacronLayer::in_memory) is the whole cluster, and knows
/// everything about itself.
impl Handle {
    /// Where a session is.
    ///
    /// It costs one round trip to Redis, two where the entry is of a node that is gone; none for a
    /// session of this node.
    pub async fn find(&self, account: &str, session: &str) -> Find {
        match self.presence() {
            Ok(Some(presence)) => presence.find(account, session).await,
            Ok(None) if self.socket(account, session).is_some() => Find::Found(self.own_id()),
            Ok(None) => Find::NotFound,
            Err(Uncertain) => Find::Uncertain,
        }
    }

    /// The sessions of an account, on all nodes.
    ///
    /// All of them are read in one step, in which that server of Redis answers nobody else: an
    /// account is meant to have hundreds of sessions at most. Nothing limits their number here; of
    /// one that very many share, it is a costly question.
    pub async fn sessions(&self, account: &str) -> Sessions {
        match self.presence() {
            Ok(Some(presence)) => presence.sessions(account).await,
            Ok(None) => Sessions {
                sessions: self.located(account),
                complete: true,
            },
            Err(Uncertain) => Sessions::default(),
        }
    }

    /// Whether an account has any session.
    ///
    /// # Errors
    ///
    /// When none is known, and there may be one.
    pub async fn is_online(&self, account: &str) -> Result<bool, Uncertain> {
        let sessions = self.sessions(account).await;
        if !sessions.sessions.is_empty() {
            return Ok(true);
        }
        sessions.complete.then_some(false).ok_or(Uncertain)
    }

    /// How many sessions an account has.
    ///
    /// # Errors
    ///
    /// When there may be more than are known.
    pub async fn count_account(&self, account: &str) -> Result<usize, Uncertain> {
        let sessions = self.sessions(account).await;
        let complete = sessions.complete.then_some(sessions.sessions.len());
        complete.ok_or(Uncertain)
    }

    /// How many sessions all nodes have, by their last heartbeats. It asks nobody.
    ///
    /// # Errors
    ///
    /// When a node may be missing.
    pub fn count_cluster(&self) -> Result<usize, Uncertain> {
        let nodes = self.nodes()?;
        Ok(nodes.iter().map(|node| node.sessions).sum())
    }

    /// The nodes of the cluster that are not said to be dead, this one first. It asks nobody.
    ///
    /// # Errors
    ///
    /// When Redis was not reached lately, or a node may not have shown itself yet.
    pub fn nodes(&self) -> Result<Vec<NodeInfo>, Uncertain> {
        match self.presence()? {
            Some(presence) => presence.nodes(),
            None => Ok(vec![NodeInfo {
                id: self.own_id(),
                sessions: self.count(To::All),
                live: true,
                draining: self.owner.node().is_draining(),
            }]),
        }
    }

    /// How far this node's part of the directory is written.
    #[must_use]
    pub fn presence_state(&self) -> PresenceState {
        match self.presence() {
            Ok(Some(presence)) => presence.state(),
            Ok(None) => PresenceState::Synced,
            Err(Uncertain) => PresenceState::Offline,
        }
    }

    /// The directory that is shared with other nodes, if there is one. It begins with the first
    /// question at the latest; without a runtime it cannot.
    pub(super) fn presence(&self) -> Result<Option<&Presence>, Uncertain> {
        let node = self.owner.node();
        if node.shares_directory() && node.presence.get().is_none() {
            self.owner.begin_as_planned();
        }
        match node.presence.get() {
            Some(presence) => Ok(Some(presence)),
            None if node.shares_directory() => Err(Uncertain),
            None => Ok(None),
        }
    }

    /// The way to other nodes, if this one is not alone. It begins now at the latest; without a
    /// runtime, or a service, it cannot.
    pub(super) fn reach(&self) -> Option<&Reach> {
        let node = self.owner.node();
        if node.shares_directory() && node.routes.reach().is_none() {
            self.owner.begin_as_planned();
        }
        node.routes.reach()
    }

    fn located(&self, account: &str) -> Vec<Located> {
        let users = self.users(To::Account(account));
        let located = users.iter().map(|user| Located {
            session: user.session().into(),
            node: self.own_id(),
        });
        located.collect()
    }

    fn own_id(&self) -> Box<str> {
        self.node_id().into()
    }
}
