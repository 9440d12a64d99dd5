//! Long polling, by calls of the service.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode, request::Parts};
use tokio::sync::mpsc;

use super::{
    Body, Disconnected, Received, Rejected,
    caller::Caller,
    post::{Packet, Post},
};

/// What stands between the packets of a payload.
const SEPARATOR: char = '\u{1e}';

/// The requests of one connection.
#[derive(Clone)]
pub(super) struct Requests {
    pub(super) caller: Caller,
    /// What all of them have in common.
    pub(super) parts: Parts,
}

impl Requests {
    async fn send(&self, method: http::Method, body: Body) -> Result<Bytes, Rejected> {
        let mut request = Request::from_parts(self.parts.clone(), body);
        *request.method_mut() = method;
        let response = self.caller.call(request).await;
        if response.status() == StatusCode::OK {
            Ok(response.into_body())
        } else {
            Err(Rejected::of(&response))
        }
    }

    /// The packets of one GET.
    pub(super) async fn get(&self) -> Result<Vec<String>, Rejected> {
        let body = self.send(http::Method::GET, Body::default()).await?;
        let text = String::from_utf8_lossy(&body);
        Ok(text.split(SEPARATOR).map(str::to_owned).collect())
    }

    async fn post(&self, body: String) -> Result<(), Rejected> {
        self.send(http::Method::POST, body.into()).await.map(drop)
    }
}

/// Posts what is to be sent, one request after the other; gives back what is left to be sent.
pub(super) async fn write(
    requests: Requests,
    mut outgoing: mpsc::UnboundedReceiver<Packet>,
    post: Post,
) -> mpsc::UnboundedReceiver<Packet> {
    while let Some(first) = outgoing.recv().await {
        let closes = matches!(first, Packet::Close);
        let payload = match first {
            Packet::Text(text) => text,
            Packet::Binary(bytes) => format!("b{}", BASE64_STANDARD.encode(bytes)),
            Packet::Close => "1".to_owned(),
            Packet::Upgrade => break,
        };
        match requests.post(payload).await {
            Ok(()) if !closes => {}
            Ok(()) => post.end(Disconnected::Closed),
            Err(rejected) => post.end(Disconnected::Refused(rejected)),
        }
        if post.is_over() {
            break;
        }
    }
    outgoing
}

/// Polls, hands over what is received, and answers pings, until the connection is over.
pub(super) async fn read(requests: Requests, post: Post) {
    loop {
        match requests.get().await {
            Ok(packets) => packets.iter().for_each(|packet| take(packet, &post)),
            Err(rejected) => post.end(Disconnected::Refused(rejected)),
        }
        if post.is_over() {
            return;
        }
    }
}

/// Takes a packet, of those that only long polling has too.
pub(super) fn take(packet: &str, post: &Post) {
    match packet.strip_prefix('b') {
        Some(base64) => {
            let bytes = BASE64_STANDARD.decode(base64).unwrap_or_default();
            post.hand_over(Received::Binary(bytes.into()));
        }
        None => post.take(packet),
    }
}
