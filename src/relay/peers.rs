use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
    request::Parts,
};
use hyper::{
    body::Incoming,
    upgrade::{self, OnUpgrade},
};
use parking_lot::Mutex;
use tokio::{sync::watch, time::sleep};

use super::{
    pipe::Outlet,
    proof::{Claim, Subject},
    tunnel::tunnel,
    window::Windows,
};
use crate::{
    config::RELAY, engine::Rejection, error::RequestError, presence::Presence, reach::Reach,
    transport::wants_websocket,
};

/// Carries the proof of a relay; an answer that has it comes from a layer, and not from something
/// in front of it.
pub(crate) const MARK: HeaderName = HeaderName::from_static("primacron-relay");

/// What of a request the other node needs.
const FORTH: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::UPGRADE,
    header::CONNECTION,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
];

/// What of its answer the client needs.
const BACK: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CACHE_CONTROL,
    header::UPGRADE,
    header::CONNECTION,
    header::SEC_WEBSOCKET_ACCEPT,
];

/// The answer of another node, on its way.
pub(super) type Answer = BoxFuture<'static, Result<Response<Incoming>, RequestError>>;

/// A node that is relayed to.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) node: Arc<str>,
    pub(crate) reach: Arc<Reach>,
}

/// What one node needs to relay, and to be relayed to.
pub(crate) struct Relay {
    node: Box<str>,
    reach: Arc<Reach>,
    presence: Presence,
    /// How many relays went out.
    sent: AtomicU64,
    came: Mutex<Windows>,
    #[cfg(feature = "redis")]
    client: super::client::Client,
    /// Tunnels end with it.
    alive: watch::Sender<()>,
}

impl Relay {
    pub(crate) fn new(node: &str, reach: Arc<Reach>, presence: Presence) -> Self {
        Self {
            node: node.into(),
            reach,
            presence,
            sent: AtomicU64::new(0),
            came: Mutex::default(),
            #[cfg(feature = "redis")]
            client: super::client::client(),
            alive: watch::Sender::new(()),
        }
    }

    /// The other node that has given out a socket id.
    pub(crate) fn giver(&self, sid: &str) -> Option<Peer> {
        let (node, reach) = self.presence.giver(sid)?;
        (*node != *self.node).then_some(Peer { node, reach })
    }

    /// What another node proves to have found out: whose request this is.
    ///
    /// # Errors
    ///
    /// When it proves nothing, or nothing new.
    pub(crate) fn check(&self, parts: &Parts) -> Result<Option<String>, RequestError> {
        let refused = || RequestError::Forbidden("not a relay of a node");
        let proofs: Vec<&HeaderValue> = parts.headers.get_all(MARK).iter().collect();
        let [proof] = proofs[..] else {
            return Err(refused());
        };
        let proof = proof.to_str().map_err(|_| refused())?;
        let subject = subject(&self.node, &parts.method, parts.uri.query(), &parts.headers);
        let claim = Claim::verify(proof, &subject, &self.reach).ok_or_else(refused)?;
        let is_gone = |node: &str| self.presence.is_gone(node);
        let first = self.came.lock().accept(&claim.from, claim.number, is_gone);
        first.then_some(claim.account).ok_or_else(refused)
    }

    /// Sends a request to another node. The client's side of an upgrade is taken along.
    pub(super) fn send(
        &self,
        peer: Peer,
        parts: &Parts,
        account: Option<String>,
        body: Outlet,
        upgrade: Option<(OnUpgrade, Duration)>,
    ) -> Result<Answer, RequestError> {
        let request = self.request(&peer, parts, account, body)?;
        let answered = self.dial(request);
        let presence = self.presence.clone();
        let alive = self.alive.subscribe();
        Ok(Box::pin(async move {
            let mut response = tokio::select! {
                response = answered => response?,
                () = death(&presence, &peer.node) => return Err(Rejection::UnknownSid.into()),
            };
            if !response.headers().contains_key(MARK) {
                return Err(RequestError::NotRelayed);
            }
            let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            if let (true, Some((client, patience))) = (switched, upgrade) {
                let node = upgrade::on(&mut response);
                tokio::spawn(tunnel(client, node, patience, alive));
            }
            let (head, body) = response.into_parts();
            let mut response = Response::new(body);
            *response.status_mut() = head.status;
            copy(&head.headers, response.headers_mut(), &BACK);
            Ok(response)
        }))
    }

    fn request(
        &self,
        peer: &Peer,
        parts: &Parts,
        account: Option<String>,
        body: Outlet,
    ) -> Result<Request<Outlet>, RequestError> {
        let query = parts.uri.query();
        let claim = Claim {
            from: self.node.clone(),
            number: self.sent.fetch_add(1, Ordering::Relaxed) + 1,
            account,
        };
        let subject = subject(&peer.node, &parts.method, query, &parts.headers);
        let proof = claim.prove(&subject, &peer.reach);
        let uri = format!("{}{RELAY}?{}", peer.reach.uri(), query.unwrap_or_default());
        let mut request = Request::builder()
            .method(&parts.method)
            .uri(uri)
            .header(MARK, proof)
            .body(body)
            .map_err(|_| Rejection::BadRequest)?;
        copy(&parts.headers, request.headers_mut(), &FORTH);
        Ok(request)
    }

    #[cfg(feature = "redis")]
    fn dial(&self, request: Request<Outlet>) -> Answer {
        let answered = self.client.request(request);
        // Whatever became of the node: the client does well to connect anew.
        Box::pin(async move { answered.await.map_err(|_| Rejection::UnknownSid.into()) })
    }

    #[cfg(not(feature = "redis"))]
    fn dial(&self, _: Request<Outlet>) -> Answer {
        Box::pin(async { Err(Rejection::UnknownSid.into()) })
    }
}

fn subject<'a>(
    to: &'a str,
    method: &'a Method,
    query: Option<&'a str>,
    headers: &HeaderMap,
) -> Subject<'a> {
    Subject {
        to,
        method,
        query: query.unwrap_or_default(),
        upgrade: wants_websocket(headers),
    }
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        for value in from.get_all(name) {
            to.append(name, value.clone());
        }
    }
}

/// Ready when a node is dead: it may stand still, and hold its connections.
async fn death(presence: &Presence, node: &str) {
    while !presence.is_gone(node) {
        sleep(presence.period()).await;
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}
