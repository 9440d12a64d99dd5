use std::sync::Arc;

use http::{Method, request::Parts};
use http_body::Body;

use super::{Next, Route, Shared, check_request, open::take_upgrade, parse};
use crate::{
    connection::MakeHandler,
    engine::Rejection,
    error::RequestError,
    relay::{Patience, Peer, RELEASE, Relay, Relaying, Upgrade, Whose},
    transport::{accept, wants_stream, wants_websocket},
};

impl<M: MakeHandler> Shared<M> {
    /// What another node proves to have found out of a request that it relays: whose it is.
    pub(crate) fn check_relay(&self, parts: &Parts) -> Result<Whose, RequestError> {
        self.owner.begin(&self.endpoint.settings);
        let relay = self
            .relay()
            .ok_or(RequestError::Forbidden("nothing is relayed here"))?;
        relay.check(parts)
    }

    /// Takes a request that another node has relayed. It goes no further.
    pub(crate) fn begin_relayed<B: Body>(&self, parts: Parts, body: B, whose: Whose) -> Next<B> {
        let route = self
            .check_whose(&parts, &whose)
            .and_then(|()| self.check_relayed(&parts));
        route
            .and_then(|route| self.enter(parts, body, route, whose))
            .unwrap_or_else(|error| Next::answer(self.reject(&error)))
    }

    /// A node without an account function does not know whose a request is, and this one cannot ask
    /// any more. It may let go of its own polls.
    fn check_whose(&self, parts: &Parts, whose: &Whose) -> Result<(), RequestError> {
        if self.gate.is_unverified() || whose.is_verified() || parts.method == RELEASE {
            return Ok(());
        }
        Err(RequestError::Forbidden("account is not verified"))
    }

    fn check_relayed(&self, parts: &Parts) -> Result<Route, RequestError> {
        let query = parse(parts)?;
        let transport = self.transport(&query)?;
        let sid = query.sid.as_deref().ok_or(Rejection::UnknownSid)?;
        let connection = self.endpoint.registry.by_sid(sid);
        let connection = connection.ok_or(Rejection::UnknownSid)?;
        if parts.method == RELEASE {
            return Ok(Route::Release(connection));
        }
        check_request(parts, &query, transport, connection)
    }

    /// Finds the node whose connection a socket id is. It asks nobody.
    pub(super) fn check_elsewhere(&self, parts: &Parts, sid: &str) -> Result<Route, RequestError> {
        let peer = self.relay().and_then(|relay| relay.giver(sid));
        let peer = peer.ok_or(Rejection::UnknownSid)?;
        match parts.method {
            Method::GET | Method::POST => Ok(Route::Elsewhere(peer)),
            _ if wants_stream(parts) => Ok(Route::Elsewhere(peer)),
            _ => Err(RequestError::Method),
        }
    }

    pub(super) fn pass_on<B: Body>(
        &self,
        mut parts: Parts,
        body: B,
        peer: Peer,
        whose: Whose,
    ) -> Result<Next<B>, RequestError> {
        let relay = self.relay().ok_or(Rejection::UnknownSid)?;
        let settings = &self.endpoint.settings;
        let opening = wants_websocket(&parts)
            .then(|| accept(&parts))
            .transpose()?;
        let upgrade = match opening {
            None => None,
            Some(opening) => Some(Upgrade {
                client: take_upgrade(&mut parts)?,
                opening,
                patience: Patience {
                    ends: settings.timing().upgrade_timeout,
                    silence: settings.timing().ping_interval + settings.timing().ping_timeout,
                },
            }),
        };
        let max = settings.max_payload();
        let relaying = Relaying::new(relay, peer, parts, body, whose, max, upgrade)?;
        Ok(Next::Relay { relaying })
    }

    /// Makes a socket id say which node it is of, where others can ask that node.
    pub(super) fn stamp(&self, sid: String) -> String {
        let presence = self.endpoint.presence.get();
        match presence.and_then(|presence| presence.own_reach()) {
            Some(reach) => reach.stamp(&self.owner.node().id, &sid),
            None => sid,
        }
    }

    fn relay(&self) -> Option<&Arc<Relay>> {
        let presence = self.endpoint.presence.get()?;
        let reach = presence.own_reach()?;
        let relay = || {
            let node = &self.owner.node().id;
            let registry = Arc::clone(&self.endpoint.registry);
            Arc::new(Relay::new(node, reach.clone(), presence.clone(), registry))
        };
        Some(self.relay.get_or_init(relay))
    }
}
