use std::{
    collections::VecDeque,
    fmt,
    panic::Location,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use serde_json::Value;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use super::{
    ClientBuilder, Disconnected, Received,
    builder::Dial,
    expect::fail,
    polling::{self, Requests},
    post::{Packet, Post, Tasks},
    websocket::{self, Frame, WebSocket},
};
use crate::{engine::Transport, message::IntoArgs};

/// A client of the service under test, in the same process and without a socket; made by
/// [`Client::builder`].
///
/// It answers pings by itself and speaks the JSON codec; what other codecs send is
/// [`Received::Text`] and [`Received::Binary`]. What it receives waits until it is asked for: an
/// expectation looks at the next that came, and says what that was when it was something else.
///
/// Dropped, it is gone without a word. It lives on tasks of the runtime that it was made in.
///
/// # Panics
///
/// Every `expect_` method panics when something else came, or nothing within the
/// [`patience`](ClientBuilder::patience) of the client.
pub struct Client {
    post: Post,
    pub(super) incoming: mpsc::UnboundedReceiver<Received>,
    /// Received while something else was waited for.
    pub(super) aside: VecDeque<Received>,
    pub(super) ended: Option<Disconnected>,
    tasks: Tasks,
    pub(super) dial: Dial,
    open: Value,
    transport: Transport,
    next_id: u64,
}

impl Client {
    /// Begins a client of a service: a [`Primacron`](crate::Primacron) with whatever is around it.
    /// The service is cloned for every request, as a server does.
    pub fn builder<S, R>(service: &S) -> ClientBuilder
    where
        S: tower_service::Service<http::Request<super::Body>, Response = http::Response<R>>
            + Clone
            + Send
            + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        S::Future: Send,
        R: http_body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        ClientBuilder::new(service)
    }

    /// What the server said in its open packet.
    #[must_use]
    pub fn handshake(&self) -> &Value {
        &self.open
    }

    /// The session that the server gave it; empty when the layer keeps it to itself.
    #[must_use]
    pub fn session(&self) -> &str {
        self.open["session"].as_str().unwrap_or_default()
    }

    /// The account that the server took it for; empty when the layer keeps it to itself.
    #[must_use]
    pub fn account(&self) -> &str {
        self.open["account"].as_str().unwrap_or_default()
    }

    /// Engine.IO's id of the connection.
    #[must_use]
    pub fn sid(&self) -> &str {
        self.open["sid"].as_str().unwrap_or_default()
    }

    /// The transport in use.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Sends an event. It leaves as soon as the server takes it.
    ///
    /// # Panics
    ///
    /// When the arguments cannot be expressed in JSON.
    #[track_caller]
    pub fn send(&self, event: &str, args: impl IntoArgs) {
        self.send_text(&envelope(event, &args, None));
    }

    /// Sends a text message as it stands.
    pub fn send_text(&self, message: &str) {
        self.post.send(Packet::Text(format!("4{message}")));
    }

    /// Sends a binary message.
    pub fn send_binary(&self, message: impl Into<Bytes>) {
        self.post.send(Packet::Binary(message.into()));
    }

    /// Sends an event with an id and waits for its answer: the arguments, an array, or the text of
    /// the failure. Whatever else comes meanwhile waits to be expected, the event that reports the
    /// failure included.
    ///
    /// # Panics
    ///
    /// When the connection ends before the answer, or none comes within the client's patience.
    #[track_caller]
    pub fn ask(
        &mut self,
        event: &str,
        args: impl IntoArgs,
    ) -> impl Future<Output = Result<Value, String>> {
        let caller = Location::caller();
        self.next_id += 1;
        let wanted = self.next_id;
        self.send_text(&envelope(event, &args, Some(wanted)));
        let what = format!("the answer to `{event}`");
        async move {
            loop {
                match self.arrival_in_time(&what, caller).await {
                    Received::Answer { id, answer } if id == wanted => return answer,
                    Received::Disconnected(how) => fail(&what, how, caller),
                    other => self.aside.push_back(other),
                }
            }
        }
    }

    /// From now on pings stay unanswered, until the server takes the client for dead.
    pub fn ignore_pings(&self) {
        self.post.ignores_pings.store(true, Ordering::Relaxed);
    }

    /// Goes over from long polling to a websocket, as most clients do at once.
    ///
    /// # Panics
    ///
    /// When the client is not on polling, or the server does not let it.
    pub async fn upgrade(&mut self) {
        assert_eq!(self.transport, Transport::Polling, "the client's transport");
        let mut socket = match self.dial.upgrade(self.sid()).await {
            Ok(socket) => socket,
            Err(rejected) => panic!("the upgrade was {rejected}"),
        };
        socket.writer.text("2probe").await;
        match socket.reader.next().await {
            Frame::Text(reply) if reply == "3probe" => {}
            _ => panic!("the server did not answer the probe"),
        }
        self.post.is_over.store(true, Ordering::Relaxed);
        self.post.send(Packet::Upgrade);
        let mut outgoing = None;
        while let Some(ended) = self.tasks.join_next().await {
            outgoing = ended.ok().flatten().or(outgoing);
        }
        self.post.is_over.store(false, Ordering::Relaxed);
        socket.writer.text("5").await;
        self.transport = Transport::WebSocket;
        if let Some(outgoing) = outgoing {
            spawn_websocket(&mut self.tasks, socket, outgoing, &self.post);
        }
    }

    /// Says goodbye, and waits until the server has heard it.
    pub async fn close(mut self) {
        self.post.send(Packet::Close);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(self.dial.patience, all).await.is_err() {
            panic!("the server did not close within {:?}", self.dial.patience);
        }
    }

    pub(super) fn on_polling(dial: Dial, open: Value, requests: Requests, rest: &[String]) -> Self {
        let (mut client, outgoing) = Self::new(dial, open, Transport::Polling);
        for packet in rest {
            polling::take(packet, &client.post);
        }
        let (writer, post) = (requests.clone(), client.post.clone());
        let writing = polling::write(writer, outgoing, post);
        client.tasks.spawn(async { Some(writing.await) });
        let reading = polling::read(requests, client.post.clone());
        client.tasks.spawn(async {
            reading.await;
            None
        });
        client
    }

    pub(super) fn on_websocket(dial: Dial, open: Value, socket: WebSocket) -> Self {
        let (mut client, outgoing) = Self::new(dial, open, Transport::WebSocket);
        spawn_websocket(&mut client.tasks, socket, outgoing, &client.post);
        client
    }

    fn new(
        dial: Dial,
        open: Value,
        transport: Transport,
    ) -> (Self, mpsc::UnboundedReceiver<Packet>) {
        let (outgoing, to_send) = mpsc::unbounded_channel();
        let (received, incoming) = mpsc::unbounded_channel();
        let client = Self {
            post: Post {
                outgoing,
                received,
                ignores_pings: Arc::default(),
                is_over: Arc::default(),
            },
            incoming,
            aside: VecDeque::new(),
            ended: None,
            tasks: JoinSet::new(),
            dial,
            open,
            transport,
            next_id: 0,
        };
        (client, to_send)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("account", &self.account())
            .field("session", &self.session())
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

#[track_caller]
fn envelope(event: &str, args: &impl IntoArgs, id: Option<u64>) -> String {
    let args = serde_json::to_value(args.as_args()).expect("the arguments are JSON");
    let mut envelope = serde_json::json!({"event": event, "args": args});
    if let Some(id) = id {
        envelope["id"] = id.into();
    }
    envelope.to_string()
}

fn spawn_websocket(
    tasks: &mut Tasks,
    socket: WebSocket,
    outgoing: mpsc::UnboundedReceiver<Packet>,
    post: &Post,
) {
    let writing = websocket::write(socket.writer, outgoing);
    let reading = websocket::read(socket.reader, post.clone());
    tasks.spawn(async {
        writing.await;
        None
    });
    tasks.spawn(async {
        reading.await;
        None
    });
}
