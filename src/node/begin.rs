use std::sync::Arc;

#[cfg(feature = "redis")]
use tokio::runtime::Handle as Runtime;

use super::Owner;
use crate::config::Settings;
#[cfg(feature = "redis")]
use crate::{
    engine::CloseReason,
    message::{Outlet as _, User},
    presence::Presence,
};

impl Owner {
    /// Begins to keep the directory, once, as soon as there is a runtime.
    #[cfg(feature = "redis")]
    pub(crate) fn begin(&self, settings: &Settings) {
        let node = self.node();
        node.codec.get_or_init(|| Arc::clone(&settings.codec));
        node.max_payload.get_or_init(|| settings.max_payload());
        let Some(redis) = &node.redis else {
            return;
        };
        if node.presence.get().is_some() {
            return;
        }
        let Ok(runtime) = Runtime::try_current() else {
            return;
        };
        node.presence.get_or_init(|| {
            let mut kept = settings.presence.clone();
            kept.reach = settings.reach();
            let registry = Arc::clone(&node.registry);
            let supersede = move |user: &User| {
                if let Some(connection) = registry.by_sid(user.sid()) {
                    connection.close(CloseReason::Superseded);
                }
            };
            let (presence, task) = Presence::in_redis(
                redis.clone(),
                &node.id,
                kept,
                settings.notices.clone(),
                Arc::new(supersede),
            );
            runtime.spawn(task.run());
            presence
        });
    }

    /// Without a store there is no directory to begin.
    #[cfg(not(feature = "redis"))]
    pub(crate) fn begin(&self, settings: &Settings) {
        let node = self.node();
        node.codec.get_or_init(|| Arc::clone(&settings.codec));
        node.max_payload.get_or_init(|| settings.max_payload());
    }
}
