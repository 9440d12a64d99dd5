//! Measures what presence costs: commands and CPU of Redis, CPU of the node, bytes a session.

mod connects;
mod heartbeat;
mod meter;
#[path = "../../../tests/support_redis/mod.rs"]
mod support_redis;

use std::env;
use std::path::PathBuf;

use support_redis::NodeProcess;

/// Sessions, if the command line says nothing.
const SESSIONS: usize = 5_000;

/// The prefix of the keys.
const NAMESPACE: &str = "cost";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let sessions = env::args().nth(1).map_or(SESSIONS, |given| {
        given
            .parse()
            .expect("the only argument is a number of sessions")
    });
    println!("with the leave feed:");
    connects::measure(sessions, &[]).await;
    println!("without the leave feed:");
    connects::measure(sessions, &["--no-leave-feed"]).await;
    println!("heartbeats:");
    for peers in [0, 19, 199] {
        heartbeat::measure(peers).await;
    }
}

/// A release build of the measuring server.
async fn node(redis: &str, flags: &[&str]) -> NodeProcess {
    let built =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/release/examples/node");
    let program = env::var_os("PRIMACRON_NODE").map_or(built, PathBuf::from);
    let flags = [&["--redis", redis, "--namespace", NAMESPACE], flags].concat();
    let node = NodeProcess::run(&program, &flags).await;
    node.until_presence("synced").await;
    node
}
