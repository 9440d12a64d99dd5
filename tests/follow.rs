//! A session hears what another one of its account sends, on a node of its own.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{convert::Infallible, future::ready, time::Duration};

use http::request::Parts;
use primacron::{
    Args, FollowError, Handle, Handler, Message, Notice, PrimacronLayer, QueuePolicy, Reply, To,
    User,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use self::support::{App, Polling, Ws, app, asking, is_stuck, notice, settle, tasks};

const SECOND: Duration = Duration::from_secs(1);

fn layer() -> PrimacronLayer {
    PrimacronLayer::in_memory()
        .session_id(chosen)
        .validate("say", |args: &Args, _: &User| args.len() == 1)
        .validate("twice", |args: &Args, _: &User| {
            let text: String = args.get(0).map_err(|_| "a text is wanted")?;
            Ok::<_, &str>(Args::from_values(vec![text.repeat(2).into()]))
        })
        .validate_async("later", |_: Args, _: User| async {
            sleep(SECOND).await;
            true
        })
}

/// The session id is what the query says.
fn chosen(parts: &Parts) -> Option<String> {
    let (_, session) = parts.uri.query()?.split_once("session=")?;
    Some(session.to_owned())
}

fn nothing() -> impl Handler + Clone + Sync {
    tower::service_fn(|message: Message| ready(Ok::<_, Infallible>(answer(&message))))
}

fn answer(message: &Message) -> Reply {
    match message.raw_input().as_str() {
        Some(raw) if raw.contains("\"id\"") => Reply::args(message.args().clone()),
        _ => Reply::none(),
    }
}

fn node(layer: PrimacronLayer) -> (App, Handle) {
    let layer = layer.service(nothing());
    let handle = layer.handle();
    (app(layer), handle)
}

async fn connect(app: &App, account: &str, session: &str) -> Ws {
    let query = format!("account={account}&session={session}");
    let ws = Ws::connect_with(app, &query, 64 * 1024).await;
    settle().await;
    ws
}

fn user(account: &str, session: &str) -> User {
    User::new(account, session, "")
}

fn say(text: &str) -> Value {
    json!({"event": "say", "args": [text]})
}

#[tokio::test(start_paused = true)]
async fn a_follower_hears_what_the_other_one_sends_from_now_on() {
    let (app, handle) = node(layer());
    let mut head = connect(&app, "ann", "head").await;
    let mut tail = connect(&app, "ann", "tail").await;
    let mut other = connect(&app, "ann", "other").await;
    head.emit("say", json!(["before"])).await;
    settle().await;

    handle
        .follow(&user("ann", "tail"), "ann", "head")
        .await
        .unwrap();
    head.emit("say", json!(["hello"])).await;
    head.emit("twice", json!(["ho"])).await;
    head.emit("say", json!([])).await;
    head.emit("nothing", json!([])).await;
    head.send(&asking(7, "say", json!(["asked"]))).await;
    other.emit("say", json!(["somebody else"])).await;
    tail.emit("say", json!(["its own"])).await;

    assert_eq!(tail.message().await, say("hello"));
    let twice = json!({"event": "twice", "args": ["hoho"]});
    assert_eq!(tail.message().await, twice, "as the handler sees it");
    assert_eq!(
        tail.message().await,
        say("asked"),
        "the answer is not its own"
    );
    assert!(
        is_stuck(tail.message()).await,
        "what was refused is not heard"
    );
    assert!(is_stuck(other.message()).await);
}

#[tokio::test(start_paused = true)]
async fn it_is_heard_on_polling_and_after_a_validator_that_asks() {
    let (app, handle) = node(layer());
    let head = Polling::connect_with(&app, "account=ann&session=head").await;
    let mut tail = Polling::connect_with(&app, "account=ann&session=tail").await;
    handle
        .follow(&user("ann", "tail"), "ann", "head")
        .await
        .unwrap();
    head.emit("say", json!(["hello"])).await;
    assert_eq!(tail.message().await, say("hello"));
    head.emit("later", json!([])).await;
    assert_eq!(tail.message().await["event"], "later");
}

#[tokio::test(start_paused = true)]
async fn nobody_follows_another_account_or_somebody_who_is_not_there() {
    let (app, handle) = node(layer());
    let mut head = connect(&app, "ann", "head").await;
    let mut eve = connect(&app, "eve", "tail").await;
    let followed = [
        handle.follow(&user("eve", "tail"), "ann", "head").await,
        handle.follow(&user("ann", "tail"), "ann", "gone").await,
        handle.unfollow(&user("eve", "tail"), "ann", "head").await,
    ];
    let foreign = Err(FollowError::ForeignAccount);
    assert_eq!(followed, [foreign, Err(FollowError::NoSession), foreign]);
    head.emit("say", json!(["hello"])).await;
    assert!(is_stuck(eve.message()).await);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_follow_any_more_hears_nothing() {
    let (app, handle) = node(layer());
    let before = tasks();
    let mut head = connect(&app, "ann", "head").await;
    let mut tail = connect(&app, "ann", "tail").await;
    let with_clients = tasks();
    for _ in 0..2 {
        handle
            .follow(&user("ann", "tail"), "ann", "head")
            .await
            .unwrap();
    }
    head.emit("say", json!(["once"])).await;
    assert_eq!(tail.message().await, say("once"));
    for _ in 0..2 {
        handle
            .unfollow(&user("ann", "tail"), "ann", "head")
            .await
            .unwrap();
    }
    head.emit("say", json!(["again"])).await;
    assert!(is_stuck(tail.message()).await);
    assert!(before < with_clients);
    assert_eq!(tasks(), with_clients, "nothing is left to be looked after");
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_when_both_come_back_under_their_names() {
    let (app, handle) = node(layer());
    let mut head = connect(&app, "ann", "head").await;
    let tail = connect(&app, "ann", "tail").await;
    handle
        .follow(&user("ann", "tail"), "ann", "head")
        .await
        .unwrap();

    drop(tail);
    settle().await;
    let mut tail = connect(&app, "ann", "tail").await;
    head.emit("say", json!(["one"])).await;
    assert_eq!(tail.message().await, say("one"));

    drop(head);
    settle().await;
    sleep(30 * SECOND).await;
    let mut head = connect(&app, "ann", "head").await;
    head.emit("say", json!(["two"])).await;
    assert_eq!(tail.message().await, say("two"));
}

#[tokio::test(start_paused = true)]
async fn what_a_follower_missed_is_counted_and_it_is_told() {
    let (app, handle) = node(layer());
    let mut notices = handle.notices();
    let mut head = connect(&app, "ann", "head").await;
    let tail = connect(&app, "ann", "tail").await;
    handle
        .follow(&user("ann", "tail"), "ann", "head")
        .await
        .unwrap();
    drop(tail);
    settle().await;
    for text in ["one", "two", "three"] {
        head.emit("say", json!([text])).await;
    }
    settle().await;

    let mut tail = connect(&app, "ann", "tail").await;
    head.emit("say", json!(["four"])).await;
    let gap = json!({"event": "follow::gap", "args": ["head", 3]});
    assert_eq!(tail.message().await, gap);
    assert_eq!(tail.message().await, say("four"));
    let Notice::FollowGap {
        account,
        followed,
        follower,
        missed,
        ..
    } = notice(&mut notices, "follow::gap").await
    else {
        unreachable!()
    };
    let named = [&*account, &*followed, &*follower];
    assert_eq!((named, missed), (["ann", "head", "tail"], 3));

    head.emit("say", json!(["five"])).await;
    assert_eq!(tail.message().await, say("five"), "it is told once");
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_does_not_read_misses_something() {
    let layer = layer()
        .queue_limit(1024)
        .queue_policy(QueuePolicy::DropVolatile);
    let (app, handle) = node(layer);
    let mut head = connect(&app, "ann", "head").await;
    let mut tail = Polling::connect_with(&app, "account=ann&session=tail").await;
    handle
        .follow(&user("ann", "tail"), "ann", "head")
        .await
        .unwrap();
    for _ in 0..3 {
        head.emit("say", json!(["x".repeat(600)])).await;
    }
    settle().await;
    assert_eq!(tail.message().await, say(&"x".repeat(600)));
    head.emit("say", json!(["next"])).await;
    let mut missed = 0;
    loop {
        let heard = tail.message().await;
        if heard["event"] == "say" {
            assert_eq!(heard, say("next"));
            break;
        }
        assert_eq!(heard["args"][0], "head");
        missed += heard["args"][1].as_u64().unwrap();
    }
    assert_eq!(missed, 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_by_another_client_what_only_the_library_says() {
    let layer = layer().validate("follow::gap", |_: &Args, _: &User| true);
    let (app, handle) = node(layer);
    let mut head = connect(&app, "ann", "head").await;
    let mut tail = connect(&app, "ann", "tail").await;
    let follower = user("ann", "tail");
    handle.follow(&follower, "ann", "head").await.unwrap();
    head.emit("follow::gap", json!(["head", 100])).await;
    head.emit("say", json!(["hello"])).await;
    assert_eq!(tail.message().await, say("hello"));
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_for_a_minute_follows_nobody() {
    let (app, handle) = node(layer().ping_interval(3600 * SECOND));
    let mut notices = handle.notices();
    let mut head = connect(&app, "ann", "head").await;
    let tail = connect(&app, "ann", "tail").await;
    handle
        .follow(&user("ann", "tail"), "ann", "head")
        .await
        .unwrap();
    drop(tail);
    settle().await;
    head.emit("say", json!(["lost"])).await;
    sleep(100 * SECOND).await;
    assert_eq!(handle.count(To::session("ann", "head")), 1);
    notice(&mut notices, "follow::gap").await;

    let mut tail = connect(&app, "ann", "tail").await;
    head.emit("say", json!(["hello"])).await;
    assert!(is_stuck(tail.message()).await);
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_for_a_minute_is_not_followed() {
    let (app, handle) = node(layer());
    let before = tasks();
    let head = connect(&app, "ann", "head").await;
    let tail = connect(&app, "ann", "tail").await;
    handle
        .follow(&user("ann", "tail"), "ann", "head")
        .await
        .unwrap();
    drop((head, tail));
    settle().await;
    assert!(tasks() > before, "they may come back");
    sleep(100 * SECOND).await;
    assert_eq!(tasks(), before);
    let mut head = connect(&app, "ann", "head").await;
    let mut tail = connect(&app, "ann", "tail").await;
    head.emit("say", json!(["hello"])).await;
    assert!(is_stuck(tail.message()).await);
}

#[tokio::test(start_paused = true)]
async fn so_many_follow_one_and_no_more() {
    let (app, handle) = node(layer());
    let _head = connect(&app, "ann", "head").await;
    for number in 0..64 {
        let follower = user("ann", &number.to_string());
        handle.follow(&follower, "ann", "head").await.unwrap();
    }
    let one_more = handle.follow(&user("ann", "64"), "ann", "head").await;
    assert_eq!(one_more, Err(FollowError::TooMany));
    let again = handle.follow(&user("ann", "3"), "ann", "head").await;
    assert_eq!(again, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn the_node_ends_though_somebody_follows() {
    let before = tasks();
    let (app, handle) = node(layer());
    let head = connect(&app, "ann", "head").await;
    handle
        .follow(&user("ann", "tail"), "ann", "head")
        .await
        .unwrap();
    drop((app, handle, head));
    settle().await;
    assert_eq!(tasks(), before);
}
