//! hyper up to the WebSocket upgrade, frames by hand after it.

use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, upgrade};
use hyper_util::rt::TokioIo;
use primacron_rows::open_packet;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::frames::{Echo, accept_key, push_text};

pub(crate) async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .with_upgrades();
            if let Err(error) = connection.await {
                eprintln!("connection failed: {error}");
            }
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut response = Response::new(Empty::new());
    let Some(accept) = accept(&request) else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(response);
    };
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(
        UPGRADE,
        hyper::header::HeaderValue::from_static("websocket"),
    );
    headers.insert(
        CONNECTION,
        hyper::header::HeaderValue::from_static("Upgrade"),
    );
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    tokio::spawn(async move {
        if let Err(error) = converse(request).await {
            eprintln!("connection failed: {error}");
        }
    });
    Ok(response)
}

fn accept(request: &Request<Incoming>) -> Option<hyper::header::HeaderValue> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY)?;
    accept_key(key.as_bytes()).parse().ok()
}

async fn converse(request: Request<Incoming>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut stream = TokioIo::new(upgrade::on(request).await?);
    let mut open = Vec::new();
    push_text(open_packet(0).as_bytes(), &mut open);
    stream.write_all(&open).await?;
    drop(open);
    Echo::new(stream, None).run().await?;
    Ok(())
}
