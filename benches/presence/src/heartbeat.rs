//! Nodes stay alive.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::NAMESPACE;
use crate::meter::Reading;
use crate::support_redis::Redis;

/// How long is measured.
const MEASURED: Duration = Duration::from_secs(10);

/// How often the peers renew their leases.
const PERIOD: Duration = Duration::from_millis(500);

/// Prints what a second of one node among so many peers costs.
pub(crate) async fn measure(peers: usize) {
    let redis = Redis::start().await;
    let node = crate::node(&redis.url(), &[]).await;
    renew(&redis, &node.id, peers).await;

    let before = Reading::take(&redis, &node).await;
    let start = Instant::now();
    let mut beat = interval(PERIOD);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while start.elapsed() < MEASURED {
        beat.tick().await;
        renew(&redis, &node.id, peers).await;
    }
    let mut used = before.used(&redis, &node).await;
    // The helper's.
    for helper in ["hmget", "hmset"] {
        let own = used.commands.remove(helper);
        used.redis = used.redis.saturating_sub(own.unwrap_or_default().time);
    }
    let what = format!("one of {} nodes, per second", peers + 1);
    used.print(&what, used.time.as_secs_f64());
}

/// Writes as many rows beside that of a node, each as new as that. The commands are others than
/// those of a heartbeat, to be told apart.
async fn renew(redis: &Redis, node: &str, peers: usize) {
    let leases = format!("{{{NAMESPACE}:n}}:leases");
    if peers == 0 {
        return;
    }
    let row = redis.command(&["HMGET", &leases, node]).await.array()[0].text();
    let mut words = vec!["HMSET", &leases];
    let names: Vec<String> = (0..peers).map(|peer| format!("peer-{peer:017}")).collect();
    words.extend(names.iter().flat_map(|name| [name, row.as_str()]));
    redis.command(&words).await.assert_ok();
}
