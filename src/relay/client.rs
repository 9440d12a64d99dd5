use std::time::Duration;

use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use super::pipe::Outlet;

/// How long a node may take to answer the telephone.
const CONNECT: Duration = Duration::from_secs(2);

/// Idle connections to one node that are kept, and how long: shorter than servers keep them.
const IDLE: usize = 64;
const IDLE_TIME: Duration = Duration::from_secs(10);

/// When the system begins to look whether a silent node is there, how often, and how many times in
/// vain.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// Speaks plain HTTP/1.1 with other nodes, over connections that are used again.
pub(super) type Client = legacy::Client<HttpConnector, Outlet>;

pub(super) fn client() -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIME)
        .pool_max_idle_per_host(IDLE)
        .build(connector)
}
