//! Messages to many.

use crate::exchange::settled;
use crate::support_redis::{NodeProcess, Redis};

#[tokio::test]
async fn a_dead_node_keeps_nobody_from_a_broadcast() {
    let redis = Redis::start().await;
    let start = async || NodeProcess::start(&redis.url(), "broadcast").await;
    let (one, other, mut dead) = (start().await, start().await, start().await);
    settled(&[&one, &other, &dead]).await;
    let mut speaker = one.client("ann").await;
    let mut listeners = [other.client("bob").await, one.client("cid").await];
    let lost = dead.client("dan").await;
    dead.kill();

    for text in ["1", "2"] {
        speaker.tell("broadcast", &[text]).await.unwrap();
        for listener in listeners.iter_mut().chain([&mut speaker]) {
            assert_eq!(listener.heard("broadcast").await.unwrap(), [text]);
        }
    }
    drop(lost);
}

#[tokio::test]
async fn an_account_hears_it_on_every_node() {
    let redis = Redis::start().await;
    let one = NodeProcess::start(&redis.url(), "account").await;
    let other = NodeProcess::start(&redis.url(), "account").await;
    settled(&[&one, &other]).await;
    let mut speaker = one.client("ann").await;
    let mut bobs = [
        one.client("bob").await,
        other.client("bob").await,
        other.client("bob").await,
    ];
    let mut stranger = other.client("cid").await;

    speaker.tell("account", &["bob", "hello"]).await.unwrap();
    for bob in &mut bobs {
        assert_eq!(bob.heard("account").await.unwrap(), ["hello"]);
    }
    speaker.tell("broadcast", &["all"]).await.unwrap();
    let first = stranger.heard_any().await.unwrap();
    assert_eq!(first.0, "broadcast", "nothing came before that was for bob");
}

#[tokio::test]
async fn a_session_is_closed_from_another_node() {
    let redis = Redis::start().await;
    let one = NodeProcess::start(&redis.url(), "close").await;
    let other = NodeProcess::start(&redis.url(), "close").await;
    settled(&[&one, &other]).await;
    let mut speaker = one.client("ann").await;
    let mut bob = other.client("bob").await;
    let mut stays = other.client("bob").await;

    let args = ["bob", &bob.session.clone()];
    let outcome = speaker.ask("close", &args, "outcome").await.unwrap();
    assert_ne!(outcome[0], "no_session");
    assert!(bob.heard_any().await.is_err(), "it is closed");
    stays.assert_alive().await;
    let outcome = speaker
        .ask("close", &["bob", "nobody"], "outcome")
        .await
        .unwrap();
    assert_eq!(outcome[0], "no_session");
}

#[tokio::test]
async fn a_follower_hears_what_the_other_session_says_wherever_both_are() {
    let redis = Redis::start().await;
    let one = NodeProcess::start(&redis.url(), "follow").await;
    let other = NodeProcess::start(&redis.url(), "follow").await;
    settled(&[&one, &other]).await;
    let mut phone = one.client("ann").await;
    let mut desk = other.client("ann").await;
    let mut stranger = other.client("bob").await;

    let args = ["ann", &phone.session.clone()];
    let followed = desk.ask("follow", &args, "followed").await.unwrap();
    phone.ask("echo", &["hello"], "echo").await.unwrap();
    assert_eq!(desk.heard("echo").await.unwrap(), ["hello"], "{followed:?}");

    let refused = stranger.ask("follow", &args, "followed").await;
    phone.ask("echo", &["again"], "echo").await.unwrap();
    assert_eq!(desk.heard("echo").await.unwrap(), ["again"]);
    assert!(
        refused.is_err() || refused.unwrap()[0] != followed[0],
        "somebody else's session cannot be followed"
    );
    stranger.assert_alive().await;

    desk.ask("unfollow", &args, "followed").await.unwrap();
    phone.ask("echo", &["nobody hears"], "echo").await.unwrap();
    desk.assert_alive().await;
}
