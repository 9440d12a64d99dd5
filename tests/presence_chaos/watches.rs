//! Who comes and goes, as another node sees it.

use primacron::{Movement, PrimacronLayer, Watch};
use tokio::time::timeout;

use crate::generations::Member;
use crate::support_redis::{PATIENCE, Redis};

async fn next(watch: &mut Watch) -> Movement {
    timeout(PATIENCE, watch.next()).await.expect("a movement")
}

/// Session, node and generation of a join.
fn join(movement: Movement) -> (String, String, u64) {
    match movement {
        Movement::Join {
            session,
            node,
            generation,
            ..
        } => (session.into(), node.into(), generation),
        other => panic!("{other:?}"),
    }
}

/// Session and generation of a leave.
fn leave(movement: Movement) -> (String, u64) {
    match movement {
        Movement::Leave {
            session,
            generation,
            ..
        } => (session.into(), generation),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_node_sees_who_comes_moves_and_goes() {
    let redis = Redis::start().await;
    let (one, two) = (
        Member::start(&redis.url()).await,
        Member::start(&redis.url()).await,
    );
    let observer = Member::start(&redis.url()).await;
    let _first = one.connect("account=ann&session=a").await;
    observer.until_on("ann", "a", &one).await;
    let mut watch = observer.handle.watch("ann");

    let (session, node, _) = join(next(&mut watch).await);
    assert_eq!(
        (session.as_str(), node.as_str()),
        ("a", one.handle.node_id())
    );

    let _other = one.connect("account=bob&session=b").await;
    let client = one.connect("account=ann&session=c").await;
    let (session, _, old) = join(next(&mut watch).await);
    assert_eq!(session, "c", "nobody hears of other accounts");

    let moved = two.connect("account=ann&session=c").await;
    let (session, node, new) = join(next(&mut watch).await);
    assert_eq!(
        (session.as_str(), node.as_str()),
        ("c", two.handle.node_id())
    );
    assert!(new > old, "{new} after {old}");

    drop((client, moved));
    assert_eq!(leave(next(&mut watch).await), ("c".to_owned(), new));
}

#[tokio::test]
async fn a_flush_makes_nobody_leave() {
    let redis = Redis::start().await;
    let (home, observer) = (
        Member::start(&redis.url()).await,
        Member::start(&redis.url()).await,
    );
    let _stays = home.connect("account=ann&session=a").await;
    observer.until_on("ann", "a", &home).await;
    let mut watch = observer.handle.watch("ann");
    join(next(&mut watch).await);

    redis.flush().await;
    home.until_synced().await;
    observer.until_on("ann", "a", &home).await;
    let _last = home.connect("account=ann&session=z").await;

    let (session, ..) = join(next(&mut watch).await);
    assert_eq!(session, "z", "the one that stayed neither left nor came");
}

#[tokio::test(start_paused = true)]
async fn a_node_of_its_own_sees_the_same() {
    let member = Member::of(PrimacronLayer::in_memory());
    let mut watch = member.handle.watch("ann");
    let client = member.connect("account=ann&session=a").await;
    let (session, _, first) = join(next(&mut watch).await);
    assert_eq!(session, "a");

    drop(client);
    assert_eq!(leave(next(&mut watch).await), ("a".to_owned(), first));
    let _again = member.connect("account=ann&session=a").await;
    let (_, _, second) = join(next(&mut watch).await);
    assert!(second > first);
}
