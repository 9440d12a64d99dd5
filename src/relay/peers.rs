use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::future::BoxFuture;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
    request::Parts,
};
use http_body::SizeHint;
use hyper::{
    body::Incoming,
    upgrade::{self, OnUpgrade},
};
use parking_lot::Mutex;
use tokio::time::sleep;

use super::{
    pipe::{Outlet, pipe},
    proof::{Claim, Subject, Whose},
    tunnel::{Patience, Sides, tunnel},
    window::Windows,
};
use crate::{
    config::RELAY,
    connection::Registry,
    engine::Rejection,
    error::RequestError,
    presence::Presence,
    reach::Reach,
    transport::{Opening, is_upgrade},
};

/// Carries the proof of a relay; an answer that has it comes from a layer, and not from something
/// in front of it.
pub(crate) const MARK: HeaderName = HeaderName::from_static("primacron-relay");

/// Ends a poll that is held by way of the node that says so. No client's request is relayed with it.
pub(crate) const RELEASE: Method = Method::DELETE;

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

/// The client's side of a websocket that is opened by way of this node.
pub(crate) struct Upgrade {
    pub(crate) client: OnUpgrade,
    pub(crate) opening: Opening,
    pub(crate) patience: Patience,
}

impl Upgrade {
    /// Nodes speak HTTP/1.1, whatever the client speaks.
    fn prepare(&self, parts: &mut Parts) {
        if self.opening == Opening::Stream {
            parts.method = Method::GET;
            let headers = [
                (header::UPGRADE, "websocket"),
                (header::CONNECTION, "upgrade"),
                (header::SEC_WEBSOCKET_KEY, KEY),
            ];
            let headers = headers.map(|(name, text)| (name, HeaderValue::from_static(text)));
            parts.headers.extend(headers);
        }
    }
}

/// The key of a websocket between nodes: it keeps caches from answering, and there are none.
const KEY: &str = "cHJpbWFjcm9uLXJlbGF5IQ==";

/// What one node needs to relay, and to be relayed to.
pub(crate) struct Relay {
    node: Box<str>,
    reach: Arc<Reach>,
    presence: Presence,
    registry: Arc<Registry>,
    /// How many relays went out.
    sent: AtomicU64,
    /// How many tunnels there were.
    tunnels: AtomicU64,
    came: Mutex<Windows>,
    #[cfg(feature = "redis")]
    client: super::client::Client,
}

