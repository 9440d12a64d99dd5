mod bus;
mod presence;
mod router;
mod settings;

use std::{fmt, sync::Arc};

use http::{Extensions, request::Parts};
use serde::de::DeserializeOwned;
use tower_layer::Layer;

#[cfg(feature = "redis")]
use crate::redis::IntoRedis;
use crate::{
    account::{AccountFn, erase},
    config::{ConfigError, Settings},
    connection::{Cloned, Endpoint, Handler, PerUser},
    gate::Gate,
    message::{Args, Codec, IntoVerdict, Refusal, User, Validators},
    node::{Handle, Memory, Owner},
    notice::{Notice, Noticeboard},
    service::Primacron,
    shared::Shared,
    validate::{asking, shape, shape_and},
};

/// Adds an Engine.IO endpoint to a tower service, and a [`Service`](tower_service::Service) of
/// validated messages behind it.
///
/// One layer value is one node: all clones of it, all services that it makes and all handles share
/// their connections. When the last of them is gone, the connections are closed.
///
/// A handler that owns a [`Handle`] keeps the node while its clients are connected: drain it, or let
/// the handler use [`Message::socket`](crate::Message::socket).
///
/// See the [crate docs](crate) for an example. `M` makes the handler of each connection; until
/// [`service`](Self::service) or [`service_for`](Self::service_for) was called there is none, and
/// the layer cannot be applied.
///
/// # Panics
///
/// Every setter panics when its value makes no sense, and names the setting. Settings from outside
/// go through [`configure`](Self::configure), which gives an error.
pub struct PrimacronLayer<M = NoHandler> {
    shared: Arc<Shared<M>>,
}

/// Stands where a layer has no handler yet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NoHandler;

impl PrimacronLayer {
    /// A node of its own: one server, nothing outside of the process.
    #[must_use]
    pub fn in_memory() -> Self {
        let notices = Noticeboard::new();
        Self::of(Owner::new(notices.clone()), notices)
    }

    /// A node that shares a directory of all sessions with others, in Redis: who is connected
    /// where. Redis is not needed to start: without it clients connect all the same, and presence
    /// catches up.
    ///
    /// It takes a pool of `deadpool-redis`, its config, or a URL; see [`IntoRedis`]. Of a pool it
    /// takes one connection for itself.
    ///
    /// # Panics
    ///
    /// When the address makes no sense; [`try_new`](Self::try_new) is for one that comes from
    /// outside.
    #[cfg(feature = "redis")]
    #[must_use]
    #[track_caller]
    pub fn new(redis: impl IntoRedis) -> Self {
        match Self::try_new(redis) {
            Ok(layer) => layer,
            Err(error) => error.panic(),
        }
    }

    /// As [`new`](Self::new), for an address from outside.
    ///
    /// # Errors
    ///
    /// When the address makes no sense.
    #[cfg(feature = "redis")]
    pub fn try_new(redis: impl IntoRedis) -> Result<Self, ConfigError> {
        let redis = redis.into_redis()?;
        let notices = Noticeboard::new();
        let owner = Owner::with_redis(notices.clone(), redis);
        Ok(Self::of(owner, notices))
    }

    /// A node that shares what other nodes of this process know.
    pub(crate) fn with_memory(memory: Memory) -> Self {
        let notices = Noticeboard::new();
        Self::of(Owner::with_memory(notices.clone(), memory), notices)
    }

    fn of(owner: Owner, notices: Noticeboard) -> Self {
        let endpoint = Endpoint {
            settings: Settings::new(notices),
            validators: Validators::default(),
            registry: Arc::clone(&owner.node().registry),
            tails: Arc::clone(&owner.node().tails),
            presence: Arc::clone(&owner.node().presence),
        };
        Self {
            shared: Arc::new(Shared {
                owner,
                endpoint: Arc::new(endpoint),
                gate: Gate::default(),
                make: Arc::new(NoHandler),
                relay: Arc::default(),
            }),
        }
    }
}

