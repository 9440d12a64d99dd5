//! A Redis Cluster of three masters without replicas.

use super::redis::Redis;
use super::resp::Reply;
use super::{ports, until};

/// Slots of every Cluster.
const SLOTS: u16 = 16_384;

/// Milliseconds after which a master counts as lost.
const NODE_TIMEOUT: u16 = 1_000;

/// Masters that share the slots in three equal parts. A lost one takes only its own part along.
#[derive(Debug)]
pub(crate) struct RedisCluster {
    pub(crate) masters: [Redis; 3],
}

impl RedisCluster {
    pub(crate) async fn start() -> Self {
        Self::with([const { String::new() }; 3]).await
    }

    /// Masters with more flags, each its own.
    pub(crate) async fn with([first, second, third]: [String; 3]) -> Self {
        let masters = [
            Redis::with(&flags(&first)).await,
            Redis::with(&flags(&second)).await,
            Redis::with(&flags(&third)).await,
        ];
        let cluster = Self { masters };
        for (index, master) in (0..).zip(&cluster.masters) {
            let (first, last) = (SLOTS * index / 3, SLOTS / 3 * (index + 1));
            let last = if index == 2 { SLOTS } else { last } - 1;
            let assigned = format!("CLUSTER ADDSLOTSRANGE {first} {last}");
            master.run(&assigned).await.assert_ok();
            master
                .run(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1))
                .await
                .assert_ok();
        }
        let [first, others @ ..] = &cluster.masters;
        for other in others {
            meet(first, other).await;
        }
        cluster.until_whole().await;
        cluster
    }

    /// A server that takes over when its master is lost.
    pub(crate) async fn replica_of(&self, master: usize) -> Redis {
        let replica = Redis::with(&flags("")).await;
        let master = &self.masters[master];
        meet(&replica, master).await;
        let id = master.run("CLUSTER MYID").await.text();
        until("the replica knows its master", async || {
            let replicate = replica.run(&format!("CLUSTER REPLICATE {id}")).await;
            (replicate == Reply::Simple("OK".to_owned())).then_some(())
        })
        .await;
        until("the replica follows", async || {
            let info = replica.info("replication").await;
            (info["master_link_status"] == "up").then_some(())
        })
        .await;
        for one in &self.masters {
            until("all know the replica", async || {
                let nodes = one.run("CLUSTER NODES").await.text();
                let mut lines = nodes.lines();
                lines
                    .any(|line| line.contains(" slave ") && line.contains(&id))
                    .then_some(())
            })
            .await;
        }
        replica
    }

    /// Moves a slot from one master to another, a key after the other and markers first, which is
    /// as good an order as any; `meanwhile` is awaited before each.
    pub(crate) async fn move_slot(
        &self,
        slot: u16,
        [from, to]: [usize; 2],
        mut meanwhile: impl AsyncFnMut(),
    ) {
        let [from, to] = [&self.masters[from], &self.masters[to]];
        let ids = [
            from.run("CLUSTER MYID").await.text(),
            to.run("CLUSTER MYID").await.text(),
        ];
        let set = async |on: &Redis, rest: &str| {
            on.run(&format!("CLUSTER SETSLOT {slot} {rest}"))
                .await
                .assert_ok();
        };
        set(to, &format!("IMPORTING {}", ids[0])).await;
        set(from, &format!("MIGRATING {}", ids[1])).await;
        loop {
            meanwhile().await;
            let keys = from.run(&format!("CLUSTER GETKEYSINSLOT {slot} 100")).await;
            let keys: Vec<String> = keys.array().iter().map(Reply::text).collect();
            let marker = keys.iter().find(|key| key.ends_with("}:m"));
            let Some(key) = marker.or_else(|| keys.first()) else {
                break;
            };
            let port = to.port().to_string();
            let migrate = ["MIGRATE", "127.0.0.1", &port, key, "0", "5000"];
            // It may have gone by itself; but nobody may have written it anew where it goes.
            from.command(&migrate).await.text();
        }
        for on in [to, from].into_iter().chain(&self.masters) {
            set(on, &format!("NODE {}", ids[1])).await;
        }
    }

    /// What `--redis` of a node takes.
    pub(crate) fn url(&self) -> String {
        self.masters.each_ref().map(Redis::url).join(",")
    }

    pub(crate) async fn slot_of(&self, key: &str) -> u16 {
        let slot = self.masters[0].command(&["CLUSTER", "KEYSLOT", key]).await;
        u16::try_from(slot.integer()).expect("a slot")
    }

    /// The master that has the slot of a key at the start.
    pub(crate) async fn master_of(&self, key: &str) -> usize {
        let slot = self.slot_of(key).await;
        usize::from(
            (0..3)
                .rfind(|index| SLOTS * index / 3 <= slot)
                .expect("a part"),
        )
    }

    /// Waits until every master knows that all slots are served.
    pub(crate) async fn until_whole(&self) {
        for master in &self.masters {
            until("the cluster is whole", async || {
                let info = master.command(&["CLUSTER", "INFO"]).await.text();
                let whole = [
                    "cluster_state:ok",
                    "cluster_slots_ok:16384",
                    "cluster_known_nodes:3",
                ];
                whole.iter().all(|line| info.contains(line)).then_some(())
            })
            .await;
        }
    }

    /// The names of all keys of all masters.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for master in &self.masters {
            keys.extend(master.keys().await);
        }
        keys
    }

    pub(crate) async fn flush(&self) {
        for master in &self.masters {
            assert_eq!(master.run("FLUSHALL").await, Reply::Simple("OK".to_owned()));
        }
    }
}

async fn meet(one: &Redis, other: &Redis) {
    let bus = other.run("CONFIG GET cluster-port").await.array()[1].text();
    let meet = format!("CLUSTER MEET 127.0.0.1 {} {bus}", other.port());
    one.run(&meet).await.assert_ok();
}

fn flags(more: &str) -> String {
    format!(
        "--cluster-enabled yes --cluster-port {} --cluster-node-timeout {NODE_TIMEOUT} \
         --cluster-require-full-coverage no {more}",
        ports::free()
    )
}
