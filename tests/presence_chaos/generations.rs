//! The same session on several nodes: the newest connection has it, whatever comes late.
//!
//! The nodes are in this process, for session ids of the tests' choice.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use deadpool_redis::{Config, Runtime};
use http::request::Parts;
use primacron::{Args, CloseReason, Find, Handle, Message, Notice, Notices, PrimacronLayer, User};
use tokio::time::Instant;

use crate::cast::{FORGOTTEN, after};
use crate::support::{App, Ws, app, notice};
use crate::support_redis::{Link, Redis, until};

const QUERY: &str = "account=ann&session=s";

pub(crate) struct Member {
    app: App,
    pub(crate) handle: Handle,
}

impl Member {
    pub(crate) async fn start(redis: &str) -> Self {
        let config = Config::from_url(redis);
        let pool = config
            .create_pool(Some(Runtime::Tokio1))
            .expect("an address");
        let member = Self::of(PrimacronLayer::new(pool).namespace("generations"));
        // A fallback of axum applies its layers with its first request; a question comes first.
        member.until_synced().await;
        member
    }

    pub(crate) fn of(layer: PrimacronLayer) -> Self {
        let layer = layer
            .session_id(chosen)
            .validate("echo", |_: &Args, _: &User| true)
            .service(tower::service_fn(|_: Message| {
                ready(Ok::<_, Infallible>(()))
            }));
        let handle = layer.handle();
        Self {
            app: app(layer),
            handle,
        }
    }

    pub(crate) async fn until_synced(&self) {
        until("presence is synced", async || {
            (self.handle.presence_state().name() == "synced").then_some(())
        })
        .await;
    }

    pub(crate) async fn connect(&self, query: &str) -> Ws {
        Ws::connect_with(&self.app, query, 1024).await
    }

    async fn find(&self, account: &str, session: &str) -> Find {
        self.handle.find(account, session).await
    }

    /// Waits until a session is found on a node.
    pub(crate) async fn until_on(&self, account: &str, session: &str, node: &Self) {
        let found = Find::Found(node.handle.node_id().into());
        until("the session is found there", async || {
            (self.find(account, session).await == found).then_some(())
        })
        .await;
    }

    /// Checks that a session stays on a node while everything late arrives.
    async fn assert_stays_on(&self, account: &str, session: &str, node: &Self) {
        let found = Find::Found(node.handle.node_id().into());
        let start = Instant::now();
        while start.elapsed() < FORGOTTEN {
            assert_eq!(self.find(account, session).await, found);
            after(Instant::now(), Duration::from_millis(20)).await;
        }
    }
}

/// The session id is what the query says.
fn chosen(parts: &Parts) -> Option<String> {
    let (_, session) = parts.uri.query()?.split_once("session=")?;
    Some(session.to_owned())
}

async fn reason(notices: &mut Notices) -> CloseReason {
    match notice(notices, "disconnect").await {
        Notice::Disconnect { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_late_disconnect_does_not_remove_a_newer_connect() {
    let redis = Redis::start().await;
    let link = Link::to(redis.port()).await;
    let old = Member::start(&link.url()).await;
    let (new, observer) = (
        Member::start(&redis.url()).await,
        Member::start(&redis.url()).await,
    );
    let client = old.connect(QUERY).await;
    observer.until_on("ann", "s", &old).await;

    link.hold();
    let mut notices = old.handle.notices();
    drop(client);
    notice(&mut notices, "disconnect").await;
    let _client = new.connect(QUERY).await;
    observer.until_on("ann", "s", &new).await;
    link.mend();

    observer.assert_stays_on("ann", "s", &new).await;
    old.until_synced().await;
}

#[tokio::test]
async fn a_late_connect_does_not_take_over_a_newer_one() {
    let redis = Redis::start().await;
    let link = Link::to(redis.port()).await;
    let old = Member::start(&link.url()).await;
    let (new, observer) = (
        Member::start(&redis.url()).await,
        Member::start(&redis.url()).await,
    );

    link.hold();
    let mut client = old.connect(QUERY).await;
    // Later by more than clocks of machines differ within a moment.
    after(Instant::now(), Duration::from_millis(1_500)).await;
    let _client = new.connect(QUERY).await;
    observer.until_on("ann", "s", &new).await;
    let mut notices = old.handle.notices();
    link.mend();

    observer.assert_stays_on("ann", "s", &new).await;
    assert_eq!(reason(&mut notices).await, CloseReason::Superseded);
    assert_eq!(client.until_closed().await, Some(1008));
}

#[tokio::test]
async fn a_connect_that_arrives_after_its_disconnect_leaves_nobody_behind() {
    let redis = Redis::start().await;
    let link = Link::to(redis.port()).await;
    let node = Member::start(&link.url()).await;
    let observer = Member::start(&redis.url()).await;

    link.strand();
    let client = node.connect(QUERY).await;
    observer.until_on("ann", "s", &node).await;
    drop(client);
    until("nobody is there", async || {
        (observer.find("ann", "s").await == Find::NotFound).then_some(())
    })
    .await;
    link.mend();

    let start = Instant::now();
    while start.elapsed() < FORGOTTEN {
        assert_eq!(observer.find("ann", "s").await, Find::NotFound);
        after(Instant::now(), Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_connect_elsewhere_takes_over_and_the_older_one_is_closed() {
    let redis = Redis::start().await;
    let (old, new) = (
        Member::start(&redis.url()).await,
        Member::start(&redis.url()).await,
    );
    let observer = Member::start(&redis.url()).await;
    let mut older = old.connect(QUERY).await;
    observer.until_on("ann", "s", &old).await;
    let mut notices = old.handle.notices();

    let _newer = new.connect(QUERY).await;

    assert_eq!(older.until_closed().await, Some(1008));
    assert_eq!(reason(&mut notices).await, CloseReason::Superseded);
    observer.until_on("ann", "s", &new).await;
    observer.assert_stays_on("ann", "s", &new).await;
}

#[tokio::test]
async fn a_session_that_moves_to_and_fro_is_where_it_came_last() {
    let redis = Redis::start().await;
    let (one, two) = (
        Member::start(&redis.url()).await,
        Member::start(&redis.url()).await,
    );
    let observer = Member::start(&redis.url()).await;
    let first = one.connect(QUERY).await;
    observer.until_on("ann", "s", &one).await;

    let mut clients = vec![first];
    for node in [&two, &one].into_iter().cycle().take(21) {
        clients.push(node.connect(QUERY).await);
        if clients.len() % 4 == 0 {
            // Some close by themselves, at the same time as they are displaced.
            drop(clients.remove(0));
        }
    }

    observer.until_on("ann", "s", &two).await;
    observer.assert_stays_on("ann", "s", &two).await;
}

#[tokio::test]
async fn names_that_join_to_the_same_text_are_two_sessions() {
    let redis = Redis::start().await;
    let (node, observer) = (
        Member::start(&redis.url()).await,
        Member::start(&redis.url()).await,
    );
    let one = node.connect("account=a::b&session=c").await;
    let _two = node.connect("account=a&session=b::c").await;
    observer.until_on("a::b", "c", &node).await;
    observer.until_on("a", "b::c", &node).await;

    drop(one);

    until("the first is gone", async || {
        (observer.find("a::b", "c").await == Find::NotFound).then_some(())
    })
    .await;
    observer.assert_stays_on("a", "b::c", &node).await;
}
