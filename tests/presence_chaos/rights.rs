//! A Redis that does not let everybody do everything, or has no room left.

use deadpool_redis::{Config, Runtime};
use primacron::{Find, Handle, Notice, Notices, PrimacronLayer};
use tokio::time::timeout;

use crate::generations::Member;
use crate::support::Ws;
use crate::support_redis::{PATIENCE, Redis, until};

/// What a user needs, as the documentation of `IntoRedis` says.
const NEEDED: &str = "+@read +@write +@scripting +@connection -@dangerous +time +info";

/// A node of one user of a Redis, and what it tells.
struct Guest {
    member: Member,
    notices: Notices,
}

impl Guest {
    /// A node of the user `app`.
    fn start(redis: &Redis) -> Self {
        Self::at(&format!("redis://app:secret@127.0.0.1:{}", redis.port()))
    }

    fn at(url: &str) -> Self {
        let pool = Config::from_url(url).create_pool(Some(Runtime::Tokio1));
        let layer = PrimacronLayer::new(pool.expect("an address")).namespace("rights");
        let member = Member::of(layer);
        let notices = member.handle.notices();
        // A question comes first, as with every member.
        assert_ne!(member.handle.presence_state().name(), "synced");
        Self { member, notices }
    }

    fn handle(&self) -> &Handle {
        &self.member.handle
    }

    async fn connect(&self, session: &str) -> Ws {
        let query = format!("account=ann&session={session}");
        self.member.connect(&query).await
    }

    /// What the next notice of a kind says.
    async fn told(&mut self, text: impl Fn(Notice) -> Option<String>) -> String {
        let told = async {
            loop {
                let notice = self.notices.next().await.expect("the node lives");
                if let Some(text) = text(notice) {
                    return text;
                }
            }
        };
        timeout(PATIENCE, told).await.expect("a notice")
    }

    /// Why presence is offline.
    async fn offline(&mut self) -> String {
        self.told(|notice| match notice {
            Notice::PresenceOffline { error, .. } => Some(error),
            _ => None,
        })
        .await
    }

    /// Why the bus is offline.
    async fn bus_offline(&mut self) -> String {
        self.told(|notice| match notice {
            Notice::BusOffline { error, .. } => Some(error),
            _ => None,
        })
        .await
    }

    /// Why an entry was not stored.
    async fn not_stored(&mut self) -> String {
        self.told(|notice| match notice {
            Notice::ConnectError { error, .. } => Some(error),
            _ => None,
        })
        .await
    }
}

/// Lets the user `app` do this and nothing else.
async fn allow(redis: &Redis, rights: &str) {
    let reset = "ACL SETUSER app reset on >secret";
    redis.run(&format!("{reset} {rights}")).await.assert_ok();
}

#[tokio::test]
async fn a_user_with_the_rights_of_the_documentation_is_denied_nothing() {
    let redis = Redis::start().await;
    allow(&redis, &format!("~{{rights:* {NEEDED}")).await;
    let (one, two) = (Guest::start(&redis), Guest::start(&redis));
    one.member.until_synced().await;
    two.member.until_synced().await;

    let client = one.connect("s").await;
    two.member.until_on("ann", "s", &one.member).await;
    drop(client);
    until("its session is gone", async || {
        let find = two.handle().find("ann", "s").await;
        (find == Find::NotFound).then_some(())
    })
    .await;
    assert_eq!(redis.run("ACL LOG").await.array(), []);
}

#[tokio::test]
async fn who_may_not_ask_for_settings_misses_nothing_else() {
    let redis = Redis::start().await;
    allow(&redis, "~* +@all -info -config").await;
    let one = Guest::start(&redis);
    one.member.until_synced().await;
    let _client = one.connect("s").await;
    let two = Guest::start(&redis);
    two.member.until_on("ann", "s", &one.member).await;
}

#[tokio::test]
async fn who_may_not_run_scripts_is_told_so_and_serves_alone() {
    let redis = Redis::start().await;
    allow(&redis, "~* +@all -@scripting").await;
    let mut guest = Guest::start(&redis);
    let error = guest.offline().await;
    assert!(error.contains("permission"), "{error}");
    let _client = guest.connect("s").await;
    let error = guest.not_stored().await;
    assert!(error.contains("permission"), "{error}");
    assert_eq!(guest.handle().find("ann", "other").await, Find::Uncertain);

    allow(&redis, "~* +@all").await;
    guest.member.until_synced().await;
}

