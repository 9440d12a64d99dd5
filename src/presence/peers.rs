use std::{sync::Arc, time::Duration};

use super::{
    handle::{Presence, now},
    liveness::Verdict,
};
use crate::reach::{Reach, tag_of};

/// Nodes that answer for one another's clients.
impl Presence {
    /// How other nodes reach this one, if they may.
    pub(crate) fn own_reach(&self) -> Option<&Arc<Reach>> {
        self.shared.settings.reach.as_ref()
    }

    /// The node that has given out a socket id, if it may still be there. It asks nobody.
    pub(crate) fn giver(&self, sid: &str) -> Option<(Arc<str>, Arc<Reach>)> {
        let tag = tag_of(sid)?;
        let core = self.shared.core.lock();
        let (node, reach) = core.liveness.reachable(tag, now())?;
        let found = (Arc::clone(node), Arc::clone(reach));
        drop(core);
        found.1.has_stamped(sid).then_some(found)
    }

    /// Whether a node is dead, or was never heard of.
    pub(crate) fn is_gone(&self, node: &str) -> bool {
        let core = self.shared.core.lock();
        let verdict = core.liveness.verdict(node, now());
        verdict.is_none_or(|verdict| matches!(verdict, Verdict::Dead { .. }))
    }

    /// How often there may be news of a node.
    pub(crate) fn period(&self) -> Duration {
        self.shared.settings.lease
    }
}
