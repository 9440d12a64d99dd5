#[cfg(feature = "redis")]
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
            let registry = Arc::clone(&node.registry);
            let supersede = move |user: &User| {
                if let Some(connection) = registry.by_sid(user.sid()) {
                    connection.close(CloseReason::Superseded);
                }
            };
            let (presence, task) = Presence::in_redis(
                redis.clone(),
                &node.id,
                settings.presence.clone(),
                settings.notices.clone(),
                Arc::new(supersede),
            );
            runtime.spawn(task.run());
            presence
        });
    }

    /// Without a store there is nothing to begin.
    #[cfg(not(feature = "redis"))]
    #[expect(
        clippy::unused_self,
        reason = "it has something to do with the feature redis"
    )]
    pub(crate) const fn begin(&self, _: &Settings) {}
}
