use std::sync::Arc;

use tokio::runtime::Handle as Runtime;

use super::{Node, Owner};
use crate::{
    config::Settings,
    engine::CloseReason,
    message::{Outlet as _, User},
    presence::{Presence, PresenceTask, Supersede},
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

impl Node {
    /// The directory that this node shares with others, if it does.
    fn directory(&self, settings: &Settings) -> Option<(Presence, PresenceTask)> {
        let (own, notices) = (settings.presence.clone(), settings.notices.clone());
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            let redis = redis.clone();
            let pair = Presence::in_redis(redis, &self.id, own, notices, self.supersede());
            return Some(pair);
        }
        let memory = self.memory.as_ref()?.directory();
        let pair = Presence::in_memory(memory, &self.id, own, notices, self.supersede());
        Some(pair)
    }

    /// Closes the connection of a user whose session is connected elsewhere since.
    fn supersede(&self) -> Supersede {
        let registry = Arc::clone(&self.registry);
        Arc::new(move |user: &User| {
            if let Some(connection) = registry.by_sid(user.sid()) {
                connection.close(CloseReason::Superseded);
            }
        })
    }
}
