//! A Cluster whose masters speak TLS with clients and with one another.

use std::array;

use crate::authority::Authority;
use crate::nodes::until_forwarded;
use crate::server::{ADDRESS, url};
use crate::support_redis::{NodeProcess, RedisCluster, free_port};

#[tokio::test]
async fn a_cluster_is_reached_by_tls() {
    let authority = Authority::new();
    let proof = authority.vouch_for(ADDRESS);
    let ports: [u16; 3] = array::from_fn(|_| free_port());
    let flags = ports.map(|port| {
        let secured = authority.flags(port, &proof);
        format!("{secured} --tls-auth-clients no --tls-cluster yes")
    });
    let cluster = RedisCluster::with(flags).await;
    let urls = ports.map(url).join(",");
    let node = async || {
        let node = NodeProcess::trusting(&authority.file(), &["--redis", &urls]).await;
        node.until_presence("synced").await;
        node
    };
    let (one, two) = (node().await, node().await);
    let mut clients = Vec::new();
    for number in 0..8 {
        clients.push(two.client(&format!("account-{number}")).await);
    }

    let mut ann = one.client("ann").await;
    for client in &mut clients {
        until_forwarded(&mut ann, client).await;
    }
    for master in &cluster.masters {
        assert!(!master.keys().await.is_empty(), "the accounts are on all");
    }
}
