use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_util::stream::FuturesUnordered;
use pin_project_lite::pin_project;

use crate::{
    message::{EventId, Message},
    metrics::Stopwatch,
    spans::Span,
};

/// What is remembered of a message while the handler has it.
pub(super) struct Called {
    pub(super) event: EventId,
    pub(super) id: Option<u64>,
    pub(super) since: Stopwatch,
    pub(super) span: Span,
}

impl Called {
    pub(super) fn of(message: &Message, span: Span) -> Self {
        Self {
            event: message.known,
            id: message.id,
            since: Stopwatch::start(),
            span,
        }
    }
}

/// An output, or what a panic left.
pub(super) type Outcome<T> = Result<T, Box<dyn Any + Send>>;

pin_project! {
    /// The calls under way: one in place, more of them, if `.concurrency(n)` allows, on the heap.
    pub(super) struct Calls<F> {
        #[pin]
        first: Option<Call<F>>,
        others: Option<Box<FuturesUnordered<Call<F>>>>,
    }
}

impl<F: Future> Calls<F> {
    pub(super) const fn new() -> Self {
        Self {
            first: None,
            others: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        let others = self.others.as_ref().map_or(0, |others| others.len());
        usize::from(self.first.is_some()) + others
    }

    pub(super) fn push(self: Pin<&mut Self>, future: F, called: Called) {
        let mut this = self.project();
        let call = Call {
            future,
            called: Some(called),
        };
        if this.first.is_none() {
            this.first.set(Some(call));
        } else {
            this.others.get_or_insert_default().push(call);
        }
    }

    /// The next call that has ended.
    #[inline]
    pub(super) fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<(Called, Outcome<F::Output>)> {
        let mut this = self.project();
        if let Some(first) = this.first.as_mut().as_pin_mut() {
            let first = first.project();
            if let Poll::Ready(outcome) = poll_call(first.future, first.called, cx)
                && let Some(called) = first.called.take()
            {
                this.first.set(None);
                return Poll::Ready((called, outcome));
            }
        }
        match this.others {
            Some(others) => match Pin::new(&mut **others).poll_next(cx) {
                Poll::Ready(Some(Some(ended))) => Poll::Ready(ended),
                Poll::Ready(Some(None) | None) | Poll::Pending => Poll::Pending,
            },
            None => Poll::Pending,
        }
    }
}

pin_project! {
    struct Call<F> {
        #[pin]
        future: F,
        called: Option<Called>,
    }
}

impl<F: Future> Future for Call<F> {
    type Output = Option<(Called, Outcome<F::Output>)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = poll_call(this.future, this.called, cx);
        polled.map(|outcome| this.called.take().map(|called| (called, outcome)))
    }
}

fn poll_call<F: Future>(
    future: Pin<&mut F>,
    called: &Option<Called>,
    cx: &mut Context<'_>,
) -> Poll<Outcome<F::Output>> {
    let _entered = called.as_ref().map(|called| called.span.enter());
    match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(panic)),
    }
}
