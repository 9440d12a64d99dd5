//! A master of a Redis Cluster hangs while messages go from node to node.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::exchange::{Listener, forward, judge, settled};
use crate::support_redis::{NodeProcess, RedisCluster, until};

const NAMESPACE: &str = "bus-hang";

/// How many messages are sent to each node meanwhile.
const NUMBERS: usize = 30;

/// Accounts on each node.
const ACCOUNTS: usize = 4;

/// Of so many nodes, some have their inbox on another master: with luck that never fails.
const MOST: usize = 12;

/// Who receives, and whether all that it needs is on other masters.
struct Place {
    listener: Listener,
    account: String,
    is_safe: bool,
}

#[tokio::test]
async fn a_master_that_hangs_holds_up_no_message_that_does_without_it() {
    let cluster = RedisCluster::start().await;
    let first = NodeProcess::start(&cluster.url(), NAMESPACE).await;
    // The leases stay, and the first node can be answered.
    let leases = format!("{{{NAMESPACE}:n}}:leases");
    let used = [
        cluster.master_of(&leases).await,
        inbox(&cluster, &first).await,
    ];
    let hanging = (0..3).find(|master| !used.contains(master));
    let hanging = hanging.expect("three masters");

    let (mut nodes, mut places) = (Vec::new(), Vec::new());
    while nodes.len() < MOST && places.iter().filter(|place: &&Place| place.is_safe).count() < 2 {
        let node = NodeProcess::start(&cluster.url(), NAMESPACE).await;
        settled(&[&first, &node]).await;
        places.extend(populate(&cluster, &node, hanging).await);
        nodes.push(node);
    }
    let safe = places.iter().filter(|place| place.is_safe).count();
    println!("{safe} of {} do without it", places.len());
    assert!(safe > 0, "there is nothing to be seen");

    let mut sender = first.client("ann").await;
    cluster.masters[hanging].stop();
    let mut outcomes: Vec<Vec<_>> = places.iter().map(|_| Vec::new()).collect();
    for number in 0..NUMBERS {
        for (place, outcomes) in places.iter().zip(&mut outcomes) {
            // Whoever needs it may use up all patience, each time.
            if !place.is_safe && number > 0 {
                continue;
            }
            let text = format!("hanging:{number}");
            let session = &place.listener.session;
            let outcome = forward(&mut sender, &place.account, session, &text).await;
            outcomes.push((text, outcome));
        }
        sleep_until(Instant::now() + Duration::from_millis(100)).await;
    }
    cluster.masters[hanging].cont();
    cluster.until_whole().await;

    for (place, outcomes) in places.iter().zip(&mut outcomes) {
        until("all is well again", async || {
            let session = &place.listener.session;
            let outcome = forward(&mut sender, &place.account, session, "last").await;
            (outcome == "written").then_some(())
        })
        .await;
        place.listener.until_heard("last").await;
        let counts = judge(outcomes, &place.listener.heard());
        println!("{}: {counts:?}", place.account);
        if place.is_safe {
            assert_eq!(counts.get("written"), Some(&NUMBERS), "{counts:?}");
        }
    }
}

/// The master of a node's inbox.
async fn inbox(cluster: &RedisCluster, node: &NodeProcess) -> usize {
    let key = format!("{{{NAMESPACE}:b:{}}}:in", node.id);
    cluster.master_of(&key).await
}

/// Some clients of a node.
async fn populate(cluster: &RedisCluster, node: &NodeProcess, hanging: usize) -> Vec<Place> {
    let reached = inbox(cluster, node).await != hanging;
    let mut places = Vec::new();
    for number in 0..ACCOUNTS {
        let account = format!("{}-{number}", node.id);
        let listener = Listener::new(node.client(&account).await);
        let entry = until("its entry is stored", async || {
            let suffix = format!(":a:{account}");
            let mut keys = cluster.keys().await.into_iter();
            keys.find(|key| key.ends_with(&suffix))
        })
        .await;
        let is_safe = reached && cluster.master_of(&entry).await != hanging;
        places.push(Place {
            listener,
            account,
            is_safe,
        });
    }
    places
}
