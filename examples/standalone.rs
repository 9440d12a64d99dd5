//! The smallest server without a framework: `cargo run --example standalone`.

use std::{convert::Infallible, io};

use primacron::{Args, Message, PrimacronLayer, Reply, User};
use tokio::{net::TcpListener, signal};

#[tokio::main]
async fn main() -> io::Result<()> {
    let layer = PrimacronLayer::in_memory()
        .validate("echo", |args: &Args, _: &User| args.len() == 1)
        .service(tower::service_fn(echo));
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    let mut terminated = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    primacron::serve(listener, layer)
        .with_graceful_shutdown(async move {
            tokio::select! { _ = signal::ctrl_c() => {} _ = terminated.recv() => {} }
        })
        .await
}

async fn echo(message: Message) -> Result<Reply, Infallible> {
    Ok(Reply::args(message.args().clone()))
}
