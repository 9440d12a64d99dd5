//! Nodes and clients that most scenarios begin with.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::support_redis::{Client, NodeProcess, Watch};

/// A killed node's sessions are not found on it any more after so long.
pub(crate) const FORGOTTEN: Duration = Duration::from_secs(3);

/// So long it takes at most until everything is as it should be: a killed node's sessions are gone,
/// and what came back is complete.
pub(crate) const SETTLED: Duration = Duration::from_secs(5);

/// An answer to `find` takes at most so long, whatever Redis does: it is asked at most twice, for a
/// second each, by a machine that has other things to do.
pub(crate) const SLOWEST: Duration = Duration::from_secs(4);

/// A client on one node, and another node that looks at it all the time.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) home: NodeProcess,
    pub(crate) other: NodeProcess,
    pub(crate) client: Client,
    pub(crate) watch: Watch,
}

impl Cast {
    /// The session has been found when this is ready.
    pub(crate) async fn start(redis: &str, namespace: &str) -> Self {
        let home = NodeProcess::start(redis, namespace).await;
        let other = NodeProcess::start(redis, namespace).await;
        Self::of(home, other).await
    }

    pub(crate) async fn of(home: NodeProcess, other: NodeProcess) -> Self {
        let start = Instant::now();
        home.until_presence("synced").await;
        other.until_presence("synced").await;
        let client = home.client("ann").await;
        let watch = watch(&other, &client).await;
        watch.until(start, |find| find.is_found()).await;
        Self {
            home,
            other,
            client,
            watch,
        }
    }

    /// Waits until a session is found again by a question that came after a moment, and checks that
    /// it took no longer than it may, that nobody said anything false, and that no client was closed.
    pub(crate) async fn assert_heals(&mut self, since: Instant) {
        let found = self.watch.until(since, |find| find.is_found()).await;
        let took = found.asked - since;
        println!("found again after {took:?}");
        assert!(took <= SETTLED, "found again after {took:?}");
        self.client.assert_alive().await;
        // A false answer may follow the first right one.
        let later = after(found.answered, FORGOTTEN).await;
        self.watch.until(later, |find| find.is_found()).await;
        self.watch.assert_never_lost(SLOWEST);
        self.client.assert_alive().await;
    }
}

/// Lets a node look for a client through a connection of its own.
pub(crate) async fn watch(node: &NodeProcess, client: &Client) -> Watch {
    let observer = node.client("observer").await;
    Watch::start(observer, &client.account, &client.session)
}

/// A moment after a moment.
pub(crate) async fn after(moment: Instant, time: Duration) -> Instant {
    sleep_until(moment + time).await;
    Instant::now()
}
