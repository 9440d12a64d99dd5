//! The servers of these tests do what the scenarios rest on.

use crate::support_redis::{NodeProcess, Redis, RedisCluster, RedisSentinel};

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
