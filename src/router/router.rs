use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use tower_layer::Layer;
use tower_service::Service;

use super::{
    EventHandler,
    route::{Route, RouteFuture},
};
use crate::{
    connection::Handler,
    error::PublicError,
    message::{Args, IntoVerdict, Message, Reply, User, Validator, Validators},
};

/// Hands each message to the handler of its event.
///
/// It is a tower [`Service`] of messages, of which every connection gets a clone; a clone costs
/// nothing but a count. See the [module docs](super) for an example. `S` is the state that handlers
/// still miss: [`with_state`](Self::with_state) gives it, and a `EventRouter` without further ado misses
/// none.
///
/// # Panics
///
/// What builds a router panics when an event gets a second handler or a second validator, and names
/// the event.
pub struct EventRouter<S = ()> {
    table: Arc<Table<S>>,
}

struct Table<S> {
    entries: HashMap<Box<str>, Entry<S>, foldhash::fast::RandomState>,
    /// Which events begin with each prefix and have no entry; longer prefixes first.
    fallbacks: Vec<(Box<str>, Entry<S>)>,
    validators: Validators,
}

/// A route that may still miss its state.
struct Entry<S> {
    make: Arc<dyn Fn(S) -> Route + Send + Sync>,
    /// One route for good, so that a limit in it is one limit.
    made: OnceLock<Route>,
}

impl<S: Clone + Send + Sync + 'static> EventRouter<S> {
    /// A router without handlers.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Table {
            entries: HashMap::default(),
            fallbacks: Vec::new(),
            validators: Validators::default(),
        })
    }

    /// Hands the messages of an event to an async function, and registers the validator that its
    /// [`Data`](super::Data) brings along. A handler that brings none needs one from
    /// [`validate`](Self::validate) or from the layer: until then all messages of the event are
    /// refused.
    ///
    /// # Panics
    ///
    /// When the event has a handler or a validator already, or when the handler takes the value of
    /// its message twice.
    #[must_use]
    #[track_caller]
    pub fn on<H, T>(self, event: &str, handler: H) -> Self
    where
        H: EventHandler<T, S>,
    {
        let brought = handler.validators();
        assert!(
            brought.len() < 2,
            "router has a handler for the event {event:?} that takes its value twice"
        );
        let mut router = self;
        for validator in brought {
            router = router.validate(event, validator);
        }
        router.with_entry(event, Entry::of_handler(handler))
    }

    /// As [`on`](Self::on), with a validator of its own in place of the one that the handler brings
    /// along: a closure, or one of [`validate`](crate::validate).
    ///
    /// # Panics
    ///
    /// When the event has a handler or a validator already.
    #[must_use]
    #[track_caller]
    pub fn on_validated<F, V, H, T>(self, event: &str, validator: F, handler: H) -> Self
    where
        F: Fn(&Args, &User) -> V + Send + Sync + 'static,
        V: IntoVerdict,
        H: EventHandler<T, S>,
    {
        self.validate(event, validator)
            .with_entry(event, Entry::of_handler(handler))
    }

    /// Hands the messages of an event to a tower service. It brings no validator along.
    ///
    /// Each message gets a clone of it, which is asked whether it is ready with the message in hand.
    ///
    /// # Panics
    ///
    /// When the event has a handler already.
    #[must_use]
    #[track_caller]
    pub fn on_service(self, event: &str, service: impl Handler + Clone + Sync) -> Self {
        self.with_entry(event, Entry::of_route(Route::of_service(service)))
    }

    /// Registers the validator of an event, whoever handles it.
    ///
    /// # Panics
    ///
    /// When the event has a validator already, which it also has from a handler that takes
    /// [`Data`](super::Data).
    #[must_use]
    #[track_caller]
    pub fn validate<F, V>(self, event: &str, validator: F) -> Self
    where
        F: Fn(&Args, &User) -> V + Send + Sync + 'static,
        V: IntoVerdict,
    {
        let mut table = self.into_table();
        table.insert_validator(event, Arc::new(validator));
        Self::of(table)
    }

    /// Takes over all handlers, validators and fallbacks of another router, for events that begin
    /// with the prefix. Handlers see the whole name.
    ///
    /// # Panics
    ///
    /// When an event then has two handlers or validators.
    #[must_use]
    #[track_caller]
    pub fn nest(self, prefix: &str, router: Self) -> Self {
        let nested = router.into_table();
        let mut table = self.into_table();
        for (event, entry) in nested.entries {
            table.insert(&[prefix, &event].concat(), entry);
        }
        for (event, validator) in nested.validators.iter() {
            table.insert_validator(&[prefix, event].concat(), Arc::clone(validator));
        }
        for (inner, entry) in nested.fallbacks {
            table.insert_fallback(&[prefix, &inner].concat(), entry);
        }
        Self::of(table)
    }

    /// Takes over all that another router has.
    ///
    /// # Panics
    ///
    /// When an event then has two handlers or validators, or when both have a fallback.
    #[must_use]
    #[track_caller]
    pub fn merge(self, router: Self) -> Self {
        self.nest("", router)
    }

    /// Handles the messages that have passed a validator and have no handler. In a nested router
    /// those of its prefix. Without a fallback they end with the notice `error::handler`.
    ///
    /// # Panics
    ///
    /// When there is a fallback already, or when the handler brings a validator along: it cannot
    /// know the events.
    #[must_use]
    #[track_caller]
    pub fn fallback<H, T>(self, handler: H) -> Self
    where
        H: EventHandler<T, S>,
    {
        assert!(
            handler.validators().is_empty(),
            "router has a fallback that brings a validator along"
        );
        let mut table = self.into_table();
        table.insert_fallback("", Entry::of_handler(handler));
        Self::of(table)
    }

    /// Puts a tower middleware around every handler that is there already, fallbacks included, each
    /// on its own: of a `ConcurrencyLimitLayer` every event gets a limit of its own, of a
    /// `GlobalConcurrencyLimitLayer` all share one.
    #[must_use]
    pub fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Handler + Clone + Sync,
    {
        self.each(|entry| entry.layered(layer.clone()))
    }

    /// Gives the handlers their state. The router may then be completed with handlers of another
    /// state, or be used.
    #[must_use]
    pub fn with_state<S2>(self, state: S) -> EventRouter<S2>
    where
        S2: Clone + Send + Sync + 'static,
    {
        self.each(|entry| Entry::of_route((entry.make)(state.clone())))
    }

    pub(crate) fn validators(&self) -> &Validators {
        &self.table.validators
    }

    fn of(table: Table<S>) -> Self {
        Self {
            table: Arc::new(table),
        }
    }

    fn into_table(self) -> Table<S> {
        Arc::unwrap_or_clone(self.table)
    }

    #[track_caller]
    fn with_entry(self, event: &str, entry: Entry<S>) -> Self {
        let mut table = self.into_table();
        table.insert(event, entry);
        Self::of(table)
    }

    fn each<S2>(self, change: impl Fn(Entry<S>) -> Entry<S2>) -> EventRouter<S2>
    where
        S2: Clone + Send + Sync + 'static,
    {
        let table = self.into_table();
        let changed = |(event, entry)| (event, change(entry));
        EventRouter::of(Table {
            entries: table.entries.into_iter().map(changed).collect(),
            fallbacks: table.fallbacks.into_iter().map(changed).collect(),
            validators: table.validators,
        })
    }
}

