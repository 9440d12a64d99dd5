//! A master of a Redis Cluster hangs, without a word: SIGSTOP, SIGCONT.

use std::time::Duration;

use tokio::time::Instant;

use crate::cast::after;
use crate::cluster::Crowd;
use crate::support_redis::{Find, RedisCluster, Reply, until};

#[tokio::test]
async fn a_master_that_hangs_takes_only_its_own_accounts_along() {
    let mut crowd = Crowd::start().await;
    for master in 0..3 {
        crowd.cluster.masters[master].stop();
        let stopped = Instant::now();
        crowd.assert_others_are_exact(master).await;
        println!("master {master} hangs, exact after {:?}", stopped.elapsed());

        crowd.cluster.masters[master].cont();
        crowd.assert_heals().await;
    }
}

#[tokio::test]
async fn a_master_that_hangs_for_a_while_is_never_a_false_answer() {
    let mut crowd = Crowd::start().await;
    for master in 0..3 {
        for seconds in [2, 4, 8] {
            crowd.cluster.masters[master].stop();
            after(Instant::now(), Duration::from_secs(seconds)).await;
            crowd.cluster.masters[master].cont();
            crowd.assert_heals().await;
        }
    }
}

#[tokio::test]
async fn a_replica_takes_over_from_a_master_that_hangs() {
    let cluster = RedisCluster::start().await;
    let replicas = [
        cluster.replica_of(0).await,
        cluster.replica_of(1).await,
        cluster.replica_of(2).await,
    ];
    let mut crowd = Crowd::of(cluster).await;
    for (number, replica) in replicas.iter().enumerate() {
        crowd.cluster.masters[number].stop();
        until("the replica is the master", async || {
            (replica.role().await? == "master").then_some(())
        })
        .await;
        let promoted = Instant::now();
        crowd.until_all_are_found(promoted).await;

        crowd.cluster.masters[number].cont();
        until("the old master follows the new one", async || {
            let role = crowd.cluster.masters[number].role().await?;
            (role == "slave").then_some(())
        })
        .await;
        crowd.assert_all_live(Instant::now()).await;
    }
}

#[tokio::test]
async fn a_slot_that_moves_while_nodes_write_takes_its_accounts_along() {
    let mut crowd = Crowd::of(RedisCluster::start().await).await;
    let keys = crowd.cluster.keys().await;
    let entry = keys
        .iter()
        .find(|key| key.contains(":a:account-"))
        .expect("an entry");
    let slot = crowd.cluster.slot_of(entry).await;
    let from = crowd.cluster.master_of(entry).await;
    let to = (from + 1) % 3;
    let (_, account) = entry.split_once(":a:").expect("an account");
    let mut newcomers = Vec::new();
    let writing = async || newcomers.push(crowd.home.client(account).await);
    crowd.cluster.move_slot(slot, [from, to], writing).await;
    assert!(newcomers.len() > 3, "the slot has keys");

    crowd.assert_all_live(Instant::now()).await;
    let mut observer = crowd.other.client("observer").await;
    for newcomer in &newcomers {
        until("who came meanwhile is found", async || {
            let find = observer.find(account, &newcomer.session).await;
            find.expect("an answer").is_found().then_some(())
        })
        .await;
    }
    let there = format!("CLUSTER COUNTKEYSINSLOT {slot}");
    assert_ne!(
        crowd.cluster.masters[to].run(&there).await,
        Reply::Integer(0)
    );
}

#[tokio::test]
async fn who_leaves_while_a_slot_moves_is_not_found_any_more() {
    let crowd = Crowd::of(RedisCluster::start().await).await;
    let account = &crowd.clients[0].account;
    let mut leavers = Vec::new();
    for _ in 0..3 {
        leavers.push(crowd.home.client(account).await);
    }
    let sessions: Vec<_> = leavers.iter().map(|one| one.session.clone()).collect();
    let keys = crowd.cluster.keys().await;
    let end = format!(":a:{account}");
    let entry = keys.iter().find(|key| key.ends_with(&end));
    let entry = entry.expect("entries of the account");
    let slot = crowd.cluster.slot_of(entry).await;
    let from = crowd.cluster.master_of(entry).await;
    let leaving = async || {
        leavers.pop();
        // So long it takes until its entry is removed, where that can be.
        after(Instant::now(), Duration::from_millis(200)).await;
    };
    let to = (from + 1) % 3;
    crowd.cluster.move_slot(slot, [from, to], leaving).await;

    let mut observer = crowd.other.client("observer").await;
    for session in &sessions {
        until("who left is not found", async || {
            let find = observer.find(account, session).await;
            (find.expect("an answer") == Find::NotFound).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_cluster_that_serves_all_slots_or_none_is_waited_for() {
    let whole = ["--cluster-require-full-coverage yes"; 3].map(str::to_owned);
    let mut crowd = Crowd::of(RedisCluster::with(whole).await).await;
    for master in 0..3 {
        crowd.cluster.masters[master].stop();
        crowd.assert_nobody_is_known(Instant::now()).await;
        crowd.cluster.masters[master].cont();
        crowd.assert_heals().await;
    }
}
