use std::time::Instant;

use super::{
    super::{
        liveness::Verdict,
        types::{Life, NodeInfo},
    },
    Core,
};

/// What there is to be said of nodes.
impl Core {
    /// Every node that is not dead, this one first.
    pub(in crate::presence) fn nodes(&self, now: Instant) -> Vec<NodeInfo> {
        let own = NodeInfo {
            id: (*self.node).into(),
            sessions: self.directory.len(),
            live: true,
            draining: self.draining,
        };
        let peers = self
            .liveness
            .present(now)
            .map(|(node, lease, verdict)| NodeInfo {
                id: (**node).into(),
                sessions: usize::try_from(lease.sessions).unwrap_or(usize::MAX),
                live: verdict != Verdict::Suspect,
                draining: lease.draining,
            });
        std::iter::once(own).chain(peers).collect()
    }

    /// Every other node that is not dead, if these are surely all and not more than so many.
    pub(in crate::presence) fn few_peers(
        &self,
        now: Instant,
        most: usize,
    ) -> Option<Vec<Box<str>>> {
        self.is_settled(now).then_some(())?;
        let present = self.liveness.present(now).take(most.saturating_add(1));
        let few: Vec<Box<str>> = present.map(|(node, ..)| (**node).into()).collect();
        (few.len() <= most).then_some(few)
    }

    /// What there is to be thought of a node.
    pub(in crate::presence) fn life(&self, now: Instant, node: &str) -> Life {
        match self.liveness.verdict(node, now) {
            _ if *node == *self.node => Life::Live,
            None => Life::Unknown,
            // Whoever it says so of, it was long ago.
            Some(_) if !self.liveness.is_current(now) => Life::Suspect,
            Some(Verdict::Live { .. }) => Life::Live,
            Some(Verdict::Suspect) => Life::Suspect,
            Some(Verdict::Dead { .. }) => Life::Dead,
        }
    }
}