#[tokio::test]
async fn who_may_not_touch_the_keys_is_told_so() {
    let redis = Redis::start().await;
    allow(&redis, "~others:* +@all").await;
    let error = Guest::start(&redis).offline().await;
    assert!(error.contains("permission"), "{error}");
}

#[tokio::test]
async fn who_may_not_read_streams_has_presence_without_a_bus() {
    let redis = Redis::start().await;
    allow(&redis, "~* +@all -xread").await;
    let mut guest = Guest::start(&redis);
    guest.member.until_synced().await;
    let error = guest.bus_offline().await;
    assert!(error.contains("permission"), "{error}");
}

#[tokio::test]
async fn who_loses_a_right_meanwhile_is_told_and_heals_with_it() {
    let redis = Redis::start().await;
    allow(&redis, "~* +@all").await;
    let mut guest = Guest::start(&redis);
    guest.member.until_synced().await;
    let _client = guest.connect("s").await;
    allow(&redis, "~* +@all -hset").await;
    let error = guest.offline().await;
    assert!(error.contains("can't run this command"), "{error}");
    allow(&redis, "~* +@all").await;
    guest.member.until_synced().await;
    let other = Guest::start(&redis);
    other.member.until_on("ann", "s", &guest.member).await;
}

#[tokio::test]
async fn a_password_is_asked_for_and_taken_from_the_url() {
    let redis = Redis::start().await;
    redis.run("CONFIG SET requirepass secret").await.assert_ok();
    let port = redis.port();
    let known = Guest::at(&format!("redis://:secret@127.0.0.1:{port}"));
    known.member.until_synced().await;

    let error = Guest::at(&redis.url()).offline().await;
    assert!(error.contains("uthentication required"), "{error}");
    let wrong = format!("redis://:wrong@127.0.0.1:{port}");
    let error = Guest::at(&wrong).offline().await;
    assert!(error.contains("assword"), "{error}");
    assert!(!error.contains("wrong@"), "{error}");
}

#[tokio::test]
async fn a_replica_is_no_place_to_write_until_it_is_a_master() {
    let master = Redis::start().await;
    let replica = Redis::with(&format!("--replicaof 127.0.0.1 {}", master.port())).await;
    let mut guest = Guest::at(&replica.url());
    let error = guest.offline().await;
    assert!(error.contains("read only"), "{error}");
    let _client = guest.connect("s").await;
    assert_eq!(guest.handle().find("ann", "other").await, Find::Uncertain);

    replica.run("REPLICAOF NO ONE").await.assert_ok();
    guest.member.until_synced().await;
    let other = Guest::at(&replica.url());
    other.member.until_on("ann", "s", &guest.member).await;
}

#[tokio::test]
async fn a_full_memory_is_told_of_and_nothing_is_lost_when_there_is_room_again() {
    let redis = Redis::start().await;
    let (mut one, two) = (Guest::at(&redis.url()), Guest::at(&redis.url()));
    one.member.until_synced().await;
    two.member.until_synced().await;
    let early = one.connect("early").await;
    two.member.until_on("ann", "early", &one.member).await;

    redis.run("CONFIG SET maxmemory 1").await.assert_ok();
    let error = one.offline().await;
    assert!(error.contains("maxmemory"), "{error}");
    let _late = one.connect("late").await;
    let error = one.not_stored().await;
    assert!(error.contains("maxmemory"), "{error}");
    drop(early);
    for session in ["early", "late", "other"] {
        assert_ne!(two.handle().find("bob", session).await, Find::NotFound);
    }

    redis.run("CONFIG SET maxmemory 0").await.assert_ok();
    one.member.until_synced().await;
    two.member.until_on("ann", "late", &one.member).await;
    until("who left is gone", async || {
        let find = two.handle().find("ann", "early").await;
        (find == Find::NotFound).then_some(())
    })
    .await;
}