/// # Who may connect
impl<M> PrimacronLayer<M> {
    /// Decides whom a request belongs to: from what an authentication layer around this one left
    /// in the request's extensions, or by asking somebody, and then as a future that does not
    /// borrow from the request. It is asked for every request of a client, and every request of a
    /// connection must belong to the same account.
    ///
    /// `None` refuses with 401, an [`AccountError`](crate::AccountError) with its own status; a
    /// client that claims another account in its query is refused with 403.
    ///
    /// By default the query parameter `account` counts, which is whatever the client says: good
    /// for trying things out, and one [`Notice::UnverifiedAccount`] says so.
    #[must_use]
    pub fn account<K>(self, account: impl AccountFn<K>) -> Self {
        self.with_gate(|gate| gate.account = Some(erase(account)))
    }

    /// Keeps this extension of the handshake request with the connection, where
    /// [`Message::extensions`](crate::Message::extensions) finds it.
    #[must_use]
    pub fn keep<T: Clone + Send + Sync + 'static>(self) -> Self {
        self.on_handshake(|parts, kept| {
            if let Some(value) = parts.extensions.get::<T>() {
                kept.insert(value.clone());
            }
        })
    }

    /// Keeps what the function puts aside of a handshake request. What it keeps is paid for by
    /// every connection; a header or a `Uri` keeps the whole buffer alive that the request was read
    /// into: copy what you need out of it.
    #[must_use]
    pub fn on_handshake(
        self,
        keep: impl Fn(&Parts, &mut Extensions) + Send + Sync + 'static,
    ) -> Self {
        self.with_gate(|gate| gate.keep.push(Arc::new(keep)))
    }

    /// Keeps all extensions of the handshake request. Depending on what outer layers put there
    /// (axum's `OriginalUri` for one), a connection then keeps the buffer that its request was read
    /// into: some 8 to 16 KB each.
    #[must_use]
    pub fn keep_extensions(self) -> Self {
        self.on_handshake(|parts, kept| kept.extend(parts.extensions.clone()))
    }

    /// Chooses the session id of a new connection: 1 to 256 bytes without control characters,
    /// else the handshake is refused with 400. A connection of the same account and session that is
    /// there already is closed with the reason `superseded`. By default a session id is random.
    #[must_use]
    pub fn session_id(
        self,
        choose: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.with_gate(|gate| gate.session_id = Some(Arc::new(choose)))
    }

    /// Origins whose pages may connect with the browser's cookies, beside the server's own, like
    /// `https://example.com`; `*` for all. By default none: a request that carries both `Origin` and
    /// `Cookie` from elsewhere is refused with 403, on both transports.
    #[must_use]
    #[track_caller]
    pub fn allowed_origins<O: AsRef<str>>(self, origins: impl IntoIterator<Item = O>) -> Self {
        let origins: Vec<O> = origins.into_iter().collect();
        self.try_set(|settings| settings.set_allowed_origins(&origins))
    }
}

/// # What may be said
///
/// An event without a validator is refused. There is one validator an event; a second one panics.
impl<M> PrimacronLayer<M> {
    /// Decides about the messages of an event by a function of its arguments.
    ///
    /// It returns what [`IntoVerdict`] takes: `Result<(), E>` with a text for the client, `bool`,
    /// or `Result<Args, E>` with arguments that the handler sees in place of the client's.
    #[must_use]
    #[track_caller]
    pub fn validate<F, V>(self, event: &str, validator: F) -> Self
    where
        F: Fn(&Args, &User) -> V + Send + Sync + 'static,
        V: IntoVerdict,
    {
        self.with_validators(|all| all.insert(event, validator), event)
    }

    /// Lets the messages of an event pass whose arguments are a `T`: one argument is read as `T`,
    /// several as the tuple `T`. The handler finds the value with
    /// [`Message::data`](crate::Message::data); carrying it there costs one allocation.
    #[must_use]
    #[track_caller]
    pub fn validate_as<T: DeserializeOwned + Send + 'static>(self, event: &str) -> Self {
        self.with_validators(|all| all.insert(event, shape::<T>()), event)
    }

    /// As [`validate_as`](Self::validate_as), and then by rules about the value.
    #[must_use]
    #[track_caller]
    pub fn validate_with<T, F, E>(self, event: &str, rules: F) -> Self
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(&T, &User) -> Result<(), E> + Send + Sync + 'static,
        E: Into<Refusal> + 'static,
    {
        self.with_validators(|all| all.insert(event, shape_and(rules)), event)
    }

    /// Decides by asking somebody. While the future is pending, nothing more is read from that
    /// client; all others go on.
    #[must_use]
    #[track_caller]
    pub fn validate_async<F, R>(self, event: &str, validator: F) -> Self
    where
        F: Fn(Args, User) -> R + Send + Sync + 'static,
        R: Future<Output: IntoVerdict> + Send + 'static,
    {
        self.with_validators(|all| all.insert(event, asking(validator)), event)
    }

    /// How messages look on the wire; [`Json`](crate::Json) by default.
    #[must_use]
    pub fn codec(self, codec: impl Codec) -> Self {
        self.set(|settings| settings.codec = Arc::new(codec))
    }
}

