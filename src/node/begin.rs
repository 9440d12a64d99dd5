use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle as Runtime;

use super::{Node, Owner, deliver::Porter, route::Reach};
use crate::{
    bus::{Bus, BusTask, Lives},
    config::Settings,
    engine::CloseReason,
    message::{Outlet as _, User},
    presence::{Close, Presence, PresenceTask},
};

impl Owner {
    /// Begins to keep the directory and to speak with other nodes, once, as soon as there is a
    /// runtime.
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
        let Some((presence, task)) = node.directory(settings) else {
            return;
        };
        if node.presence.set(presence.clone()).is_err() {
            return;
        }
        let follows = Arc::downgrade(&node.follows);
        presence.on_followed(Box::new(move |user, followers| {
            if let Some(follows) = follows.upgrade() {
                follows.resume(user, followers);
            }
        }));
        runtime.spawn(task.run());
        if let Some((bus, task)) = node.bus(settings, &presence) {
            runtime.spawn(task.run(Arc::new(node.porter())));
            node.routes.open(Reach {
                bus,
                presence,
                runtime,
                deadline: settings.bus.deadline,
                piece: settings.bus.piece(),
            });
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
        let (mut own, notices) = (settings.presence.clone(), settings.notices.clone());
        own.reach = settings.reach();
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

    /// The way to the others.
    fn bus(&self, settings: &Settings, presence: &Presence) -> Option<(Bus, BusTask)> {
        let presence = presence.clone();
        let lives: Lives = Arc::new(move |node: &str| presence.life(node));
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            return Some(Bus::in_redis(redis.clone(), &self.id, settings, lives));
        }
        let hub = self.memory.as_ref()?.hub();
        Some(Bus::in_memory(&hub, &self.id, settings, lives))
    }

    /// What does as other nodes ask. It holds nothing that keeps the node.
    fn porter(&self) -> Porter {
        Porter {
            registry: Arc::clone(&self.registry),
            routes: Arc::downgrade(&self.routes),
            follows: Arc::downgrade(&self.follows),
            feeds: Arc::downgrade(&self.feeds),
        }
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
