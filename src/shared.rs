mod listing;
mod publish;

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, header, request::Parts};
use http_body::Body;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

pub(crate) use self::listing::Listing;
use self::listing::{list, register};
use crate::{
    account::{Answer, Later},
    connection::{Connection, Driver, Endpoint, HeldGet, MakeHandler},
    engine::{
        CloseReason, Handshake, Query, QueryError, Rejection, TEXT_TYPE, Transport, put_packet,
    },
    error::{AccountError, RequestError},
    gate::{self, Gate},
    message::{Frame, User},
    node::Owner,
    notice::Notice,
    publish::Publishing,
    respond,
    transport::{PostBody, WebSocket, accept, check_origin, wants_stream, wants_websocket},
};

/// The websocket of every connection.
type Socket = WebSocket<TokioIo<Upgraded>>;

/// The version of Engine.IO that is spoken here.
const VERSION: &str = "4";

/// What a layer, its services and their futures share.
pub(crate) struct Shared<M> {
    pub(crate) owner: Owner,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) gate: Gate,
    pub(crate) make: Arc<M>,
}

impl<M> Clone for Shared<M> {
    fn clone(&self) -> Self {
        Self {
            owner: self.owner.clone(),
            endpoint: Arc::clone(&self.endpoint),
            gate: self.gate.clone(),
            make: Arc::clone(&self.make),
        }
    }
}

/// What happens to a request next.
pub(crate) enum Next<B> {
    /// It is answered.
    Answer(Response<Bytes>),
    /// It waits for the account function.
    Ask(Later, Box<Pending<B>>),
    /// It waits until the connection can be found; whether it was.
    Wait(Listing, Response<Bytes>),
    /// It is held until there is something to send.
    Get(HeldGet),
    /// Its body is read and handled.
    Post(PostBody<B>),
    /// It publishes.
    Publish(Publishing<B>),
}

/// A request whose account is not known yet.
pub(crate) struct Pending<B> {
    parts: Parts,
    body: B,
    route: Route,
}

/// What a request wants.
enum Route {
    Handshake(Transport),
    Get(Arc<Connection>),
    Post(Arc<Connection>),
    Upgrade(Arc<Connection>),
}

impl<M: MakeHandler> Shared<M> {
    /// Takes a request to the endpoint.
    pub(crate) fn begin<B: Body>(&self, parts: Parts, body: B) -> Next<B> {
        self.owner.begin(&self.endpoint.settings);
        let checked = self.check(&parts);
        let route = match checked {
            Ok(route) => route,
            Err(error) => return Next::Answer(self.reject(&error)),
        };
        let asked = self.gate.ask(&parts);
        let pending = Pending { parts, body, route };
        match asked {
            Some(Answer::Later(answer)) => Next::Ask(answer, Box::new(pending)),
            Some(Answer::Now(answer)) => self.go_on(pending, Some(answer)),
            None => self.go_on(pending, None),
        }
    }

    /// Goes on once the account function, if there is one, has answered.
    pub(crate) fn go_on<B: Body>(
        &self,
        pending: Pending<B>,
        answer: Option<Result<String, AccountError>>,
    ) -> Next<B> {
        let Pending { parts, body, route } = pending;
        self.serve(parts, body, route, answer)
            .unwrap_or_else(|error| Next::Answer(self.reject(&error)))
    }

    /// The answer to a request that is refused.
    pub(crate) fn reject(&self, error: &RequestError) -> Response<Bytes> {
        let (rejection, message) = error.rejection();
        self.endpoint.settings.notices.post(Notice::Reject {
            status: error.status(),
            reason: message.to_string(),
        });
        respond::json(error.status(), rejection.to_json_with(&message))
    }

    /// Everything that can be said of a request before its account is known.
    fn check(&self, parts: &Parts) -> Result<Route, RequestError> {
        let query = parse(parts)?;
        let settings = &self.endpoint.settings;
        let transport = query
            .transport
            .as_deref()
            .and_then(Transport::from_name)
            .filter(|transport| settings.offers(*transport))
            .ok_or(Rejection::UnknownTransport)?;
        check_origin(settings.origins(), &parts.uri, &parts.headers)?;
        let Some(sid) = &query.sid else {
            return self.check_handshake(parts, &query, transport);
        };
        let connection = self
            .endpoint
            .registry
            .by_sid(sid)
            .ok_or(Rejection::UnknownSid)?;
        if query.eio.as_deref() != Some(VERSION) {
            return Err(RequestError::Bad("protocol mismatch"));
        }
        match (transport, &parts.method) {
            (Transport::WebSocket, _) if !wants_websocket(parts) => {
                Err(RequestError::Bad("transport mismatch"))
            }
            (Transport::WebSocket, _) => Ok(Route::Upgrade(connection)),
            (Transport::Polling, &Method::GET) => Ok(Route::Get(connection)),
            (Transport::Polling, &Method::POST) => Ok(Route::Post(connection)),
            (Transport::Polling, _) => Err(RequestError::Method),
        }
    }

