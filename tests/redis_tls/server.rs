//! Servers that speak TLS, and pools that know whom to trust.

use deadpool_redis::redis::{Client, ClientTlsConfig, TlsCertificates};
use deadpool_redis::{Manager, Pool, Runtime};

use crate::authority::{Authority, Proof};
use crate::support_redis::{Redis, free_port};

/// The address that all servers of tests listen on.
pub(crate) const ADDRESS: &str = "127.0.0.1";

/// A Redis with a port for TLS. On its plain port only the test asks.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) redis: Redis,
    port: u16,
}

impl Secured {
    /// A server whose certificate is right.
    pub(crate) async fn start(authority: &Authority) -> Self {
        Self::with(authority, &authority.vouch_for(ADDRESS), "").await
    }

    /// A server that shows a certificate, and asks clients for none, with more flags.
    pub(crate) async fn with(authority: &Authority, proof: &Proof, flags: &str) -> Self {
        let port = free_port();
        let secured = authority.flags(port, proof);
        let redis = Redis::with(&format!("{secured} --tls-auth-clients no {flags}")).await;
        Self { redis, port }
    }

    /// A server that talks only with clients that show a certificate, as is its default.
    pub(crate) async fn suspicious(authority: &Authority) -> Self {
        let port = free_port();
        let flags = authority.flags(port, &authority.vouch_for(ADDRESS));
        let redis = Redis::with(&flags).await;
        Self { redis, port }
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    /// Where it speaks TLS.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

pub(crate) fn url(port: u16) -> String {
    format!("rediss://{ADDRESS}:{port}")
}

/// A pool that trusts one authority, and shows a certificate if there is one.
pub(crate) fn pool(url: &str, authority: &Authority, own: Option<&Proof>) -> Pool {
    let certificates = TlsCertificates {
        client_tls: own.map(|proof| ClientTlsConfig {
            client_cert: proof.certificate.clone().into(),
            client_key: proof.key.clone().into(),
        }),
        root_cert: Some(authority.pem().into()),
    };
    let client = Client::build_with_tls(url, certificates).unwrap();
    let manager = Manager::new(client.get_connection_info().clone()).unwrap();
    let pool = Pool::builder(manager).runtime(Runtime::Tokio1);
    pool.build().unwrap()
}
