use std::{
    error::Error,
    fmt,
    future::{poll_fn, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{
    connection::Handler,
    message::{Message, Reply},
};

/// The way of one event's messages to its handler: what a middleware of a [`EventRouter`] wraps.
///
/// [`EventRouter`]: super::EventRouter
#[derive(Clone)]
pub struct Route {
    prototype: Arc<dyn Prototype>,
    live: Live,
}

/// Response future of a [`EventRouter`](super::EventRouter) and of a [`Route`].
#[must_use = "futures do nothing unless polled"]
pub struct RouteFuture(Pin<Box<dyn Future<Output = Output> + Send>>);

/// What a handler came to.
pub(super) type Output = Result<Reply, Box<dyn Error + Send + Sync>>;

/// What a route was made of; never asked whether it is ready, only copied.
trait Prototype: Send + Sync {
    /// Takes one message through a copy that is then gone.
    fn once(&self, message: Message) -> RouteFuture;

    /// A copy to be asked whether it is ready; none, if it always is.
    fn copy(&self) -> Option<Box<dyn Copied>>;
}

trait Copied: Send + Sync {
    fn poll_ready(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Box<dyn Error + Send + Sync>>>;
    fn call(&mut self, message: Message) -> RouteFuture;
}

/// The copy that a middleware has asked whether it is ready. It is not cloned with its route: a
/// permit that it may hold belongs to one message.
struct Live(Option<Box<dyn Copied>>);

impl Clone for Live {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl Route {
    pub(super) fn of_service(service: impl Handler + Clone + Sync) -> Self {
        Self::of(OfService(service))
    }

    pub(super) fn of_fn(handle: impl Fn(Message) -> RouteFuture + Send + Sync + 'static) -> Self {
        Self::of(OfFn(handle))
    }

    fn of(prototype: impl Prototype + 'static) -> Self {
        Self {
            prototype: Arc::new(prototype),
            live: Live(None),
        }
    }

    /// Takes one message to a handler that may first have to become ready.
    pub(super) fn once(&self, message: Message) -> RouteFuture {
        self.prototype.once(message)
    }
}

impl Service<Message> for Route {
    type Response = Reply;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = RouteFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.live.0.is_none() {
            self.live.0 = self.prototype.copy();
        }
        let Some(copy) = &mut self.live.0 else {
            return Poll::Ready(Ok(()));
        };
        let ready = copy.poll_ready(cx);
        if matches!(ready, Poll::Ready(Err(_))) {
            self.live.0 = None;
        }
        ready
    }

    fn call(&mut self, message: Message) -> RouteFuture {
        match &mut self.live.0 {
            Some(copy) => copy.call(message),
            None => self.once(message),
        }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").finish_non_exhaustive()
    }
}

impl RouteFuture {
    pub(super) fn new(future: impl Future<Output = Output> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }

    pub(super) fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(ready(Err(error.into())))
    }
}

impl Future for RouteFuture {
    type Output = Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for RouteFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteFuture").finish_non_exhaustive()
    }
}

struct OfFn<F>(F);

impl<F: Fn(Message) -> RouteFuture + Send + Sync> Prototype for OfFn<F> {
    fn once(&self, message: Message) -> RouteFuture {
        (self.0)(message)
    }

    fn copy(&self) -> Option<Box<dyn Copied>> {
        None
    }
}

struct OfService<T>(T);

impl<T: Handler + Clone + Sync> Prototype for OfService<T> {
    fn once(&self, message: Message) -> RouteFuture {
        let mut service = self.0.clone();
        RouteFuture::new(async move {
            poll_fn(|cx| service.poll_ready(cx))
                .await
                .map_err(Into::into)?;
            let answer = service.call(message);
            // What it still holds is not for this message.
            drop(service);
            answer.await.map(Into::into).map_err(Into::into)
        })
    }

    fn copy(&self) -> Option<Box<dyn Copied>> {
        Some(Box::new(Self(self.0.clone())))
    }
}

impl<T: Handler + Clone + Sync> Copied for OfService<T> {
    fn poll_ready(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Box<dyn Error + Send + Sync>>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, message: Message) -> RouteFuture {
        let answer = self.0.call(message);
        RouteFuture::new(async move { answer.await.map(Into::into).map_err(Into::into) })
    }
}
