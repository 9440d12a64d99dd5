use std::{error::Error, fmt};

use tower_service::Service;

use crate::message::{Message, Reply, User};

/// An application's handler: a tower [`Service`] of validated messages.
///
/// Implemented for every `Service<Message>` whose response becomes a [`Reply`] and whose error
/// is an error; not to be implemented by hand.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of messages",
    note = "a handler is a `tower::Service<primacron::Message>` whose response is `Into<Reply>`, whose error is `Into<Box<dyn Error + Send + Sync>>`, and which is `Send` with a `Send` future"
)]
pub trait Handler:
    Service<
        Message,
        Response: Into<Reply>,
        Error: Into<Box<dyn Error + Send + Sync>>,
        Future: Send + 'static,
    > + Send
    + 'static
{
}

impl<S> Handler for S
where
    S: Service<Message> + Send + 'static,
    S::Response: Into<Reply>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Send + 'static,
{
}

/// Makes the handler of each connection.
#[diagnostic::on_unimplemented(
    message = "the layer has no handler yet",
    note = "give it one with `.service(..)` or `.service_for(..)`"
)]
pub trait MakeHandler: Send + Sync + 'static {
    /// The handler of one connection.
    type Handler: Handler;

    /// Makes it.
    fn make(&self, user: &User) -> Self::Handler;

    /// A handler to go on with after a call ended in an error; by default the same one does.
    ///
    /// Whoever failed on the way to a limit may still have its place there, and would keep it from
    /// everybody else until the same client says something again.
    fn remake(&self) -> Option<Self::Handler> {
        None
    }

    /// Tells it of the message that it is about to be asked for readiness for.
    #[doc(hidden)]
    fn prepare(_handler: &mut Self::Handler, _message: &Message) {}
}

/// One clone of a service a connection; made by
/// [`PrimacronLayer::service`](crate::PrimacronLayer::service).
#[derive(Clone, Debug)]
pub struct Cloned<S>(pub(crate) S);

impl<S: Handler + Clone + Sync> MakeHandler for Cloned<S> {
    type Handler = S;

    fn make(&self, _: &User) -> S {
        self.0.clone()
    }

    fn remake(&self) -> Option<S> {
        Some(self.0.clone())
    }
}

/// A fresh service a connection; made by
/// [`PrimacronLayer::service_for`](crate::PrimacronLayer::service_for).
#[derive(Clone)]
pub struct PerUser<F>(pub(crate) F);

impl<F, S> MakeHandler for PerUser<F>
where
    F: Fn(&User) -> S + Send + Sync + 'static,
    S: Handler,
{
    type Handler = S;

    fn make(&self, user: &User) -> S {
        (self.0)(user)
    }
}

impl<F> fmt::Debug for PerUser<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerUser").finish_non_exhaustive()
    }
}