    fn check_handshake(
        &self,
        parts: &Parts,
        query: &Query<'_>,
        transport: Transport,
    ) -> Result<Route, RequestError> {
        let stream = transport == Transport::WebSocket && wants_stream(parts);
        if parts.method != Method::GET && !stream {
            return Err(Rejection::BadMethod.into());
        }
        if transport == Transport::WebSocket && !wants_websocket(parts) {
            return Err(Rejection::BadRequest.into());
        }
        if query.eio.as_deref() != Some(VERSION) {
            return Err(Rejection::UnsupportedProtocol.into());
        }
        self.check_open()?;
        Ok(Route::Handshake(transport))
    }

    fn check_open(&self) -> Result<(), RequestError> {
        if self.owner.node().is_draining() {
            return Err(RequestError::Draining);
        }
        Ok(())
    }

    fn serve<B: Body>(
        &self,
        parts: Parts,
        body: B,
        route: Route,
        answer: Option<Result<String, AccountError>>,
    ) -> Result<Next<B>, RequestError> {
        let claim = parse(&parts)?.account.map(Cow::into_owned);
        let account = match answer {
            Some(answer) => Some(gate::verify(answer, claim.as_deref())?),
            None => claim,
        };
        match route {
            Route::Handshake(transport) => {
                // It may have taken a while to learn whose it is.
                self.check_open()?;
                let account = gate::usable(account.as_deref())?;
                let user = self.gate.user(account, &parts)?;
                match transport {
                    Transport::Polling => Ok(self.open_polling(&parts, user)),
                    Transport::WebSocket => self.open_websocket(parts, user),
                }
            }
            Route::Get(connection) => {
                check_account(&connection, account.as_deref())?;
                Ok(Next::Get(connection.hold_get(now())?))
            }
            Route::Post(connection) => {
                check_account(&connection, account.as_deref())?;
                let post = connection.open_post(now())?;
                let settings = &self.endpoint.settings;
                let (bytes, packets) = (settings.max_payload(), settings.max_packets());
                Ok(Next::Post(PostBody::new(
                    body,
                    &parts.headers,
                    bytes,
                    packets,
                    post,
                )?))
            }
            Route::Upgrade(connection) => {
                check_account(&connection, account.as_deref())?;
                self.upgrade(parts, connection)
            }
        }
    }

    fn open_polling<B>(&self, parts: &Parts, user: User) -> Next<B> {
        let mut body = Vec::with_capacity(256);
        self.put_open(&mut body, &user, Transport::Polling);
        if let Some(text) = self.endpoint.settings.initial_packet() {
            put_packet(&mut body, &message(text));
        }
        let cookie = self
            .endpoint
            .settings
            .cookie()
            .map(|cookie| format!("{}={}; Path=/; HttpOnly; SameSite=Lax", cookie, user.sid()));
        let connection = self.prepare(user, parts, Transport::Polling);
        let handler = self.make.make(connection.user());
        register(&connection);
        let listing = list(&self.endpoint, &connection, true);
        let make = Arc::clone(&self.make);
        tokio::spawn(Driver::<M, Socket>::new(connection, make, handler, None));
        let mut response = respond::packets(body);
        if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        match listing {
            Some(listing) => Next::Wait(listing, response),
            None => Next::Answer(response),
        }
    }

