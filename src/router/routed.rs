use std::{
    error::Error,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    EventRouter,
    route::{Route, RouteFuture},
    router::unhandled,
};
use crate::{
    connection::MakeHandler,
    message::{Message, Reply, User},
};

/// Hands the messages of every connection to a [`EventRouter`]; made by
/// [`PrimacronLayer::router`](crate::PrimacronLayer::router).
#[derive(Clone, Debug)]
pub struct Routed(pub(crate) EventRouter);

impl MakeHandler for Routed {
    type Handler = Routing;

    fn make(&self, _: &User) -> Routing {
        Routing {
            router: self.0.clone(),
            next: None,
        }
    }

    fn prepare(routing: &mut Routing, message: &Message) {
        routing.next = routing.router.route(message.event()).cloned();
    }
}

/// The router of one connection, which is told of a message before it is asked whether it is ready
/// for it.
#[derive(Debug)]
pub struct Routing {
    router: EventRouter,
    next: Option<Route>,
}

impl Service<Message> for Routing {
    type Response = Reply;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = RouteFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match &mut self.next {
            Some(route) => route.poll_ready(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, message: Message) -> RouteFuture {
        match self.next.take() {
            Some(mut route) => route.call(message),
            None => RouteFuture::failed(unhandled()),
        }
    }
}
