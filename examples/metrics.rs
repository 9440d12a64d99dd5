//! A server that Prometheus can watch: `cargo run --example metrics --features metrics` and look
//! at `/metrics`.

use std::{error::Error, time::Duration};

use axum::{Router, routing::get};
use metrics_exporter_prometheus::PrometheusBuilder;
use primacron::{Args, Message, PrimacronLayer, Reply, User, metrics::HANDLER_TIME};
use tokio::{
    net::TcpListener,
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
};

/// How long clients may take to leave when the server ends.
const WINDOW: Duration = Duration::from_secs(2);

/// How often what was measured is put in order, whoever reads it.
const UPKEEP: Duration = Duration::from_secs(5);

/// Handlers take between these, in seconds.
const BUCKETS: [f64; 6] = [0.0001, 0.001, 0.01, 0.1, 1.0, 10.0];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let matcher = metrics_exporter_prometheus::Matcher::Full(HANDLER_TIME.to_owned());
    // Before the layer's first request: it asks for its metrics once.
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(matcher, &BUCKETS)?
        .install_recorder()?;
    let upkeep = prometheus.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });

    let layer = PrimacronLayer::in_memory()
        .validate("echo", |args: &Args, _: &User| {
            args.get::<&str>(0).map(drop)
        })
        .service(tower::service_fn(echo));
    let handle = layer.handle();
    let app = Router::new()
        .route("/metrics", get(async move || prometheus.render()))
        .layer(layer);

    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}/metrics", listener.local_addr()?);
    let mut terminated = signal(SignalKind::terminate())?;
    let drained = async move {
        tokio::select! {
            _ = ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        handle.drain(WINDOW).await;
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(drained)
        .await?;
    Ok(())
}

async fn echo(message: Message) -> Result<Reply, std::convert::Infallible> {
    Ok(Reply::args(message.args().clone()))
}