    fn open_websocket<B>(&self, mut parts: Parts, user: User) -> Result<Next<B>, RequestError> {
        let answer = accept(&parts)?;
        let upgrade = take_upgrade(&mut parts)?;
        let mut open = Vec::with_capacity(256);
        self.put_open(&mut open, &user, Transport::WebSocket);
        let connection = self.prepare(user, &parts, Transport::WebSocket);
        connection.push_control(Frame::packet(&open));
        if let Some(text) = self.endpoint.settings.initial_packet() {
            connection.push_control(Frame::packet(&message(text)));
        }
        // Who must be listed to be answered cannot wait for the websocket.
        let required = self.endpoint.presence.get().filter(|all| all.is_required());
        let first = required.and_then(|_| list(&self.endpoint, &connection, false));
        let listed = first.is_some();
        let (endpoint, make) = (Arc::clone(&self.endpoint), Arc::clone(&self.make));
        let patience = self.endpoint.settings.timing().upgrade_timeout;
        tokio::spawn(async move {
            if let Ok(Ok(upgraded)) = timeout(patience, upgrade).await {
                let handler = make.make(connection.user());
                register(&connection);
                let listing = (!listed)
                    .then(|| list(&endpoint, &connection, false))
                    .flatten();
                if let Some(listing) = listing {
                    listing.await;
                }
                Driver::new(connection, make, handler, Some(Socket::from(upgraded))).await;
            } else if let (true, Some(presence)) = (listed, endpoint.presence.get()) {
                presence.disconnect(connection.user());
            }
        });
        let answer = respond::websocket(answer);
        Ok(match first {
            Some(listing) => Next::Wait(listing, answer),
            None => Next::Answer(answer),
        })
    }

    /// A second websocket is answered too, and closed at once: a client that is refused with a
    /// status takes that for a failure of its server.
    fn upgrade<B>(
        &self,
        mut parts: Parts,
        connection: Arc<Connection>,
    ) -> Result<Next<B>, RequestError> {
        let answer = accept(&parts)?;
        let upgrade = take_upgrade(&mut parts)?;
        let announced = connection.announce_candidate();
        let patience = self.endpoint.settings.timing().upgrade_timeout;
        tokio::spawn(async move {
            let refused = match timeout(patience, upgrade).await {
                Ok(Ok(upgraded)) if announced => connection.hand_over(upgraded).err(),
                Ok(Ok(upgraded)) => Some(upgraded),
                Ok(Err(_)) | Err(_) => {
                    if announced {
                        connection.withdraw_candidate();
                    }
                    None
                }
            };
            if let Some(upgraded) = refused {
                let goodbye = Socket::from(upgraded).say_goodbye(&CloseReason::ForcedClose);
                drop(timeout(patience, goodbye).await);
            }
        });
        Ok(Next::Answer(respond::websocket(answer)))
    }

    fn put_open(&self, out: &mut Vec<u8>, user: &User, transport: Transport) {
        let settings = &self.endpoint.settings;
        let data = settings.handshake_data;
        let handshake = Handshake {
            sid: user.sid(),
            upgrades: settings.upgrades(transport),
            ping_interval: settings.timing().ping_interval,
            ping_timeout: settings.timing().ping_timeout,
            max_payload: settings.max_payload(),
            session: data.then_some(user.session()),
            account: data.then_some(user.account()),
        };
        handshake.put(out);
    }

    fn prepare(&self, user: User, parts: &Parts, transport: Transport) -> Arc<Connection> {
        if self.gate.is_unverified() && self.owner.node().tell_unverified() {
            self.endpoint
                .settings
                .notices
                .post(Notice::UnverifiedAccount);
        }
        let kept = self.gate.keep(parts);
        Arc::new(Connection::new(&self.endpoint, user, kept, transport))
    }
}

impl<M> std::fmt::Debug for Shared<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("endpoint", &self.endpoint)
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}

fn parse(parts: &Parts) -> Result<Query<'_>, RequestError> {
    Query::parse(parts.uri.query()).map_err(|error| match error {
        QueryError::RepeatedAccount => RequestError::Bad("account is given more than once"),
        QueryError::AccountNotUtf8 => RequestError::Bad("account is not valid"),
    })
}

/// Every request of a connection belongs to the same account. A claim may be left out: the
/// socket id says enough.
fn check_account(connection: &Connection, account: Option<&str>) -> Result<(), RequestError> {
    match account {
        Some(account) if account != connection.user().account() => {
            Err(RequestError::Forbidden("account is not yours"))
        }
        _ => Ok(()),
    }
}

fn take_upgrade(parts: &mut Parts) -> Result<OnUpgrade, RequestError> {
    parts
        .extensions
        .remove::<OnUpgrade>()
        .ok_or(RequestError::Bad("server cannot upgrade"))
}

fn message(text: &str) -> Vec<u8> {
    [&[TEXT_TYPE], text.as_bytes()].concat()
}

fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
