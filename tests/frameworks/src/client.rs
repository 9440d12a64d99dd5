//! Clients on any stream of bytes.

use std::io;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::within;

/// What a client needs to be served.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// One message, as it goes and as it comes back.
pub(crate) const ECHO: &str = r#"4{"event":"echo","args":["a"]}"#;

/// A page and both transports over HTTP/1.1, with the paths below `base`.
pub(crate) async fn assert_it_serves<S: Stream>(dial: impl AsyncFn() -> io::Result<S>, base: &str) {
    assert_polling(Http::one(dial().await.unwrap()).await, base).await;
    assert_websocket(dial().await.unwrap(), base).await;
}

/// Long polling alone, over HTTP/1.1 or HTTP/2.
pub(crate) async fn assert_polling(mut http: Http, base: &str) {
    let mut poller = Poller::connect(&mut http, base).await;
    poller.post(&mut http, ECHO).await;
    assert_eq!(poller.poll(&mut http).await, ECHO);
}

/// A websocket over HTTP/1.1.
pub(crate) async fn assert_websocket(stream: impl Stream, base: &str) {
    let uri = format!("ws://localhost{base}/stream/?EIO=4&transport=websocket&account=ann");
    let (socket, _) = within(client_async(uri, stream)).await.unwrap();
    assert_it_echoes(&mut Ws(socket)).await;
}

/// A websocket that has not read its open packet.
pub(crate) async fn assert_it_echoes(ws: &mut Ws<impl Stream>) {
    assert!(ws.text().await.starts_with("0{"));
    ws.send(ECHO).await;
    assert_eq!(ws.text().await, ECHO);
}

/// A connection for requests.
pub(crate) enum Http {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// Status, headers and body.
pub(crate) type Answer = (StatusCode, HeaderMap, String);

impl Http {
    /// HTTP/1.1.
    pub(crate) async fn one(stream: impl Stream) -> Self {
        let (send, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Self::One(send)
    }

    /// HTTP/2, known before.
    pub(crate) async fn two(stream: impl Stream) -> Self {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (send, connection) = handshake.await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Self::Two(send)
    }

    pub(crate) async fn get(&mut self, target: &str) -> Answer {
        self.ask(Method::GET, target, "").await
    }

    pub(crate) async fn ask(&mut self, method: Method, target: &str, body: &str) -> Answer {
        within(self.begin(method, target, body)).await
    }

    /// Sends a request; its answer comes in its own time.
    pub(crate) fn begin(
        &mut self,
        method: Method,
        target: &str,
        body: &str,
    ) -> impl Future<Output = Answer> + use<> {
        let body = Full::from(body.to_owned());
        let request = Request::builder()
            .method(method)
            .header("host", "localhost");
        let one = |uri: Uri| request.uri(uri).body(body.clone()).unwrap();
        let answer = match self {
            Self::One(send) => Ok(send.send_request(one(target.parse().unwrap()))),
            Self::Two(send) => {
                let uri: Uri = format!("http://localhost{target}").parse().unwrap();
                let request = Request::builder()
                    .method(one(uri.clone()).method())
                    .uri(uri);
                Err(send.send_request(request.body(body.clone()).unwrap()))
            }
        };
        async move {
            let response = match answer {
                Ok(one) => one.await,
                Err(two) => two.await,
            };
            let (parts, body) = response.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let text = String::from_utf8(body.into()).unwrap();
            (parts.status, parts.headers, text)
        }
    }
}

/// A client on long polling.
pub(crate) struct Poller {
    pub(crate) target: String,
    pub(crate) sid: String,
}

impl Poller {
    pub(crate) async fn connect(http: &mut Http, base: &str) -> Self {
        let target = format!("{base}/stream/?EIO=4&transport=polling&account=ann");
        let (status, _, body) = http.get(&target).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let open: serde_json::Value = serde_json::from_str(&body[1..]).unwrap();
        let sid = open["sid"].as_str().unwrap().to_owned();
        Self {
            target: format!("{target}&sid={sid}"),
            sid,
        }
    }

    pub(crate) async fn post(&mut self, http: &mut Http, body: &str) {
        let (status, _, answer) = http.ask(Method::POST, &self.target, body).await;
        assert_eq!((status, &*answer), (StatusCode::OK, "ok"));
    }

    pub(crate) async fn poll(&mut self, http: &mut Http) -> String {
        let (status, _, body) = http.get(&self.target).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }
}

/// A websocket.
pub(crate) struct Ws<S>(pub(crate) WebSocketStream<S>);

impl<S: Stream> Ws<S> {
    pub(crate) async fn send(&mut self, text: &str) {
        within(self.0.send(Message::text(text))).await.unwrap();
    }

    pub(crate) async fn text(&mut self) -> String {
        match within(self.0.next()).await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("not text: {other:?}"),
        }
    }

    /// Reads to the end; the code of the server's goodbye.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(Ok(message)) = within(self.0.next()).await {
            if let Message::Close(Some(close)) = message {
                code = Some(close.code.into());
            }
        }
        code
    }
}
