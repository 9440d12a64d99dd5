//! Several nodes in one process.
//!
//! ```
//! use axum::Router;
//! use primacron::{Args, Cluster, Message, User};
//!
//! # async fn example() {
//! let cluster = Cluster::new();
//! let node = || {
//!     cluster
//!         .layer()
//!         .validate("wave", |_: &Args, _: &User| true)
//!         .service(tower::service_fn(async |_: Message| Ok::<_, std::convert::Infallible>(())))
//! };
//! let (public, staff) = (node(), node());
//! let handle = staff.handle();
//!
//! let public: Router = Router::new().layer(public); // listens here
//! let staff: Router = Router::new().layer(staff); // and there
//!
//! // Who is connected to either is found by both.
//! let found = handle.find("ann", "phone").await;
//! # drop((public, staff, found));
//! # }
//! ```

use crate::{layer::PrimacronLayer, node::Memory};

/// The memory that several nodes of one process share in place of Redis: each layer that it makes
/// is a node of its own, with its own listener, rules and clients, and any of them reaches all
/// clients.
///
/// It lasts as long as a node or a clone of it. With the feature `testing` its nodes can be killed
/// and stopped, and the memory can be lost.
#[derive(Clone, Default)]
pub struct Cluster {
    pub(crate) memory: Memory,
}

impl Cluster {
    /// A cluster without a node.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more node. Whatever is set on a layer can be set on it; only
    /// [`namespace`](PrimacronLayer::namespace) is without meaning: the cluster is one by itself.
    #[must_use]
    pub fn layer(&self) -> PrimacronLayer {
        PrimacronLayer::with_memory(self.memory.of_another())
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_what_is_shared() {
        assert_eq!(format!("{:?}", Cluster::new()), "Cluster { .. }");
        let memory = format!("{:?}", Memory::default());
        assert!(
            !memory.contains("leases") && !memory.contains("inboxes"),
            "{memory}"
        );
    }
}
