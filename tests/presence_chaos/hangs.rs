//! A master of a Redis Cluster hangs, without a word: SIGSTOP, SIGCONT.

use std::time::Duration;

use tokio::time::Instant;

use crate::cast::after;
use crate::cluster::Crowd;

#[tokio::test]
async fn a_master_that_hangs_takes_only_its_own_accounts_along() {
    let mut crowd = Crowd::start().await;
    for master in 0..3 {
        crowd.cluster.masters[master].stop();
        let stopped = Instant::now();
        crowd.assert_others_are_exact(master).await;
        println!("master {master} hangs, exact after {:?}", stopped.elapsed());

        crowd.cluster.masters[master].cont();
        crowd.assert_heals().await;
    }
}

#[tokio::test]
async fn a_master_that_hangs_for_a_while_is_never_a_false_answer() {
    let mut crowd = Crowd::start().await;
    for master in 0..3 {
        for seconds in [2, 4, 8] {
            crowd.cluster.masters[master].stop();
            after(Instant::now(), Duration::from_secs(seconds)).await;
            crowd.cluster.masters[master].cont();
            crowd.assert_heals().await;
        }
    }
}
