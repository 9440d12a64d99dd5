use std::sync::Arc;

use super::PrimacronLayer;
use crate::router::{EventRouter, Routed};

/// # A router
impl<M> PrimacronLayer<M> {
    /// Hands the messages to a [`EventRouter`], and registers the validators that its handlers bring
    /// along.
    #[must_use]
    #[track_caller]
    pub fn router(self, router: EventRouter) -> PrimacronLayer<Routed> {
        self.validators(&router).with_maker(Routed(router))
    }

    /// Registers the validators of a [`EventRouter`] alone: for one that is inside a middleware, or that
    /// every connection has one of.
    #[must_use]
    #[track_caller]
    pub fn validators(self, router: &EventRouter) -> Self {
        let mut layer = self;
        for (event, validator) in router.validators().iter() {
            let validator = Arc::clone(validator);
            layer = layer.with_validators(|all| all.insert_shared(event, validator), event);
        }
        layer
    }
}
