use std::sync::Arc;

use super::PrimacronLayer;
use crate::router::{Routed, Router};

/// # A router
impl<M> PrimacronLayer<M> {
    /// Hands the messages to a [`Router`], and registers the validators that its handlers bring
    /// along.
    #[must_use]
    #[track_caller]
    pub fn router(self, router: Router) -> PrimacronLayer<Routed> {
        self.validators(&router).with_maker(Routed(router))
    }

    /// Registers the validators of a [`Router`] alone: for one that is inside a middleware, or that
    /// every connection has one of.
    #[must_use]
    #[track_caller]
    pub fn validators(self, router: &Router) -> Self {
        let mut layer = self;
        for (event, validator) in router.validators().iter() {
            let validator = Arc::clone(validator);
            layer = layer.with_validators(|all| all.insert_shared(event, validator), event);
        }
        layer
    }
}
