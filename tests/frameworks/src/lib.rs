//! Tries Primacron in the servers and frameworks that people use, each with the real thing and with
//! clients that others wrote: hyper for HTTP, tungstenite for websockets.
#![cfg(test)]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod axum;
mod client;
mod http2;
mod hyper;
mod salvo;
mod tls;
mod tonic;
mod unix;
mod warp;

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use ::axum::{Router, routing::get};
use primacron::{Args, MakeHandler, Message, PrimacronLayer, Reply, User};
use tokio::net::{TcpListener, TcpStream};

/// How long a test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Echoes the event `echo`.
fn layer() -> PrimacronLayer<impl MakeHandler> {
    layer_at("/stream/")
}

/// The same at a path of its own.
fn layer_at(path: &str) -> PrimacronLayer<impl MakeHandler + use<>> {
    let echo =
        async |message: Message| Ok::<_, Infallible>(Reply::event("echo", message.args().clone()));
    PrimacronLayer::in_memory()
        .path(path)
        .validate("echo", |args: &Args, _: &User| args.len() == 1)
        .service(::tower::service_fn(echo))
}

/// An application with a page.
fn app() -> Router {
    Router::new().route("/", get(async || "inner"))
}

/// Serves by axum's own server, at an address of its own.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { ::axum::serve(listener, app).await.unwrap() });
    address
}

/// How clients reach an address.
fn tcp(address: SocketAddr) -> impl AsyncFn() -> io::Result<TcpStream> {
    async move || TcpStream::connect(address).await
}

/// Waits for something that has to happen.
#[track_caller]
fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(output) => output,
            Err(_) => panic!("{place}: nothing happened in {PATIENCE:?}"),
        }
    }
}
