//! hyper 1 alone: its own servers and the one of hyper-util that speaks both versions of HTTP.

use std::{convert::Infallible, net::SocketAddr};

use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer, Service, service_fn};

use crate::{
    client::{Http, assert_it_serves, assert_polling},
    layer, tcp,
};

type Page = Response<Full<bytes::Bytes>>;

async fn page(_: Request<Incoming>) -> Result<Page, Infallible> {
    Ok(Response::new(Full::from("inner")))
}

/// Serves every connection by a function of its own.
async fn each<F: Future<Output: Send> + Send + 'static>(
    converse: impl Fn(TokioIo<TcpStream>) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let conversation = converse(TokioIo::new(stream));
            tokio::spawn(async move { drop(conversation.await) });
        }
    });
    address
}

async fn one(address: SocketAddr) -> Http {
    Http::one(tcp(address)().await.unwrap()).await
}

async fn two(address: SocketAddr) -> Http {
    Http::two(tcp(address)().await.unwrap()).await
}

#[tokio::test]
async fn http1_serves_with_upgrades() {
    let service = TowerToHyperService::new(layer().layer(service_fn(page)));
    let address = each(move |io| {
        conn::http1::Builder::new()
            .serve_connection(io, service.clone())
            .with_upgrades()
    })
    .await;

    assert_it_serves(tcp(address), "").await;
    assert_eq!(one(address).await.get("/").await.2, "inner");
}

/// The adapter is not needed: hyper calls a service that is always ready.
#[tokio::test]
async fn http1_serves_without_an_adapter() {
    let service = layer().layer(service_fn(page));
    let address = each(move |io| {
        let service = service.clone();
        let call = hyper::service::service_fn(move |request| service.clone().call(request));
        conn::http1::Builder::new()
            .serve_connection(io, call)
            .with_upgrades()
    })
    .await;

    assert_it_serves(tcp(address), "").await;
}

#[tokio::test]
async fn http2_serves() {
    let service = TowerToHyperService::new(layer().layer(service_fn(page)));
    let address = each(move |io| {
        conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service.clone())
    })
    .await;

    assert_polling(two(address).await, "").await;
    assert_eq!(two(address).await.get("/").await.2, "inner");
}

#[tokio::test]
async fn one_port_serves_both_versions() {
    let service = TowerToHyperService::new(layer().layer(service_fn(page)));
    let address = each(move |io| {
        let service = service.clone();
        async move {
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http2().enable_connect_protocol();
            server.serve_connection_with_upgrades(io, service).await
        }
    })
    .await;

    assert_it_serves(tcp(address), "").await;
    assert_polling(two(address).await, "").await;
    crate::http2::assert_websocket(&mut two(address).await).await;
}

/// Without it no websocket can be had, and polling can.
#[tokio::test]
async fn a_server_without_upgrades_serves_polling() {
    let service = TowerToHyperService::new(layer().layer(service_fn(page)));
    let address =
        each(move |io| conn::http1::Builder::new().serve_connection(io, service.clone())).await;

    assert_polling(one(address).await, "").await;
}
