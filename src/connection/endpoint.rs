use std::sync::{Arc, OnceLock};

use super::{Connection, Registry, Tails};
use crate::{config::Settings, message::Validators, presence::Presence};

/// What all connections of a layer share.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) settings: Settings,
    pub(crate) validators: Validators,
    pub(crate) registry: Arc<Registry>,
    pub(crate) tails: Arc<Tails>,
    /// There once the node has begun, if it shares a directory with others.
    pub(crate) presence: Arc<OnceLock<Presence>>,
}

impl Endpoint {
    /// From now on everybody finds the connection; gives back the one of the same session that it
    /// takes the place of.
    pub(crate) fn enter(&self, connection: &Arc<Connection>) -> Option<Arc<Connection>> {
        let older = self.registry.insert(connection);
        if self.tails.has(connection.user()) {
            connection.set_followed(true);
        }
        older
    }

    /// A connection is over: nobody finds it any more.
    pub(super) fn leave(&self, connection: &Arc<Connection>) {
        self.registry.leave_account(connection);
        if let Some(presence) = self.presence.get() {
            presence.disconnect(connection.user());
        }
    }
}
