//! Whom a layer trusts, and what it tells of whom it does not.

use std::convert::Infallible;
use std::future::ready;

use primacron::{Find, Handle, IntoRedis, Message, Notice, Notices, PrimacronLayer};
use tokio::time::timeout;

use crate::authority::Authority;
use crate::server::{ADDRESS, Secured, pool, url};
use crate::support_redis::{PATIENCE, Redis, until};

/// A node that lives as long as this, and what it tells.
struct Node {
    handle: Handle,
    notices: Notices,
}

impl Node {
    fn start(redis: impl IntoRedis) -> Self {
        let layer = PrimacronLayer::new(redis).service(tower::service_fn(|_: Message| {
            ready(Ok::<_, Infallible>(()))
        }));
        let handle = layer.handle();
        let notices = handle.notices();
        // A node without a server begins with the first question.
        assert_ne!(handle.presence_state().name(), "synced");
        Self { handle, notices }
    }

    async fn until_synced(&self) {
        until("presence is synced", async || {
            (self.handle.presence_state().name() == "synced").then_some(())
        })
        .await;
    }

    /// Why presence, or the bus, is offline.
    async fn offline(&mut self) -> String {
        let told = async {
            loop {
                match self.notices.next().await.expect("the node lives") {
                    Notice::PresenceOffline { error, .. } => return error,
                    Notice::PresenceOnline { .. } => panic!("it reached what it must not trust"),
                    _ => {}
                }
            }
        };
        timeout(PATIENCE, told).await.expect("a notice")
    }
}

#[tokio::test]
async fn a_pool_with_an_authority_of_its_own_is_synced() {
    let authority = Authority::new();
    let redis = Secured::start(&authority).await;
    let node = Node::start(pool(&redis.url(), &authority, None));
    node.until_synced().await;
    let keys = redis.redis.keys().await;
    assert!(!keys.is_empty());
}

#[tokio::test]
async fn a_server_of_tls_1_2_is_spoken_with() {
    let authority = Authority::new();
    let proof = authority.vouch_for(ADDRESS);
    let redis = Secured::with(&authority, &proof, "--tls-protocols TLSv1.2").await;
    let node = Node::start(pool(&redis.url(), &authority, None));
    node.until_synced().await;
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_that_of_the_pool() {
    let authority = Authority::new();
    let redis = Secured::suspicious(&authority).await;
    let own = authority.vouch_for("client.example");
    let node = Node::start(pool(&redis.url(), &authority, Some(&own)));
    node.until_synced().await;

    let mut nameless = Node::start(pool(&redis.url(), &authority, None));
    let error = nameless.offline().await;
    assert!(error.contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_is_told_of() {
    let (authority, other) = (Authority::new(), Authority::new());
    let redis = Secured::start(&authority).await;
    // What the system trusts does not help either.
    let by_pool = Node::start(pool(&redis.url(), &other, None));
    let by_url = Node::start(redis.url());
    for mut node in [by_pool, by_url] {
        let error = node.offline().await;
        assert!(error.contains("invalid peer certificate"), "{error}");
        assert_eq!(node.handle.find("ann", "s").await, Find::Uncertain);
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_told_of() {
    let authority = Authority::new();
    let proof = authority.vouch_for("redis.example");
    let redis = Secured::with(&authority, &proof, "").await;
    let mut node = Node::start(pool(&redis.url(), &authority, None));
    let error = node.offline().await;
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_told_of() {
    let authority = Authority::new();
    let redis = Redis::start().await;
    let mut node = Node::start(pool(&url(redis.port()), &authority, None));
    // It may wait for the end of a line in place of saying that it understands nothing.
    assert!(!node.offline().await.is_empty());
    assert_eq!(node.handle.find("ann", "s").await, Find::Uncertain);
}

#[tokio::test]
async fn a_server_that_speaks_only_tls_is_told_of() {
    let authority = Authority::new();
    let redis = Secured::start(&authority).await;
    let mut node = Node::start(format!("redis://{ADDRESS}:{}", redis.port()));
    let error = node.offline().await;
    assert!(!error.is_empty());
}
