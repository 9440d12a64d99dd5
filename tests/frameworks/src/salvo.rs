//! salvo 1: the layer is a hoop, by salvo's own bridge to tower.

use salvo::conn::Acceptor;
use salvo::prelude::{Listener, Router, Server, Service, TcpListener, TowerLayerCompat, handler};

use crate::{
    client::{Http, assert_it_serves},
    layer, tcp,
};

#[handler]
async fn page() -> &'static str {
    "inner"
}

#[tokio::test]
async fn a_layer_is_a_hoop() {
    let router = Router::new().get(page);
    let service = Service::new(router).hoop(layer().compat());
    let acceptor = TcpListener::new("127.0.0.1:0").bind().await;
    let address = acceptor.holdings()[0]
        .local_addr
        .clone()
        .into_std()
        .unwrap();
    tokio::spawn(Server::new(acceptor).serve(service));

    assert_it_serves(tcp(address), "").await;
    let mut http = Http::one(tcp(address)().await.unwrap()).await;
    assert_eq!(http.get("/").await.2, "inner");
}
