//! A master, its replica, and a Sentinel that watches them.

use super::redis::{Redis, ask};
use super::resp::Reply;
use super::until;

/// Milliseconds after which a silent master counts as lost.
const DOWN_AFTER: &str = "1000";

/// Two servers and who decides between them.
#[derive(Debug)]
pub(crate) struct RedisSentinel {
    pub(crate) master: Redis,
    pub(crate) replica: Redis,
    pub(crate) sentinel: Redis,
}

impl RedisSentinel {
    /// What the Sentinel calls the two.
    pub(crate) const NAME: &str = "primacron";

    pub(crate) async fn start() -> Self {
        let master = Redis::start().await;
        let of = master.port();
        let replica = Redis::with(&format!("--replicaof 127.0.0.1 {of}")).await;
        master
            .run("CONFIG SET repl-diskless-sync-delay 0")
            .await
            .assert_ok();
        until("the replica follows", async || {
            let info = replica.info("replication").await;
            (info["master_link_status"] == "up").then_some(())
        })
        .await;
        let sentinel = Redis::sentinel().await;
        let port = of.to_string();
        let monitor = ["SENTINEL", "MONITOR", Self::NAME, "127.0.0.1", &port, "1"];
        sentinel.command(&monitor).await.assert_ok();
        let set = [
            "SENTINEL",
            "SET",
            Self::NAME,
            "down-after-milliseconds",
            DOWN_AFTER,
        ];
        sentinel.command(&set).await.assert_ok();
        let set = ["SENTINEL", "SET", Self::NAME, "failover-timeout", "3000"];
        sentinel.command(&set).await.assert_ok();
        let started = Self {
            master,
            replica,
            sentinel,
        };
        started.until_replica_is_known().await;
        started
    }

    /// Where the Sentinel listens.
    pub(crate) fn url(&self) -> String {
        self.sentinel.url()
    }

    /// Waits until the Sentinel says that the replica is the master, and that one agrees.
    pub(crate) async fn until_failed_over(&self) {
        let replica = self.replica.port().to_string();
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::NAME];
        until("the replica is the master", async || {
            let address = self.sentinel.command(&words).await;
            let role = ask(self.replica.port(), &["ROLE"]).await.ok()?;
            let agrees = role.array()[0].text() == "master";
            (agrees && address.array()[1].text() == replica).then_some(())
        })
        .await;
    }

    async fn until_replica_is_known(&self) {
        let words = ["SENTINEL", "REPLICAS", Self::NAME];
        until("the Sentinel knows the replica", async || {
            let replicas = self.sentinel.command(&words).await;
            let known = replicas.array().first()?.array();
            let flags = known
                .iter()
                .position(|word| *word == Reply::Bulk(b"flags".to_vec()))?;
            (known[flags + 1].text() == "slave").then_some(())
        })
        .await;
    }
}