/// # Who handles it
impl<M> PrimacronLayer<M> {
    /// Hands the messages to a service, of which every connection gets a clone, and another one
    /// when that has failed. What clones share, such as a concurrency limit, is shared by all; see
    /// [`guide::inside`](crate::guide::inside).
    #[must_use]
    pub fn service<S: Handler + Clone + Sync>(self, service: S) -> PrimacronLayer<Cloned<S>> {
        self.with_maker(Cloned(service))
    }

    /// Hands the messages of each connection to a service of its own, which needs to be neither
    /// `Clone` nor `Sync`: the place for a rate limit a connection. It is made anew when it panicked
    /// or could not become ready.
    #[must_use]
    pub fn service_for<F, S>(self, make: F) -> PrimacronLayer<PerUser<F>>
    where
        F: Fn(&User) -> S + Send + Sync + 'static,
        S: Handler,
    {
        self.with_maker(PerUser(make))
    }

    /// How many messages of one connection may be handled at the same time; 1 by default, which
    /// keeps them in order.
    #[must_use]
    #[track_caller]
    pub fn concurrency(self, messages: usize) -> Self {
        self.try_set(|settings| settings.set_concurrency(messages))
    }

    /// Hears every notice, on the task where it happens: it must not block. Given more than once,
    /// every one of them hears it.
    #[must_use]
    pub fn on_notice(self, notice: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.notices.add_callback(notice))
    }

    /// Whether a client hears, as an event, that its message was refused; `true` by default.
    #[must_use]
    pub fn report_to_client(self, report: bool) -> Self {
        self.set(|settings| settings.report_to_client = report)
    }

    /// The way to everybody who is connected.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared.owner.clone())
    }
}

impl<M> PrimacronLayer<M> {
    fn endpoint(&mut self) -> &mut Endpoint {
        Arc::make_mut(&mut Arc::make_mut(&mut self.shared).endpoint)
    }

    fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(&mut self.endpoint().settings);
        self.planned()
    }

    #[track_caller]
    fn try_set(mut self, set: impl FnOnce(&mut Settings) -> Result<(), ConfigError>) -> Self {
        if let Err(error) = set(&mut self.endpoint().settings) {
            error.panic();
        }
        self.planned()
    }

    /// The node knows the settings before the layer is applied.
    fn planned(self) -> Self {
        self.shared.owner.plan(&self.shared.endpoint.settings);
        self
    }

    #[track_caller]
    fn with_validators(mut self, add: impl FnOnce(&mut Validators) -> bool, event: &str) -> Self {
        assert!(
            add(&mut self.endpoint().validators),
            "validate has a validator for the event {event:?} already"
        );
        self
    }

    fn with_gate(mut self, set: impl FnOnce(&mut Gate)) -> Self {
        set(&mut Arc::make_mut(&mut self.shared).gate);
        self
    }

    fn with_maker<N>(self, make: N) -> PrimacronLayer<N> {
        let shared = Arc::unwrap_or_clone(self.planned().shared);
        PrimacronLayer {
            shared: Arc::new(Shared {
                owner: shared.owner,
                endpoint: shared.endpoint,
                gate: shared.gate,
                make: Arc::new(make),
                relay: shared.relay,
            }),
        }
    }
}

impl<S, M> Layer<S> for PrimacronLayer<M> {
    type Service = Primacron<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        let shared = &self.shared;
        shared.owner.begin(&shared.endpoint.settings);
        Primacron::new(inner, Arc::clone(&self.shared))
    }
}

impl<M> Clone for PrimacronLayer<M> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<M> fmt::Debug for PrimacronLayer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrimacronLayer")
            .field("shared", &self.shared)
            .finish()
    }
}
