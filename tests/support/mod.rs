//! Clients on both transports that need no socket, and small helps for handlers and notices.
//!
//! Everything runs in one process over memory, so that time can be paused.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "every test binary uses a part of this"
)]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

pub mod nodes;
mod polling;
mod websocket;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use http::{Request, StatusCode};
use primacron::{MakeHandler, Notice, Notices, PrimacronLayer};
use serde_json::Value;
use tokio::{net::TcpListener, runtime::Handle, time::timeout};
use tower::ServiceExt;

pub use self::{
    polling::Polling,
    websocket::{Incoming, Ws},
};

/// A layered server. Its inner service answers `inner` to everything.
pub type App = Router;

/// Puts a layer around a small axum app.
pub fn app<M: MakeHandler>(layer: PrimacronLayer<M>) -> App {
    Router::new().fallback(async || "inner").layer(layer)
}

/// Status and body of the answer to a request.
pub async fn ask(app: &App, request: Request<Body>) -> (StatusCode, String) {
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    (status, String::from_utf8(body.into()).unwrap())
}

pub async fn get(app: &App, uri: &str) -> (StatusCode, String) {
    ask(app, Request::get(uri).body(Body::empty()).unwrap()).await
}

/// Serves an app on a real socket of its own; gives back where.
pub async fn serve(app: &App) -> std::net::SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.clone();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// Longer than anything here takes, with paused time too.
const LONG: Duration = Duration::from_secs(100);

/// The output of a future that must be ready soon.
#[track_caller]
pub fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        match timeout(LONG, future).await {
            Ok(output) => output,
            Err(_) => panic!("nothing came at {caller}"),
        }
    }
}

/// Whether a future is still pending after everything else that can happen now has happened.
pub async fn is_stuck(future: impl Future) -> bool {
    timeout(Duration::from_millis(1), future).await.is_err()
}

/// Lets all tasks run until none has anything to do. Only with paused time.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// The next notice of this name.
#[track_caller]
pub fn notice<'a>(notices: &'a mut Notices, name: &'a str) -> impl Future<Output = Notice> + 'a {
    soon(async move {
        loop {
            let notice = notices.next().await.expect("the node lives");
            if notice.name() == name {
                return notice;
            }
        }
    })
}

/// How many tasks the runtime has.
pub fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Waits until the runtime has no more tasks than before.
#[track_caller]
pub fn until_tasks(before: usize) -> impl Future<Output = ()> {
    soon(async move {
        while tasks() > before {
            tokio::task::yield_now().await;
        }
    })
}

/// A number that handlers and validators raise.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicUsize>);

impl Counter {
    pub fn raise(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub fn lower(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }

    pub fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// The text of an event without an id.
pub fn event(name: &str, args: Value) -> String {
    serde_json::json!({"event": name, "args": args}).to_string()
}

/// The text of an event that wants an answer.
pub fn asking(id: u64, name: &str, args: Value) -> String {
    serde_json::json!({"event": name, "args": args, "id": id}).to_string()
}
