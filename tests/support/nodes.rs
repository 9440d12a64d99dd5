//! Nodes of one process that know each other.

use std::{convert::Infallible, future::ready, time::Duration};

use http::request::Parts;
use primacron::{Args, Cluster, Handle, Handler, Message, Outcome, PrimacronLayer, User, Wait};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{App, Polling, Ws, app, get, settle, soon};

const SECOND: Duration = Duration::from_secs(1);

/// The session id is what the query says.
pub fn chosen(parts: &Parts) -> Option<String> {
    let (_, session) = parts.uri.query()?.split_once("session=")?;
    Some(session.to_owned())
}

pub fn nothing() -> impl Handler + Clone + Sync {
    tower::service_fn(|_: Message| ready(Ok::<_, Infallible>(())))
}

pub struct Node {
    pub app: App,
    pub handle: Handle,
}

impl Node {
    pub fn of(layer: PrimacronLayer) -> Self {
        let layer = layer
            .session_id(chosen)
            .ping_interval(3600 * SECOND)
            .validate("say", |args: &Args, _: &User| args.len() == 1)
            .service(nothing());
        let handle = layer.handle();
        let app = app(layer);
        Self { app, handle }
    }

    pub async fn connect(&self, account: &str, session: &str) -> Ws {
        let query = format!("account={account}&session={session}");
        let ws = Ws::connect_with(&self.app, &query, 1024).await;
        settle().await;
        ws
    }

    pub async fn polling(&self, account: &str, session: &str) -> Polling {
        Polling::connect_with(&self.app, &format!("account={account}&session={session}")).await
    }

    pub async fn forward(&self, session: &str, text: &str, wait: Wait) -> Outcome {
        let forwarded = self.handle.forward("ann", session, "news", (text,), wait);
        soon(forwarded).await.unwrap()
    }

    pub fn id(&self) -> Box<str> {
        self.handle.node_id().into()
    }
}

/// Nodes that know each other.
pub async fn nodes<const N: usize>(
    set: impl Fn(PrimacronLayer) -> PrimacronLayer,
) -> (Cluster, [Node; N]) {
    let cluster = Cluster::new();
    let nodes = std::array::from_fn(|_| Node::of(set(cluster.layer())));
    for node in &nodes {
        // It begins with its first request.
        get(&node.app, "/").await;
    }
    for node in &nodes {
        until_sees(node, N).await;
    }
    (cluster, nodes)
}

pub async fn until_sees(node: &Node, count: usize) {
    let sees = || match node.handle.nodes() {
        Ok(nodes) => nodes.len() == count && nodes.iter().all(|node| node.live),
        Err(_) => false,
    };
    soon(async {
        while !sees() {
            sleep(SECOND / 10).await;
        }
    })
    .await;
}

pub async fn two() -> (Cluster, [Node; 2]) {
    nodes(|layer| layer).await
}

pub fn news(text: &str) -> Value {
    json!({"event": "news", "args": [text]})
}

pub fn say(text: &str) -> Value {
    json!({"event": "say", "args": [text]})
}
