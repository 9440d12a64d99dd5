//! A session hears what another one of its account sends, from one node to another.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::time::Duration;

use primacron::{FollowError, Notice, User};
use serde_json::json;
use tokio::time::sleep;

use self::support::{
    Ws, is_stuck,
    nodes::{Node, nodes, say, two, until_sees},
    notice, settle, soon,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_session_of_another_node_is_heard() {
    let (_cluster, [one, two, three]) = nodes(|layer| layer).await;
    let mut head = one.connect("ann", "head").await;
    let mut tail = two.connect("ann", "tail").await;
    let mut eve = two.connect("eve", "tail").await;
    let (ann, stranger) = (User::new("ann", "tail", ""), User::new("eve", "tail", ""));
    // It does not matter which node is asked.
    three.handle.follow(&ann, "ann", "head").await.unwrap();
    let foreign = two.handle.follow(&stranger, "ann", "head").await;
    assert_eq!(foreign, Err(FollowError::ForeignAccount));
    let gone = two.handle.follow(&ann, "ann", "gone").await;
    assert_eq!(gone, Err(FollowError::NoSession));
    for n in 0..20 {
        head.emit("say", json!([n.to_string()])).await;
    }
    for n in 0..20 {
        assert_eq!(tail.message().await, say(&n.to_string()));
    }
    two.handle.unfollow(&ann, "ann", "head").await.unwrap();
    head.emit("say", json!(["again"])).await;
    assert!(is_stuck(tail.message()).await);
    assert!(is_stuck(eve.message()).await);
}

#[tokio::test(start_paused = true)]
async fn a_follower_may_go_to_another_node_and_is_told_what_it_missed() {
    let (_cluster, [one, two, three]) = nodes(|layer| layer).await;
    let mut head = one.connect("ann", "head").await;
    let tail = two.connect("ann", "tail").await;
    one.handle
        .follow(&User::new("ann", "tail", ""), "ann", "head")
        .await
        .unwrap();
    head.emit("say", json!(["0"])).await;
    settle().await;
    drop(tail);
    settle().await;
    for n in 1..4 {
        head.emit("say", json!([n.to_string()])).await;
    }
    sleep(SECOND).await;
    let mut tail = three.connect("ann", "tail").await;
    head.emit("say", json!(["4"])).await;
    let gap = json!({"event": "follow::gap", "args": ["head", 3]});
    assert_eq!(tail.message().await, gap);
    assert_eq!(tail.message().await, say("4"));
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_noticed_when_the_other_one_goes_to_another_node() {
    let (_cluster, [one, two, three]) = nodes(|layer| layer).await;
    let mut notices = one.handle.notices();
    let mut head = one.connect("ann", "head").await;
    let tail = two.connect("ann", "tail").await;
    one.handle
        .follow(&User::new("ann", "tail", ""), "ann", "head")
        .await
        .unwrap();
    drop(tail);
    settle().await;
    for n in 0..3 {
        head.emit("say", json!([n.to_string()])).await;
    }
    sleep(SECOND).await;
    drop(head);
    settle().await;
    let _head = three.connect("ann", "head").await;
    let gap = notice(&mut notices, "follow::gap").await;
    assert!(
        matches!(gap, Notice::FollowGap { missed: 3, .. }),
        "{gap:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_knows_not_all_nodes_cannot_end_for_sure() {
    let (cluster, [one, _two]) = two().await;
    let _head = one.connect("ann", "head").await;
    let ann = User::new("ann", "tail", "");
    one.handle.follow(&ann, "ann", "head").await.unwrap();
    let new = Node::of(cluster.layer());
    let ended = new.handle.unfollow(&ann, "ann", "head").await;
    assert_eq!(ended, Err(FollowError::Uncertain));
    until_sees(&new, 3).await;
    let ended = new.handle.unfollow(&ann, "ann", "head").await;
    assert_eq!(ended, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_heard_may_go_to_another_node() {
    let (_cluster, [one, two, three]) = nodes(|layer| layer).await;
    let head = one.connect("ann", "head").await;
    let mut tail = two.connect("ann", "tail").await;
    one.handle
        .follow(&User::new("ann", "tail", ""), "ann", "head")
        .await
        .unwrap();
    drop(head);
    settle().await;
    let mut head = three.connect("ann", "head").await;
    head.emit("say", json!(["hello"])).await;
    assert_eq!(soon(tail.message()).await, say("hello"));
}

/// Two sessions of one account on nodes of their own, one of which follows the other.
async fn followed(one: &Node, two: &Node) -> (Ws, Ws) {
    let head = one.connect("ann", "head").await;
    let tail = two.connect("ann", "tail").await;
    one.handle
        .follow(&ann("tail"), "ann", "head")
        .await
        .unwrap();
    (head, tail)
}

fn ann(session: &str) -> User {
    User::new("ann", session, "")
}

#[tokio::test(start_paused = true)]
async fn who_ends_it_ends_it_for_nobody_else() {
    let (_cluster, [one, two]) = two().await;
    let (mut head, mut tail) = followed(&one, &two).await;
    let mut other = two.connect("ann", "other").await;
    two.handle
        .follow(&ann("other"), "ann", "head")
        .await
        .unwrap();
    two.handle
        .unfollow(&ann("other"), "ann", "head")
        .await
        .unwrap();
    head.emit("say", json!(["hello"])).await;
    assert_eq!(soon(tail.message()).await, say("hello"));
    assert!(is_stuck(other.message()).await);
}

#[tokio::test(start_paused = true)]
async fn however_much_is_said_all_of_it_is_heard() {
    let (_cluster, [one, two]) = two().await;
    let (mut head, mut tail) = followed(&one, &two).await;
    for n in 0..600 {
        head.emit("say", json!([n.to_string()])).await;
        assert_eq!(soon(tail.message()).await, say(&n.to_string()));
    }
}

#[tokio::test(start_paused = true)]
async fn one_too_many_is_refused_from_another_node_too() {
    let (_cluster, [one, two]) = two().await;
    let _head = one.connect("ann", "head").await;
    for number in 0..64 {
        let follower = ann(&number.to_string());
        two.handle.follow(&follower, "ann", "head").await.unwrap();
    }
    let one_more = two.handle.follow(&ann("64"), "ann", "head").await;
    assert!(one_more.is_err(), "{one_more:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_again_and_again_for_less_than_a_minute_goes_on_following() {
    let (_cluster, [one, two]) = two().await;
    let (mut head, mut tail) = followed(&one, &two).await;
    for hears in [false, false, true, true, false] {
        drop(tail);
        sleep(45 * SECOND).await;
        tail = two.connect("ann", "tail").await;
        // It is seen to be there, or it hears something.
        if hears {
            head.emit("say", json!(["there?"])).await;
            assert_eq!(soon(tail.message()).await, say("there?"));
        } else {
            sleep(16 * SECOND).await;
        }
    }
    head.emit("say", json!(["hello"])).await;
    assert_eq!(soon(tail.message()).await, say("hello"));
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_again_and_again_for_less_than_a_minute_goes_on_being_followed() {
    let (_cluster, [one, two]) = two().await;
    let (mut head, mut tail) = followed(&one, &two).await;
    for n in 0..4 {
        drop(head);
        sleep(45 * SECOND).await;
        head = one.connect("ann", "head").await;
        sleep(16 * SECOND).await;
        head.emit("say", json!([n.to_string()])).await;
        assert_eq!(soon(tail.message()).await, say(&n.to_string()));
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_gone_for_a_minute_is_not_followed_on_another_node_either() {
    let (_cluster, [one, two, three]) = nodes(|layer| layer).await;
    let (head, mut tail) = followed(&one, &two).await;
    drop(head);
    sleep(100 * SECOND).await;
    let mut head = three.connect("ann", "head").await;
    head.emit("say", json!(["hello"])).await;
    sleep(SECOND).await;
    assert!(is_stuck(tail.message()).await);
}

#[tokio::test(start_paused = true)]
async fn who_followed_and_was_gone_for_a_minute_follows_on_no_other_node_either() {
    let (_cluster, [one, two, three]) = nodes(|layer| layer).await;
    let (head, tail) = followed(&one, &two).await;
    drop(tail);
    sleep(100 * SECOND).await;
    drop(head);
    settle().await;
    let mut head = three.connect("ann", "head").await;
    let mut tail = two.connect("ann", "tail").await;
    head.emit("say", json!(["hello"])).await;
    sleep(SECOND).await;
    assert!(is_stuck(tail.message()).await);
}

#[cfg(feature = "testing")]
mod trouble {
    use primacron::PrimacronLayer;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_nobody_can_say_is_not_arranged() {
        let (cluster, [one, two]) = two().await;
        let (_head, _tail) = followed(&one, &two).await;
        cluster.cut_off();
        sleep(SECOND).await;
        let followed = two.handle.follow(&ann("tail"), "ann", "head").await;
        assert_eq!(followed, Err(FollowError::Uncertain));
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_directory_is_away_nobody_counts_as_gone() {
        for (who, recovers) in [(0, false), (0, true), (1, false), (1, true)] {
            let (cluster, [one, _two]) = two().await;
            let (head, tail) = followed(&one, &one).await;
            let mut both = [Some(head), Some(tail)];
            both[who] = None;
            settle().await;
            cluster.cut_off();
            sleep(200 * SECOND).await;
            if recovers {
                cluster.recover();
                // It is looked again who is there.
                sleep(40 * SECOND).await;
            }
            both[who] = Some(one.connect("ann", ["head", "tail"][who]).await);
            let [mut head, mut tail] = both.map(Option::unwrap);
            head.emit("say", json!(["hello"])).await;
            let heard = soon(tail.message()).await;
            assert_eq!(heard, say("hello"), "{who}, {recovers}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_that_nobody_knows_of_may_have_been_missed() {
        // It takes longer to be dead than to be waited for in vain.
        let patient = |layer: PrimacronLayer| layer.liveness(SECOND, 20 * SECOND, 30 * SECOND);
        let (cluster, [one, two]) = nodes(patient).await;
        let (mut head, mut tail) = followed(&one, &two).await;
        cluster.stop(&two.handle);
        head.emit("say", json!(["perhaps"])).await;
        sleep(6 * SECOND).await;
        cluster.resume(&two.handle);
        assert_eq!(soon(tail.message()).await, say("perhaps"));
        head.emit("say", json!(["hello"])).await;
        let gap = json!({"event": "follow::gap", "args": ["head", 1]});
        assert_eq!(soon(tail.message()).await, gap);
        assert_eq!(soon(tail.message()).await, say("hello"));
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_node_does_not_answer_it_cannot_be_ended_for_sure() {
        let (cluster, [one, two]) = two().await;
        let (_head, _tail) = followed(&one, &two).await;
        cluster.stop(&two.handle);
        let ended = soon(one.handle.unfollow(&ann("tail"), "ann", "head")).await;
        assert_eq!(ended, Err(FollowError::Unknown));
    }

    #[tokio::test(start_paused = true)]
    async fn while_nobody_knows_who_is_there_nobody_is_given_up() {
        let (cluster, [one, two]) = two().await;
        let (mut head, mut tail) = followed(&one, &two).await;
        cluster.cut_off();
        sleep(200 * SECOND).await;
        cluster.recover();
        sleep(20 * SECOND).await;
        head.emit("say", json!(["hello"])).await;
        assert_eq!(soon(tail.message()).await, say("hello"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_nobody_can_find_for_a_while_is_followed_on() {
        let (cluster, [one, two, three]) = nodes(|layer| layer).await;
        let (head, mut tail) = followed(&one, &two).await;
        drop(head);
        settle().await;
        let mut head = three.connect("ann", "head").await;
        cluster.cut_off();
        sleep(200 * SECOND).await;
        cluster.recover();
        sleep(20 * SECOND).await;
        head.emit("say", json!(["hello"])).await;
        assert_eq!(soon(tail.message()).await, say("hello"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_directory_lost_is_said_to_it_again() {
        let (cluster, [one, two, three]) = nodes(|layer| layer).await;
        let (head, mut tail) = followed(&one, &two).await;
        cluster.flush();
        sleep(31 * SECOND).await;
        drop(head);
        settle().await;
        let mut head = three.connect("ann", "head").await;
        head.emit("say", json!(["hello"])).await;
        assert_eq!(soon(tail.message()).await, say("hello"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_directory_lost_is_handed_on_by_the_node_that_knows() {
        let (cluster, [one, two, three]) = nodes(|layer| layer).await;
        let (head, mut tail) = followed(&one, &two).await;
        cluster.flush();
        drop(head);
        settle().await;
        let mut head = three.connect("ann", "head").await;
        sleep(31 * SECOND).await;
        head.emit("say", json!(["hello"])).await;
        assert_eq!(soon(tail.message()).await, say("hello"));
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_copies_are_under_way_and_the_rest_is_a_gap() {
        let (cluster, [one, two]) = two().await;
        let (mut head, mut tail) = followed(&one, &two).await;
        head.emit("say", json!(["first"])).await;
        assert_eq!(soon(tail.message()).await, say("first"));
        cluster.stop(&two.handle);
        for n in 0..300 {
            head.emit("say", json!([n.to_string()])).await;
        }
        sleep(SECOND / 10).await;
        cluster.resume(&two.handle);
        for n in 0..256 {
            assert_eq!(soon(tail.message()).await, say(&n.to_string()));
        }
        sleep(SECOND).await;
        head.emit("say", json!(["last"])).await;
        let gap = json!({"event": "follow::gap", "args": ["head", 44]});
        assert_eq!(soon(tail.message()).await, gap);
        assert_eq!(soon(tail.message()).await, say("last"));
    }
}
