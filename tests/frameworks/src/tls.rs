//! TLS by rustls, with a certificate that the test makes.

use std::{io, net::SocketAddr, sync::Arc};

use axum_server::tls_rustls::RustlsConfig;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use crate::{
    app,
    client::{Http, assert_it_serves, assert_polling},
    http2, layer,
};

/// What a browser and a server offer one another.
const BOTH: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A server's side and the certificate that its clients trust.
fn certified() -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = BOTH.map(<[u8]>::to_vec).into();
    (Arc::new(config), cert.der().clone())
}

/// Connects, offering one version of HTTP.
async fn dial(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
    version: &[u8],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![version.to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn assert_both(address: SocketAddr, certificate: &CertificateDer<'static>) {
    assert_it_serves(async || dial(address, certificate, BOTH[1]).await, "").await;
    let two = async || Http::two(dial(address, certificate, BOTH[0]).await.unwrap()).await;
    assert_polling(two().await, "").await;
    http2::assert_websocket(&mut two().await).await;
}

#[tokio::test]
async fn tokio_rustls_below_hyper_serves_both_versions() {
    let (config, certificate) = certified();
    let acceptor = TlsAcceptor::from(config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app().layer(layer());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(app.clone()));
            tokio::spawn(async move {
                let stream = TokioIo::new(acceptor.accept(stream).await.unwrap());
                let mut server = auto::Builder::new(TokioExecutor::new());
                server.http2().enable_connect_protocol();
                drop(server.serve_connection_with_upgrades(stream, service).await);
            });
        }
    });

    assert_both(address, &certificate).await;
}

#[tokio::test]
async fn axum_server_serves_both_versions() {
    let (config, certificate) = certified();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let app = app().layer(layer());
    let config = RustlsConfig::from_config(config);
    let mut server = axum_server::from_tcp_rustls(listener, config).unwrap();
    server.http_builder().http2().enable_connect_protocol();
    tokio::spawn(async move { server.serve(app.into_make_service()).await.unwrap() });

    assert_both(address, &certificate).await;
}
