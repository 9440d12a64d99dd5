use std::{fmt, marker::PhantomData};

use tower_layer::Layer;

use super::{
    FromMessage, IntoReply,
    route::{Route, RouteFuture},
};
use crate::{connection::Handler, message::Message, validate::BoxValidator};

/// A handler of one event: an async function of up to ten extractors, the last of which may be the
/// whole [`Message`], that returns what is [`IntoReply`].
///
/// Not to be implemented by hand; for a tower service there is
/// [`EventRouter::on_service`](super::EventRouter::on_service).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of an event",
    label = "not a handler",
    note = "a handler is an async function whose arguments are extractors (`FromMessage`), with the whole `Message` as the last one if at all, whose return value is `IntoReply` and whose future is `Send`; a closure must be `Clone + Send + Sync + 'static`",
    note = "an extractor `State<T>` needs a router whose state is a `T`, or has one by `FromRef`"
)]
pub trait EventHandler<T, S>: Clone + Send + Sync + Sized + 'static {
    /// What the extractors of the handler bring along.
    #[doc(hidden)]
    fn validators(&self) -> Vec<BoxValidator>;

    /// The handler with its state.
    #[doc(hidden)]
    fn into_route(self, state: S) -> Route;

    /// Puts a tower middleware around this handler alone.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use primacron::router::{Data, EventHandler, EventRouter};
    /// use tower::timeout::TimeoutLayer;
    ///
    /// async fn chat(Data(text): Data<String>) {}
    ///
    /// let router: EventRouter =
    ///     EventRouter::new().on("chat", chat.layer(TimeoutLayer::new(Duration::from_secs(1))));
    /// ```
    fn layer<L>(self, layer: L) -> Layered<L, Self, T, S>
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Handler + Clone + Sync,
    {
        Layered {
            layer,
            handler: self,
            asked: PhantomData,
        }
    }
}

/// A handler with a middleware around it; made by [`EventHandler::layer`].
pub struct Layered<L, H, T, S> {
    layer: L,
    handler: H,
    asked: PhantomData<fn() -> (T, S)>,
}

impl<L: Clone, H: Clone, T, S> Clone for Layered<L, H, T, S> {
    fn clone(&self) -> Self {
        Self {
            layer: self.layer.clone(),
            handler: self.handler.clone(),
            asked: PhantomData,
        }
    }
}

impl<L, H, T, S> fmt::Debug for Layered<L, H, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").finish_non_exhaustive()
    }
}

#[diagnostic::do_not_recommend]
impl<L, H, T, S> EventHandler<InLayer<T>, S> for Layered<L, H, T, S>
where
    L: Layer<Route> + Clone + Send + Sync + 'static,
    L::Service: Handler + Clone + Sync,
    H: EventHandler<T, S>,
    T: 'static,
    S: 'static,
{
    fn validators(&self) -> Vec<BoxValidator> {
        self.handler.validators()
    }

    fn into_route(self, state: S) -> Route {
        Route::of_service(self.layer.layer(self.handler.into_route(state)))
    }
}

/// Marks a handler in a middleware.
#[derive(Debug)]
#[non_exhaustive]
pub struct InLayer<T>(PhantomData<T>);

/// Marks a handler that takes these parts of a message.
#[derive(Debug)]
#[non_exhaustive]
pub struct Parts<T>(PhantomData<T>);

/// Marks a handler that takes these parts of a message, and then the message.
#[derive(Debug)]
#[non_exhaustive]
pub struct PartsAndMessage<T>(PhantomData<T>);

macro_rules! handler {
    (@whole $message:ident $whole:ident) => { $message };
    ($mark:ident($($part:ident),*), $message:ident $(: $whole:ident)?) => {
        #[allow(
            non_snake_case,
            unused_mut,
            unused_variables,
            reason = "a handler may take no part"
        )]
        impl<F, Fut, S, $($part,)*> EventHandler<$mark<($($part,)*)>, S> for F
        where
            F: Fn($($part,)* $($whole)?) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output: IntoReply> + Send + 'static,
            S: Send + Sync + 'static,
            $($part: FromMessage<S>,)*
        {
            fn validators(&self) -> Vec<BoxValidator> {
                let brought: Vec<Option<BoxValidator>> = vec![$($part::validator()),*];
                brought.into_iter().flatten().collect()
            }

            fn into_route(self, state: S) -> Route {
                Route::of_fn(move |mut $message: Message| {
                    $(let $part = match $part::from_message(&mut $message, &state) {
                        Ok(part) => part,
                        Err(rejection) => return RouteFuture::failed(rejection),
                    };)*
                    let answer = self($($part,)* $(handler!(@whole $message $whole))?);
                    RouteFuture::new(async move { answer.await.into_reply() })
                })
            }
        }
    };
}

macro_rules! handlers {
    ($(($($part:ident),*))+) => {$(
        handler!(Parts($($part),*), message);
        handler!(PartsAndMessage($($part),*), message: Message);
    )+};
}

handlers! {
    ()
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, E)
    (A, B, C, D, E, G)
    (A, B, C, D, E, G, H)
    (A, B, C, D, E, G, H, I)
    (A, B, C, D, E, G, H, I, J)
    (A, B, C, D, E, G, H, I, J, K)
}