impl Relay {
    pub(crate) fn new(
        node: &str,
        reach: Arc<Reach>,
        presence: Presence,
        registry: Arc<Registry>,
    ) -> Self {
        Self {
            node: node.into(),
            reach,
            presence,
            registry,
            sent: AtomicU64::new(0),
            tunnels: AtomicU64::new(0),
            came: Mutex::default(),
            #[cfg(feature = "redis")]
            client: super::client::client(),
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
    pub(crate) fn check(&self, parts: &Parts) -> Result<Whose, RequestError> {
        let refused = || RequestError::Forbidden("not a relay of a node");
        let proofs: Vec<&HeaderValue> = parts.headers.get_all(MARK).iter().collect();
        let [proof] = proofs[..] else {
            return Err(refused());
        };
        let proof = proof.to_str().map_err(|_| refused())?;
        let query = parts.uri.query().unwrap_or_default();
        let subject = subject(&self.node, &parts.method, query, &parts.headers);
        let claim = Claim::verify(proof, &subject, &self.reach).ok_or_else(refused)?;
        let is_gone = |node: &str| self.presence.is_gone(node);
        let first = self.came.lock().accept(&claim.from, claim.number, is_gone);
        first.then_some(claim.whose).ok_or_else(refused)
    }

    /// Sends a request to another node. The client's side of an upgrade is taken along.
    pub(super) fn send(
        self: &Arc<Self>,
        peer: Peer,
        mut parts: Parts,
        whose: Whose,
        body: Outlet,
        upgrade: Option<Upgrade>,
    ) -> Result<Answer, RequestError> {
        if let Some(upgrade) = &upgrade {
            upgrade.prepare(&mut parts);
        }
        let query = parts.uri.query().unwrap_or_default();
        let request = self.request(&peer, &parts.method, query, &parts.headers, whose, body)?;
        let answered = self.dial(request);
        let polls = parts.method == Method::GET && upgrade.is_none();
        let poll = polls.then(|| query.to_owned());
        let relay = Arc::clone(self);
        Ok(Box::pin(async move {
            let mut response = tokio::select! {
                response = answered => response?,
                () = relay.death(&peer.node) => return Err(Rejection::UnknownSid.into()),
                never = relay.let_go(&peer, poll.as_deref()) => match never {},
            };
            if !response.headers().contains_key(MARK) {
                return Err(RequestError::NotRelayed);
            }
            let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            if let Some(upgrade) = upgrade.filter(|_| switched) {
                let node = upgrade::on(&mut response);
                if upgrade.opening == Opening::Stream {
                    response = Response::new(response.into_body());
                }
                relay.dig(upgrade, node, peer.node);
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
        method: &Method,
        query: &str,
        headers: &HeaderMap,
        whose: Whose,
        body: Outlet,
    ) -> Result<Request<Outlet>, RequestError> {
        let claim = Claim {
            from: self.node.clone(),
            number: self.sent.fetch_add(1, Ordering::Relaxed) + 1,
            whose,
        };
        let proof = claim.prove(&subject(&peer.node, method, query, headers), &peer.reach);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{RELAY}?{query}", peer.reach.uri()))
            .header(MARK, proof)
            .body(body)
            .map_err(|_| Rejection::BadRequest)?;
        copy(headers, request.headers_mut(), &FORTH);
        Ok(request)
    }

    /// Ready when a node is dead: it may stand still, and hold its connections.
    async fn death(&self, node: &str) {
        while !self.presence.is_gone(node) {
            sleep(self.presence.period()).await;
        }
    }

    /// Opens a tunnel from a client to a node. Until it is over, this node is not empty.
    fn dig(&self, upgrade: Upgrade, node: OnUpgrade, name: Arc<str>) {
        let guest = self.registry.guest();
        let presence = self.presence.clone();
        let sides = Sides {
            client: upgrade.client,
            node,
        };
        let is_gone = move || presence.is_gone(&name);
        let carried = tunnel(sides, upgrade.patience, is_gone, self.turn());
        tokio::spawn(async move {
            carried.await;
            drop(guest);
        });
    }

    /// Ready when this node goes away, at some time of its spread: those of any tunnels that are
    /// there lie evenly in it.
    fn turn(&self) -> impl Future<Output = ()> + use<> {
        let number = self.tunnels.fetch_add(1, Ordering::Relaxed);
        let registry = Arc::clone(&self.registry);
        async move {
            registry.closing().await;
            sleep(registry.spread().mul_f64(share(number))).await;
        }
    }

    /// Once this node goes away, has a poll answered that the other one holds: the client comes
    /// back by way of somebody else.
    async fn let_go(&self, peer: &Peer, poll: Option<&str>) -> Infallible {
        if let Some(query) = poll {
            // Not at once: until the listener is closed the client may come back here.
            sleep(self.presence.period()).await;
            self.registry.closing().await;
            let (inlet, body) = pipe(SizeHint::with_exact(0));
            inlet.finish();
            let headers = HeaderMap::new();
            if let Ok(release) = self.request(peer, &RELEASE, query, &headers, Whose::Nobody, body)
            {
                drop(self.dial(release).await);
            }
        }
        pending().await
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

/// A part of one, for a number: those of numbers in a row lie far from one another, by the golden
/// ratio.
fn share(number: u64) -> f64 {
    let turned = (number as u32).wrapping_mul(0x9e37_79b9);
    f64::from(turned) / (f64::from(u32::MAX) + 1.0)
}

fn subject<'a>(
    to: &'a str,
    method: &'a Method,
    query: &'a str,
    headers: &HeaderMap,
) -> Subject<'a> {
    Subject {
        to,
        method,
        query,
        upgrade: is_upgrade(headers),
    }
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        for value in from.get_all(name) {
            to.append(name, value.clone());
        }
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_turns_of_tunnels_are_spread_evenly() {
        for first in [0, 1, 1000, u64::from(u32::MAX) - 5] {
            let mut shares: Vec<f64> = (first..first + 100).map(share).collect();
            shares.sort_by(f64::total_cmp);
            assert!(shares[0] >= 0.0 && shares[99] < 1.0);
            for pair in shares.windows(2) {
                assert!(pair[1] - pair[0] < 0.03, "{pair:?}");
            }
        }
    }
}
