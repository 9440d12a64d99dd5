use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle as Runtime;

use super::{Node, Owner};
use crate::{
    config::Settings,
    engine::CloseReason,
    message::{Outlet as _, User},
    presence::{Close, Presence, PresenceTask},
};

impl Owner {
    /// Begins to keep the directory, once, as soon as there is a runtime.
    pub(crate) fn begin(&self, settings: &Settings) {
        let node = self.node();
        node.codec.get_or_init(|| Arc::clone(&settings.codec));
        node.max_payload.get_or_init(|| settings.max_payload());
        node.follows.set_codec(&settings.codec);
        if !node.shares_directory() || node.presence.get().is_some() {
            return;
        }
        let Ok(runtime) = Runtime::try_current() else {
            return;
        };
        if let Some((presence, task)) = node.directory(settings)
            && node.presence.set(presence).is_ok()
        {
            runtime.spawn(task.run());
        }
    }
}

/// How a node is to begin, as far as its layer is set up.
#[derive(Default)]
pub(super) struct Plan(Mutex<Option<Settings>>);

impl Owner {
    /// These are the settings now.
    pub(crate) fn plan(&self, settings: &Settings) {
        let node = self.node();
        if node.shares_directory() && node.presence.get().is_none() {
            *node.plan.0.lock() = Some(settings.clone());
        }
    }

    /// Begins for who asks before there is a request: a router may apply its layers that late.
    pub(super) fn begin_as_planned(&self) {
        let plan = self.node().plan.0.lock().clone();
        if let Some(settings) = plan {
            self.begin(&settings);
        }
    }
}

impl Node {
    /// The directory that this node shares with others, if it does.
    fn directory(&self, settings: &Settings) -> Option<(Presence, PresenceTask)> {
        let (own, notices) = (settings.presence.clone(), settings.notices.clone());
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            let redis = redis.clone();
            let pair = Presence::in_redis(redis, &self.id, own, notices, self.closing());
            return Some(pair);
        }
        let memory = self.memory.as_ref()?.directory();
        let pair = Presence::in_memory(memory, &self.id, own, notices, self.closing());
        Some(pair)
    }

    /// Closes the connection of a user.
    fn closing(&self) -> Close {
        let registry = Arc::clone(&self.registry);
        Arc::new(move |user: &User, reason: CloseReason| {
            if let Some(connection) = registry.by_sid(user.sid()) {
                connection.close(reason);
            }
        })
    }
}
