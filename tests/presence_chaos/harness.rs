//! The servers of these tests do what the scenarios rest on.

use std::time::Duration;

use tokio::time::timeout;

use crate::support_redis::{
    Link, NodeProcess, Redis, RedisCluster, RedisSentinel, Reply, Resp, until,
};

#[tokio::test]
async fn a_redis_is_stopped_goes_on_and_comes_back_empty_on_its_port() {
    let mut redis = Redis::start().await;
    redis.run("SET key value").await.assert_ok();

    redis.stop();
    redis.cont();
    assert_eq!(redis.keys().await, ["key"]);

    let port = redis.port();
    redis.restart().await;
    assert_eq!(redis.port(), port);
    assert!(redis.keys().await.is_empty());
}

#[tokio::test]
async fn three_masters_share_the_slots() {
    let cluster = RedisCluster::start().await;
    for key in ["a", "b", "c", "{a}b", ""] {
        let master = cluster.master_of(key).await;
        let set = cluster.masters[master].command(&["SET", key, "1"]).await;
        set.assert_ok();
    }
    assert_eq!(cluster.keys().await.len(), 5);
}

#[tokio::test]
async fn a_lost_master_comes_back_empty_with_its_slots() {
    let mut cluster = RedisCluster::start().await;
    let master = cluster.master_of("key").await;
    let set = cluster.masters[master].run("SET key value").await;
    set.assert_ok();

    cluster.masters[master].restart().await;
    cluster.until_whole().await;

    assert!(cluster.keys().await.is_empty());
    cluster.masters[master]
        .run("SET key value")
        .await
        .assert_ok();
}

#[tokio::test]
async fn a_link_is_held_mended_and_cut() {
    let redis = Redis::start().await;
    let link = Link::to(redis.port()).await;
    let mut wire = Resp::connect(link.port()).await.unwrap();
    assert!(wire.ask(&["PING"]).await.is_ok());

    link.hold();
    let held = timeout(Duration::from_millis(200), wire.ask(&["INCR", "key"])).await;
    assert!(held.is_err());
    link.mend();
    until("what was held arrives", async || {
        (redis.run("GET key").await == Reply::Bulk(b"1".to_vec())).then_some(())
    })
    .await;

    let mut wire = Resp::connect(link.port()).await.unwrap();
    assert!(wire.ask(&["PING"]).await.is_ok());
    link.cut();
    assert!(wire.ask(&["PING"]).await.is_err());
    link.mend();
    let mut wire = Resp::connect(link.port()).await.unwrap();
    assert!(wire.ask(&["PING"]).await.is_ok());
}

#[tokio::test]
async fn a_sentinel_makes_the_replica_a_master() {
    let mut redis = RedisSentinel::start().await;
    redis.master.kill();
    redis.until_failed_over().await;
    redis.replica.run("SET key value").await.assert_ok();
}

#[tokio::test]
async fn a_node_tells_who_and_where_its_clients_are() {
    let mut node = NodeProcess::with(&[]).await;
    let mut client = node.client("a::b {%} \u{1F600}").await;

    let whoami = client.whoami().await.unwrap();
    assert_eq!(whoami, [&*client.account, &*client.session, &*node.id]);
    let found = client
        .find(whoami[0].as_str().unwrap(), &client.session.clone())
        .await;
    assert!(found.unwrap().is_found());
    assert_eq!(node.stats().await["connections"], 1);
    assert!(node.terminate().await.success());
}
