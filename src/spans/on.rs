use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{debug_span, field::Empty, info_span, span::Entered};

use crate::{engine::Transport, message::User};

/// A span; nothing when nobody listens to it, and small either way: it moves with every message.
pub(crate) struct Span(Option<Box<tracing::Span>>);

impl Span {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// That of a connection. It outlives the request that began it, and so is no part of its span.
    pub(crate) fn connection(user: &User, transport: Transport) -> Self {
        Self::of(info_span!(
            target: "primacron",
            parent: None,
            "connection",
            id = NEXT.fetch_add(1, Ordering::Relaxed),
            account = user.account(),
            transport = transport.as_str(),
        ))
    }

    /// That of a message, in the span of its connection.
    pub(crate) fn message() -> Self {
        Self::of(debug_span!(target: "primacron", "message", event = Empty))
    }

    /// The event of the message; only of those that the layer knows, for a client may make up any.
    pub(crate) fn name_event(&self, event: &str) {
        if let Some(span) = &self.0 {
            span.record("event", event);
        }
    }

    pub(crate) fn enter(&self) -> Option<Entered<'_>> {
        self.0.as_deref().map(tracing::Span::enter)
    }

    fn of(span: tracing::Span) -> Self {
        Self((!span.is_disabled()).then(|| Box::new(span)))
    }
}

/// Tells connections apart in a process, and tells nothing about them.
static NEXT: AtomicU64 = AtomicU64::new(1);
