//! warp 0.4: its filters are the inner service, and hyper serves.

use std::net::SocketAddr;

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::Layer;
use warp::Filter;

use crate::{
    client::{Http, assert_it_serves},
    layer, tcp,
};

async fn start() -> SocketAddr {
    let filters = warp::path::end().map(|| String::from("inner"));
    let service = TowerToHyperService::new(layer().layer(warp::service(filters)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (io, service) = (TokioIo::new(stream), service.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                drop(server.serve_connection_with_upgrades(io, service).await);
            });
        }
    });
    address
}

#[tokio::test]
async fn filters_of_warp_are_an_inner_service() {
    let address = start().await;

    assert_it_serves(tcp(address), "").await;
    let mut http = Http::one(tcp(address)().await.unwrap()).await;
    assert_eq!(http.get("/").await.2, "inner");
    assert_eq!(http.get("/elsewhere").await.0, 404);
}
