//! Nodes that share a Redis over TLS.

use crate::authority::Authority;
use crate::server::{ADDRESS, Secured};
use crate::support_redis::{Client, NodeProcess, until};

/// A node whose user says with `SSL_CERT_FILE` whom to trust.
async fn node(authority: &Authority, redis: &Secured) -> NodeProcess {
    let node = NodeProcess::trusting(&authority.file(), &["--redis", &redis.url()]).await;
    node.until_presence("synced").await;
    node
}

/// Waits until a text from a client of one node was written to one of another.
pub(crate) async fn until_forwarded(from: &mut Client, to: &mut Client) {
    let args = [&*to.account.clone(), &*to.session.clone(), "hello"];
    until("a text is forwarded", async || {
        let outcome = from.ask("forward_ack", &args, "outcome").await.unwrap();
        (outcome[0] == "written").then_some(())
    })
    .await;
    assert_eq!(to.heard("forward").await.unwrap()[0], "hello");
}

#[tokio::test]
async fn nodes_that_trust_the_authority_find_one_another_and_forward() {
    let authority = Authority::new();
    let redis = Secured::start(&authority).await;
    let (one, two) = (
        node(&authority, &redis).await,
        node(&authority, &redis).await,
    );
    let (mut ann, mut bob) = (one.client("ann").await, two.client("bob").await);
    until_forwarded(&mut ann, &mut bob).await;
    until_forwarded(&mut bob, &mut ann).await;
    assert!(
        ann.find("bob", &bob.session.clone())
            .await
            .unwrap()
            .is_found()
    );
}

#[tokio::test]
async fn everything_is_found_again_after_a_restart() {
    let authority = Authority::new();
    let mut redis = Secured::start(&authority).await;
    let (one, two) = (
        node(&authority, &redis).await,
        node(&authority, &redis).await,
    );
    let (mut ann, mut bob) = (one.client("ann").await, two.client("bob").await);
    until_forwarded(&mut ann, &mut bob).await;

    redis.redis.kill();
    one.until_presence("offline").await;
    two.until_presence("offline").await;
    redis.redis.restart().await;
    one.until_presence("synced").await;
    two.until_presence("synced").await;

    until_forwarded(&mut ann, &mut bob).await;
    until_forwarded(&mut bob, &mut ann).await;
}

#[tokio::test]
async fn a_node_that_does_not_trust_the_authority_serves_its_clients_alone() {
    let (authority, other) = (Authority::new(), Authority::new());
    let redis = Secured::start(&authority).await;
    let node = NodeProcess::trusting(&other.file(), &["--redis", &redis.url()]).await;
    node.until_presence("offline").await;
    until("it is told", async || {
        (node.noticed("presence::offline").await > 0).then_some(())
    })
    .await;
    node.client("ann").await.assert_alive().await;
    assert_eq!(redis.redis.keys().await.len(), 0);
}

#[tokio::test]
async fn a_certificate_that_is_renewed_is_taken_with_the_next_connection() {
    let authority = Authority::new();
    let mut redis = Secured::start(&authority).await;
    let one = node(&authority, &redis).await;
    // The new one is in the place of the old one.
    drop(authority.vouch_for(ADDRESS));
    redis.redis.kill();
    one.until_presence("offline").await;
    redis.redis.restart().await;
    one.until_presence("synced").await;
}