/// As a service it is always ready: which handler to ask it knows only with the message in hand. So
/// it asks a copy of that in the response future, and a message that waits for readiness counts as
/// being handled; with [`PrimacronLayer::router`](crate::PrimacronLayer::router) it does not.
impl Service<Message> for EventRouter {
    type Response = Reply;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = RouteFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> RouteFuture {
        match self.route(message.event()) {
            Some(route) => route.once(message),
            None => RouteFuture::failed(unhandled()),
        }
    }
}

impl EventRouter {
    /// Where the messages of an event go.
    pub(super) fn route(&self, event: &str) -> Option<&Route> {
        self.table.find(event).map(Entry::route)
    }
}

/// What comes of a message that has passed its validator and has no handler.
pub(super) fn unhandled() -> PublicError {
    PublicError::new("no handler for this event")
}

impl<S: Clone + Send + Sync + 'static> Default for EventRouter<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Clone for EventRouter<S> {
    fn clone(&self) -> Self {
        Self {
            table: Arc::clone(&self.table),
        }
    }
}

/// Shows the events.
impl<S> fmt::Debug for EventRouter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.table.entries.keys()).finish()
    }
}

impl<S> Table<S> {
    fn find(&self, event: &str) -> Option<&Entry<S>> {
        self.entries.get(event).or_else(|| {
            let mut fallbacks = self.fallbacks.iter();
            let found = fallbacks.find(|(prefix, _)| event.starts_with(&**prefix));
            found.map(|(_, entry)| entry)
        })
    }

    #[track_caller]
    fn insert(&mut self, event: &str, entry: Entry<S>) {
        assert!(
            self.entries.insert(event.into(), entry).is_none(),
            "router has a handler for the event {event:?} already"
        );
    }

    #[track_caller]
    fn insert_validator(&mut self, event: &str, validator: Arc<dyn Validator>) {
        assert!(
            self.validators.insert_shared(event, validator),
            "router has a validator for the event {event:?} already"
        );
    }

    #[track_caller]
    fn insert_fallback(&mut self, prefix: &str, entry: Entry<S>) {
        assert!(
            self.fallbacks.iter().all(|(other, _)| **other != *prefix),
            "router has a fallback for events that begin with {prefix:?} already"
        );
        self.fallbacks.push((prefix.into(), entry));
        self.fallbacks
            .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    }
}

impl<S> Clone for Table<S> {
    fn clone(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            fallbacks: self.fallbacks.clone(),
            validators: self.validators.clone(),
        }
    }
}

impl<S: 'static> Entry<S> {
    fn of_handler<T, H: EventHandler<T, S>>(handler: H) -> Self {
        Self {
            make: Arc::new(move |state| handler.clone().into_route(state)),
            made: OnceLock::new(),
        }
    }

    fn of_route(route: Route) -> Self {
        Self {
            make: Arc::new(move |_| route.clone()),
            made: OnceLock::new(),
        }
    }

    fn layered<L>(self, layer: L) -> Self
    where
        L: Layer<Route, Service: Handler + Clone + Sync> + Send + Sync + 'static,
    {
        let make = self.make;
        Self {
            make: Arc::new(move |state| Route::of_service(layer.layer(make(state)))),
            made: OnceLock::new(),
        }
    }
}

impl Entry<()> {
    fn route(&self) -> &Route {
        self.made.get_or_init(|| (self.make)(()))
    }
}

impl<S> Clone for Entry<S> {
    fn clone(&self) -> Self {
        Self {
            make: Arc::clone(&self.make),
            made: self.made.clone(),
        }
    }
}
