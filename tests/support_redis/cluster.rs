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
            let bus = other.run("CONFIG GET cluster-port").await.array()[1].text();
            let meet = format!("CLUSTER MEET 127.0.0.1 {} {bus}", other.port());
            first.run(&meet).await.assert_ok();
        }
        cluster.until_whole().await;
        cluster
    }

    /// What `--redis` of a node takes.
    pub(crate) fn url(&self) -> String {
        self.masters.each_ref().map(Redis::url).join(",")
    }

    /// The master that has the slot of a key.
    pub(crate) async fn master_of(&self, key: &str) -> usize {
        let slot = self.masters[0].command(&["CLUSTER", "KEYSLOT", key]).await;
        let slot = u16::try_from(slot.integer()).expect("a slot");
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

fn flags(more: &str) -> String {
    format!(
        "--cluster-enabled yes --cluster-port {} --cluster-node-timeout {NODE_TIMEOUT} \
         --cluster-require-full-coverage no {more}",
        ports::free()
    )
}
