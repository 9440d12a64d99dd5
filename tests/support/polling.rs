use std::collections::VecDeque;

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::Value;

use super::{App, ask, event, get};

/// A client on long polling that calls the app without a socket.
pub struct Polling {
    app: App,
    uri: String,
    pub sid: String,
    pub session: String,
    waiting: VecDeque<String>,
}

impl Polling {
    pub async fn connect(app: &App, account: &str) -> Self {
        Self::connect_with(app, &format!("account={account}")).await
    }

    /// Connects with these parameters beside Engine.IO's own.
    pub async fn connect_with(app: &App, query: &str) -> Self {
        let uri = format!("/stream/?EIO=4&transport=polling&{query}");
        let (status, body) = get(app, &uri).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let mut packets = body.split('\u{1e}').map(str::to_owned);
        let open = packets.next().unwrap();
        let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        let text = |key: &str| open[key].as_str().unwrap_or_default().to_owned();
        Self {
            app: app.clone(),
            uri: format!("{uri}&sid={}", text("sid")),
            sid: text("sid"),
            session: text("session"),
            waiting: packets.collect(),
        }
    }

    /// Posts packets as they stand.
    pub async fn post(&self, payload: impl Into<String>) -> (StatusCode, String) {
        ask(
            &self.app,
            Request::post(&self.uri)
                .body(Body::from(payload.into()))
                .unwrap(),
        )
        .await
    }

    /// Posts one message, which must be taken.
    pub async fn send(&self, message: &str) {
        let answer = self.post(format!("4{message}")).await;
        assert_eq!(answer, (StatusCode::OK, "ok".to_owned()));
    }

    pub async fn emit(&self, name: &str, args: Value) {
        self.send(&event(name, args)).await;
    }

    /// The answer to one GET, whatever it is.
    pub async fn poll_once(&self) -> (StatusCode, String) {
        get(&self.app, &self.uri).await
    }

    /// The next packet; pings stay unanswered.
    pub async fn packet(&mut self) -> String {
        while self.waiting.is_empty() {
            let (status, body) = self.poll_once().await;
            assert_eq!(status, StatusCode::OK, "{body}");
            self.waiting.extend(body.split('\u{1e}').map(str::to_owned));
        }
        self.waiting.pop_front().unwrap()
    }

    /// The next message; pings are answered.
    pub async fn message(&mut self) -> Value {
        loop {
            let packet = self.packet().await;
            match packet.strip_prefix('4') {
                Some(message) => return serde_json::from_str(message).unwrap(),
                None if packet == "2" => {
                    assert_eq!(self.post("3").await.0, StatusCode::OK);
                }
                None => panic!("got the packet {packet:?} in place of a message"),
            }
        }
    }
}
