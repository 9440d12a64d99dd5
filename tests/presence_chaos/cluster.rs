//! Presence in a Redis Cluster, whose masters are lost one at a time.

use std::time::Duration;

use tokio::time::Instant;

use crate::cast::{SETTLED, SLOWEST, after};
use crate::support_redis::{Client, Find, NodeProcess, RedisCluster, Watch};

/// So many accounts are on every master, with luck that never fails.
const ACCOUNTS: usize = 16;

/// How often each of them is looked for.
const PACE: Duration = Duration::from_millis(40);

/// By then the accounts of the other masters are exact: the client library may have to be given up
/// once or twice while it learns of the loss.
const EXACT: Duration = Duration::from_secs(10);

/// A session that never was.
const NOBODY: &str = "AAAAAAAAAAAAAAAAAAAAAA";

struct Crowd {
    cluster: RedisCluster,
    home: NodeProcess,
    other: NodeProcess,
    clients: Vec<Client>,
    watches: Vec<Watch>,
}

#[tokio::test]
async fn a_lost_master_takes_only_its_own_accounts_along() {
    let mut crowd = Crowd::start().await;
    let mut exact = 0;
    for master in 0..3 {
        exact += usize::from(crowd.lose(master).await);
    }
    // The leases of the nodes are on the third.
    assert!(exact >= 2, "exact without {exact} of three masters");
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
    async fn start() -> Self {
        let cluster = RedisCluster::start().await;
        let home = NodeProcess::start(&cluster.url(), "cluster").await;
        let other = NodeProcess::start(&cluster.url(), "cluster").await;
        home.until_presence("synced").await;
        other.until_presence("synced").await;
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
        };
        crowd.until_all_are_found(Instant::now()).await;
        crowd
    }

    /// Kills a master and starts it again, empty. Says whether other accounts stayed exact.
    async fn lose(&mut self, master: usize) -> bool {
        self.cluster.masters[master].kill();
        let lost = Instant::now();
        after(lost, SETTLED).await;
        let mut exact = None;
        while exact.is_none() && lost.elapsed() < EXACT {
            exact = self.exact_accounts().await;
        }
        let (took, exact) = (lost.elapsed(), exact.unwrap_or(0));
        println!("without master {master}, {exact} of {ACCOUNTS} accounts are exact in {took:?}");
        if exact > 0 {
            self.assert_finds_who_comes_now(exact).await;
        }
        assert!(exact < ACCOUNTS, "some accounts were on the lost master");

        self.cluster.masters[master].restart().await;
        self.cluster.until_whole().await;
        self.until_all_are_found(Instant::now()).await;
        for client in &mut self.clients {
            client.assert_alive().await;
        }
        exact > 0
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
                (_, Find::Uncertain) => return None,
                odd => panic!("{}: {odd:?}", client.account),
            }
        }
        (exact > 0).then_some(exact)
    }

    /// Who comes now is found at once, for as many accounts as are exact; who comes to the others
    /// does not wait for them.
    async fn assert_finds_who_comes_now(&self, exact: usize) {
        let mut observer = self.other.client("observer").await;
        let mut found = 0;
        for client in &self.clients {
            let newcomer = self.home.client(&client.account).await;
            let find = observer.find(&client.account, &newcomer.session).await;
            match find.expect("an answer") {
                Find::Found(_) => found += 1,
                Find::Uncertain => {}
                Find::NotFound => panic!("{}: a false answer", client.account),
            }
        }
        assert_eq!(found, exact);
    }

    async fn until_all_are_found(&self, since: Instant) {
        for watch in &self.watches {
            let found = watch.until(since, Find::is_found).await;
            let took = found.asked.saturating_duration_since(since);
            assert!(took <= SETTLED, "found after {took:?}");
            watch.assert_never_lost(SLOWEST);
        }
        println!("all are found after {:?}", since.elapsed());
    }
}
