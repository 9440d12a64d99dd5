mod listing;
mod next;
mod open;
mod publish;
mod relay;

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{Method, Response, request::Parts};
use http_body::Body;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use self::listing::Listing;
pub(crate) use self::next::Next;
use crate::{
    account::Answer,
    connection::{Connection, Endpoint, MakeHandler},
    engine::{Query, QueryError, Rejection, Transport},
    error::{AccountError, RequestError},
    gate::{self, Gate},
    node::Owner,
    notice::Notice,
    relay::{Peer, Relay, Whose},
    respond,
    transport::{PostBody, WebSocket, check_origin, wants_stream, wants_websocket},
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
    /// There once the node has begun, if others reach it.
    pub(crate) relay: Arc<OnceLock<Arc<Relay>>>,
}

impl<M> Clone for Shared<M> {
    fn clone(&self) -> Self {
        Self {
            owner: self.owner.clone(),
            endpoint: Arc::clone(&self.endpoint),
            gate: self.gate.clone(),
            make: Arc::clone(&self.make),
            relay: Arc::clone(&self.relay),
        }
    }
}

/// A request whose account is not known yet.
pub(crate) struct Pending<B> {
    parts: Parts,
    body: B,
    route: Route,
    claim: Option<String>,
}

/// What a request wants.
enum Route {
    Handshake(Transport),
    Get(Arc<Connection>),
    Post(Arc<Connection>),
    Upgrade(Arc<Connection>),
    /// Whatever it is, the connection is another node's.
    Elsewhere(Peer),
    /// Its client is to poll by way of another node.
    Release(Arc<Connection>),
}

impl Route {
    /// Whether it leads to a connection of this account.
    fn is_of(&self, account: &str) -> bool {
        match self {
            Self::Get(connection)
            | Self::Post(connection)
            | Self::Upgrade(connection)
            | Self::Release(connection) => connection.user().account() == account,
            Self::Handshake(_) | Self::Elsewhere(_) => false,
        }
    }
}

impl<M: MakeHandler> Shared<M> {
    /// Takes a request to the endpoint.
    pub(crate) fn begin<B: Body>(&self, parts: Parts, body: B) -> Next<B> {
        self.owner.begin(&self.endpoint.settings);
        let (route, claim) = match self.check(&parts) {
            Ok(checked) => checked,
            Err(error) => return Next::answer(self.reject(&error)),
        };
        let answer = match self.gate.ask(&parts) {
            None => None,
            Some(Answer::Now(answer)) => Some(answer),
            Some(Answer::Later(answer)) => {
                let pending = Pending {
                    parts,
                    body,
                    route,
                    claim,
                };
                return Next::ask(answer, pending);
            }
        };
        self.serve(parts, body, route, claim, answer)
    }

    /// Goes on once the account function has answered.
    pub(crate) fn go_on<B: Body>(
        &self,
        pending: Pending<B>,
        answer: Result<String, AccountError>,
    ) -> Next<B> {
        let Pending {
            parts,
            body,
            route,
            claim,
        } = pending;
        self.serve(parts, body, route, claim, Some(answer))
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

    /// Everything that can be said of a request before its account is known, and whom it claims to
    /// be of, unless that is whose connection it is for.
    fn check(&self, parts: &Parts) -> Result<(Route, Option<String>), RequestError> {
        let query = parse(parts)?;
        let transport = self.transport(&query)?;
        let origins = self.endpoint.settings.origins();
        check_origin(origins, &parts.uri, &parts.headers)?;
        let connection = query
            .sid
            .as_deref()
            .map(|sid| (sid, self.endpoint.registry.by_sid(sid)));
        let route = match connection {
            None => self.check_handshake(parts, &query, transport)?,
            Some((sid, None)) => self.check_elsewhere(parts, sid)?,
            Some((_, Some(connection))) => check_request(parts, &query, transport, connection)?,
        };
        let claim = query.account.filter(|claim| !route.is_of(claim));
        Ok((route, claim.map(Cow::into_owned)))
    }

    fn transport(&self, query: &Query<'_>) -> Result<Transport, RequestError> {
        let named = query.transport.as_deref().and_then(Transport::from_name);
        let offered = named.filter(|transport| self.endpoint.settings.offers(*transport));
        Ok(offered.ok_or(Rejection::UnknownTransport)?)
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
        claim: Option<String>,
        answer: Option<Result<String, AccountError>>,
    ) -> Next<B> {
        let whose = match answer {
            Some(answer) => gate::verify(answer, claim.as_deref()).map(Whose::Verified),
            None => Ok(claim.map_or(Whose::Nobody, Whose::Claimed)),
        };
        whose
            .and_then(|whose| self.enter(parts, body, route, whose))
            .unwrap_or_else(|error| Next::answer(self.reject(&error)))
    }

    /// Serves a request of which it is known whose it is.
    fn enter<B: Body>(
        &self,
        parts: Parts,
        body: B,
        route: Route,
        whose: Whose,
    ) -> Result<Next<B>, RequestError> {
        match route {
            Route::Handshake(transport) => {
                // It may have taken a while to learn whose it is.
                self.check_open()?;
                let account = gate::usable(whose.account())?;
                let user = self.gate.user(account, &parts, |sid| self.stamp(sid))?;
                match transport {
                    Transport::Polling => Ok(self.open_polling(&parts, user)),
                    Transport::WebSocket => self.open_websocket(parts, user),
                }
            }
            Route::Get(connection) => {
                check_account(&connection, whose.account())?;
                let get = connection.hold_get()?;
                Ok(Next::Get { get })
            }
            Route::Post(connection) => {
                check_account(&connection, whose.account())?;
                let post = connection.open_post()?;
                let settings = &self.endpoint.settings;
                let post = PostBody::new(body, &parts.headers, settings, post)?;
                Ok(Next::Post { post })
            }
            Route::Upgrade(connection) => {
                check_account(&connection, whose.account())?;
                self.upgrade(parts, connection)
            }
            Route::Release(connection) => {
                connection.release_poll();
                Ok(Next::answer(respond::ok()))
            }
            Route::Elsewhere(peer) => self.pass_on(parts, body, peer, whose),
        }
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

/// What a request to a connection of ours wants.
fn check_request(
    parts: &Parts,
    query: &Query<'_>,
    transport: Transport,
    connection: Arc<Connection>,
) -> Result<Route, RequestError> {
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
