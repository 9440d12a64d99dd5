//! Presence in a Redis Cluster, whose masters are lost one at a time.

use std::time::Duration;

use tokio::time::Instant;

use crate::cast::{SETTLED, SLOWEST, after};
use crate::support_redis::{Client, Find, NodeProcess, RedisCluster, Watch, until};

/// So many accounts are on every master, with luck that never fails.
const ACCOUNTS: usize = 16;

/// How often each of them is looked for.
const PACE: Duration = Duration::from_millis(40);

/// A session that never was.
const NOBODY: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// A namespace, and where all nodes keep their leases in it.
const NAMESPACE: &str = "cluster";
const LEASES: &str = "{cluster:n}:leases";

/// Clients of one node, and who looks for them all the time on another one.
pub(crate) struct Crowd {
    pub(crate) cluster: RedisCluster,
    pub(crate) home: NodeProcess,
    pub(crate) other: NodeProcess,
    pub(crate) clients: Vec<Client>,
    pub(crate) watches: Vec<Watch>,
    /// The master without which the nodes cannot tell who lives.
    leases: usize,
}

#[tokio::test]
async fn a_lost_master_takes_only_its_own_accounts_along() {
    let mut crowd = Crowd::start().await;
    for master in 0..3 {
        crowd.lose(master).await;
    }
}

#[tokio::test]
async fn a_cluster_that_was_flushed_one_master_after_the_other_is_never_a_false_answer() {
    let crowd = Crowd::start().await;
    for master in &crowd.cluster.masters {
        master.flush().await;
        after(Instant::now(), Duration::from_millis(700)).await;
    }
    crowd.cluster.flush().await;
    crowd.until_all_are_found(Instant::now()).await;
}

impl Crowd {
    pub(crate) async fn start() -> Self {
        Self::of(RedisCluster::start().await).await
    }

    pub(crate) async fn of(cluster: RedisCluster) -> Self {
        let home = NodeProcess::start(&cluster.url(), NAMESPACE).await;
        let other = NodeProcess::start(&cluster.url(), NAMESPACE).await;
        home.until_presence("synced").await;
        other.until_presence("synced").await;
        let leases = cluster.master_of(LEASES).await;
        let (mut clients, mut watches) = (Vec::new(), Vec::new());
        for number in 0..ACCOUNTS {
            let client = home.client(&format!("account-{number}")).await;
            let observer = other.client("observer").await;
            let watch = Watch::every(PACE, observer, &client.account, &client.session);
            clients.push(client);
            watches.push(watch);
        }
        let crowd = Self {
            cluster,
            home,
            other,
            clients,
            watches,
            leases,
        };
        crowd.until_all_are_found(Instant::now()).await;
        crowd
    }

    /// Kills a master and starts it again, empty.
    async fn lose(&mut self, master: usize) {
        self.cluster.masters[master].kill();
        let lost = Instant::now();
        // Before that, nobody needs to have noticed.
        after(lost, SETTLED).await;
        self.assert_others_are_exact(master).await;
        println!("without master {master}, exact after {:?}", lost.elapsed());

        self.cluster.masters[master].restart().await;
        self.assert_heals().await;
    }

    /// Waits until the accounts of the other masters are exact, of whoever was there and of whoever
    /// comes now; but without the leases nobody knows anything.
    pub(crate) async fn assert_others_are_exact(&self, lost: usize) {
        if self.leases == lost {
            return self.assert_nobody_is_known(Instant::now()).await;
        }
        let exact = until("others are exact", async || self.exact_accounts().await).await;
        assert!(exact < ACCOUNTS, "some accounts were on the lost master");
        self.assert_finds_who_comes_now(exact).await;
    }

    /// Waits until nothing is said of anybody.
    pub(crate) async fn assert_nobody_is_known(&self, since: Instant) {
        for watch in &self.watches {
            watch.until(since, |find| *find == Find::Uncertain).await;
        }
    }

    /// Waits until all is as it was, and checks that nothing false was said and nobody closed.
    pub(crate) async fn assert_heals(&mut self) {
        self.cluster.until_whole().await;
        self.assert_all_live(Instant::now()).await;
    }

    /// The same, whatever became of the Cluster.
    pub(crate) async fn assert_all_live(&mut self, since: Instant) {
        self.until_all_are_found(since).await;
        for client in &mut self.clients {
            client.assert_alive().await;
        }
    }

    /// How many accounts are known to have who is there and not to have who is not, once that is
    /// so of some and nothing is known of the others.
    async fn exact_accounts(&self) -> Option<usize> {
        let since = Instant::now();
        let mut observer = self.other.client("observer").await;
        let mut exact = 0;
        for (client, watch) in self.clients.iter().zip(&self.watches) {
            let here = watch.until(since, |_| true).await.find;
            let nobody = observer
                .find(&client.account, NOBODY)
                .await
                .expect("an answer");
            match (here, nobody) {
                (Find::Found(_), Find::NotFound) => exact += 1,
                (Find::Uncertain, Find::Uncertain) => {}
                odd @ ((Find::NotFound, _) | (_, Find::Found(_))) => {
                    panic!("{}: {odd:?}", client.account)
                }
                // It became known, or doubtful, between the two questions.
                _ => return None,
            }
        }
        (exact > 0).then_some(exact)
    }

    /// Who comes now is found, for as many accounts as are exact, and nobody is kept waiting for the
    /// others.
    async fn assert_finds_who_comes_now(&self, exact: usize) {
        let mut newcomers = Vec::new();
        for client in &self.clients {
            let came = Instant::now();
            newcomers.push(self.home.client(&client.account).await);
            let took = came.elapsed();
            assert!(took <= SLOWEST, "{} waited {took:?}", client.account);
        }
        let mut observer = self.other.client("observer").await;
        until("who comes is found", async || {
            let mut found = 0;
            for newcomer in &newcomers {
                let find = observer.find(&newcomer.account, &newcomer.session);
                found += usize::from(find.await.expect("an answer").is_found());
            }
            (found == exact).then_some(())
        })
        .await;
    }

    pub(crate) async fn until_all_are_found(&self, since: Instant) {
        for watch in &self.watches {
            watch.until(since, Find::is_found).await;
            watch.assert_never_lost(SLOWEST);
        }
        println!("all are found after {:?}", since.elapsed());
    }
}
