use std::{error::Error, fmt, panic::Location, time::Duration};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, header, request::Parts};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::timeout;
use tower_service::Service;

use super::{
    Body, Client, Rejected,
    caller::Caller,
    polling::Requests,
    websocket::{self, Frame, WebSocket},
};
use crate::engine::Transport;

/// How long a client waits for anything by default.
const PATIENCE: Duration = Duration::from_secs(10);

/// A key for the handshake; its secrecy is of no use here. [RFC 6455, section 4.1]
const KEY: HeaderValue = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");

/// Says how a [`Client`] connects; made by [`Client::builder`].
#[must_use = "a builder does nothing until it connects"]
pub struct ClientBuilder {
    dial: Dial,
    transport: Transport,
}

/// What every request of a client is made of.
pub(super) struct Dial {
    caller: Caller,
    path: String,
    query: String,
    headers: HeaderMap,
    extensions: Extensions,
    pub(super) patience: Duration,
}

impl ClientBuilder {
    pub(super) fn new<S, R>(service: &S) -> Self
    where
        S: Service<Request<Body>, Response = http::Response<R>> + Clone + Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        S::Future: Send,
        R: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let host = (header::HOST, HeaderValue::from_static("localhost"));
        Self {
            dial: Dial {
                caller: Caller::new(service),
                path: "/stream/".to_owned(),
                query: String::new(),
                headers: HeaderMap::from_iter([host]),
                extensions: Extensions::new(),
                patience: PATIENCE,
            },
            transport: Transport::WebSocket,
        }
    }

    /// The account that it claims to be; nothing by default, for layers that know better.
    pub fn account(self, account: &str) -> Self {
        self.query("account", account)
    }

    /// A parameter of the query, on every request.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        for (before, text) in [('&', name), ('=', value)] {
            self.dial.query.push(before);
            let text = utf8_percent_encode(text, NON_ALPHANUMERIC);
            self.dial.query.extend(text);
        }
        self
    }

    /// A header, on every request; `Host` is `localhost` by default.
    ///
    /// # Panics
    ///
    /// When it is not a header.
    #[track_caller]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).expect("the name is one of a header");
        let value = HeaderValue::try_from(value).expect("the value is one of a header");
        self.dial.headers.insert(name, value);
        self
    }

    /// An extension, on every request: what an outer layer or the server would have put there.
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.dial.extensions.insert(value);
        self
    }

    /// How it connects; by websocket by default.
    pub const fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Connects by long polling.
    pub const fn polling(self) -> Self {
        self.transport(Transport::Polling)
    }

    /// Where the endpoint is; `/stream/` by default.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.dial.path);
        self
    }

    /// How long it waits for anything before it panics; 10 s by default, on tokio's clock.
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.dial.patience = patience;
        self
    }

    /// Connects.
    ///
    /// # Panics
    ///
    /// When it is refused, or not answered within its patience.
    #[track_caller]
    pub fn connect(self) -> impl Future<Output = Client> {
        let caller = Location::caller();
        let connecting = self.try_connect();
        async move {
            match connecting.await {
                Ok(client) => client,
                Err(rejected) => panic!("expected to connect, was {rejected} (at {caller})"),
            }
        }
    }

    /// Connects, or says how that was refused.
    ///
    /// # Errors
    ///
    /// [`Rejected`], whoever it was that refused.
    ///
    /// # Panics
    ///
    /// When it is not answered within its patience, or the answer is no handshake.
    #[track_caller]
    pub fn try_connect(self) -> impl Future<Output = Result<Client, Rejected>> {
        let caller = Location::caller();
        let patience = self.dial.patience;
        async move {
            let connecting = match self.transport {
                Transport::Polling => timeout(patience, self.dial.by_polling()).await,
                Transport::WebSocket => timeout(patience, self.dial.by_websocket()).await,
            };
            connecting.unwrap_or_else(|_| {
                panic!("expected to connect, and nothing came within {patience:?} (at {caller})")
            })
        }
    }
}

impl Dial {
    /// What a request begins with.
    fn parts(&self, transport: Transport, sid: Option<&str>) -> Parts {
        let name = transport.as_str();
        let sid = sid.map(|sid| format!("&sid={sid}")).unwrap_or_default();
        let uri = format!("{}?EIO=4&transport={name}{}{sid}", self.path, self.query);
        let request = Request::get(uri).body(());
        let (mut parts, ()) = request.expect("the path is one").into_parts();
        parts.headers = self.headers.clone();
        parts
    }

    async fn by_polling(self) -> Result<Client, Rejected> {
        let requests = |sid: Option<&str>| {
            let mut parts = self.parts(Transport::Polling, sid);
            parts.extensions = self.extensions.clone();
            Requests {
                caller: self.caller.clone(),
                parts,
            }
        };
        let packets = requests(None).get().await?;
        let open = opened(packets.first().map_or("", String::as_str));
        let requests = requests(open["sid"].as_str());
        Ok(Client::on_polling(self, open, requests, &packets[1..]))
    }

    async fn by_websocket(self) -> Result<Client, Rejected> {
        let mut socket = self.websocket(None).await?;
        let open = match socket.reader.next().await {
            Frame::Text(packet) => opened(&packet),
            _ => panic!("expected the open packet on the websocket"),
        };
        Ok(Client::on_websocket(self, open, socket))
    }

    /// A websocket for a connection on polling.
    pub(super) async fn upgrade(&self, sid: &str) -> Result<WebSocket, Rejected> {
        self.websocket(Some(sid)).await
    }

    async fn websocket(&self, sid: Option<&str>) -> Result<WebSocket, Rejected> {
        let mut parts = self.parts(Transport::WebSocket, sid);
        parts.headers.extend([
            (header::CONNECTION, HeaderValue::from_static("Upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static("13"),
            ),
            (header::SEC_WEBSOCKET_KEY, KEY),
        ]);
        let request = Request::from_parts(parts, Body::default());
        websocket::open(&self.caller, request, self.extensions.clone()).await
    }
}

/// What the open packet says.
fn opened(packet: &str) -> Value {
    let open = packet.strip_prefix('0').map(serde_json::from_str);
    match open {
        Some(Ok(open)) => open,
        _ => panic!("expected the open packet, received {packet:?}"),
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("path", &self.dial.path)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
