use crate::{engine::Transport, message::User};

/// No span.
pub(crate) struct Span;

pub(crate) struct Entered;

impl Span {
    pub(crate) const fn none() -> Self {
        Self
    }

    pub(crate) const fn connection(_: &User, _: Transport) -> Self {
        Self
    }

    pub(crate) const fn message() -> Self {
        Self
    }

    pub(crate) const fn name_event(&self, _: &str) {}

    pub(crate) const fn enter(&self) -> Entered {
        Entered
    }
}
