//! gRPC and messages on one port.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tonic::{
    service::Routes,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_health::{
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::health_reporter,
};

use crate::{
    app,
    client::{Http, assert_it_serves, assert_polling},
    http2, layer, serve, tcp, within,
};

/// A gRPC service that tonic brings along.
async fn routes() -> Routes {
    let (_, health) = health_reporter();
    Routes::new(health)
}

async fn assert_grpc(address: SocketAddr) {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let mut client = HealthClient::new(within(channel.connect()).await.unwrap());
    let answer = client.check(HealthCheckRequest::default());
    // 1 is `SERVING`.
    assert_eq!(within(answer).await.unwrap().into_inner().status, 1);
}

#[tokio::test]
async fn grpc_in_axum_leaves_everything_as_it_is() {
    let grpc = routes().await.prepare().into_axum_router();
    let app = app().merge(grpc).layer(layer());
    let address = serve(app).await;

    assert_grpc(address).await;
    assert_it_serves(tcp(address), "").await;
    let two = async || Http::two(tcp(address)().await.unwrap()).await;
    assert_polling(two().await, "").await;
    http2::assert_websocket(&mut two().await).await;
    assert_grpc(address).await;
    assert_eq!(two().await.get("/").await.2, "inner");
}

/// It upgrades nothing: websockets need another server, such as axum's above.
#[tokio::test]
async fn tonics_own_server_serves_polling() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .accept_http1(true)
        .layer(layer())
        .add_routes(routes().await);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));

    assert_grpc(address).await;
    assert_polling(Http::two(tcp(address)().await.unwrap()).await, "").await;
    assert_polling(Http::one(tcp(address)().await.unwrap()).await, "").await;
}
