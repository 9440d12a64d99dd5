//! The harness of all tests that speak to a server over sockets: a real axum server with a layer of
//! the test's own, and clients that write their bytes themselves.
//!
//! Nothing here sleeps. What a test waits for has [`PATIENCE`]; a slow machine only takes longer.
#![allow(
    dead_code,
    reason = "every test binary uses its own part of the harness"
)]

mod http;
mod server;
mod websocket;

use std::time::Duration;

pub(crate) use http::{Answer, Http, Poller, Request};
pub(crate) use server::{Heard, Server};
pub(crate) use websocket::{Frame, Ws, frame, upgrade_request};

/// How long a test waits for anything before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Text frames, by their opcode.
pub(crate) const TEXT: u8 = 1;

/// Binary frames.
pub(crate) const BINARY: u8 = 2;

/// Pings of the WebSocket protocol, of which Engine.IO knows nothing.
pub(crate) const WS_PING: u8 = 9;

/// What separates packets in a body.
pub(crate) const RS: &str = "\u{1e}";

/// Waits for something that has to happen.
#[track_caller]
pub(crate) fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(output) => output,
            Err(_) => panic!("{place}: nothing happened in {PATIENCE:?}"),
        }
    }
}

/// Waits until a condition holds that nobody announces.
#[track_caller]
pub(crate) fn until(mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
    within(async move {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        while !holds() {
            look.tick().await;
        }
    })
}
