//! What people write by hand: axum's websockets, a key a session in Redis, a channel a node.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::routing::any;
use axum::serve::ListenerExt;
use futures_util::StreamExt;
use primacron_rows::{Flags, MAX_PAYLOAD, listen, open_packet, run};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

/// Seconds after which a session that nobody renews is gone.
const LIFETIME: u64 = 60;

/// Messages that may wait for one client.
const QUEUE: usize = 128;

/// The channel of everybody.
const ALL: &str = "all";

fn main() -> io::Result<()> {
    let flags = Flags::from_env()?;
    let url = flags
        .redis
        .ok_or_else(|| io::Error::other("--redis is missing"))?;
    run(flags.threads, serve(flags.port, url))
}

async fn serve(port: u16, url: String) -> io::Result<()> {
    let client = redis::Client::open(url).map_err(io::Error::other)?;
    let redis = client
        .get_multiplexed_async_connection()
        .await
        .map_err(io::Error::other)?;
    let node = Arc::new(Node {
        id: std::process::id(),
        sessions: AtomicU64::new(0),
        clients: Mutex::default(),
        owners: Mutex::default(),
        redis,
    });
    let mut channel = client.get_async_pubsub().await.map_err(io::Error::other)?;
    channel
        .subscribe(&[node.id.to_string(), ALL.to_owned()])
        .await
        .map_err(io::Error::other)?;
    let hub = Arc::clone(&node);
    tokio::spawn(async move {
        let mut messages = channel.on_message();
        while let Some(message) = messages.next().await {
            hub.deliver(message.get_payload_bytes());
        }
    });
    let app = Router::new()
        .route("/stream/", any(connect))
        .with_state(node);
    let listener = listen(port).await?.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("no TCP_NODELAY: {error}");
        }
    });
    axum::serve(listener, app).await
}

struct Node {
    id: u32,
    sessions: AtomicU64,
    clients: Mutex<HashMap<String, mpsc::Sender<Utf8Bytes>>>,
    /// Nodes of sessions that were looked up before.
    owners: Mutex<HashMap<String, String>>,
    redis: MultiplexedConnection,
}

#[derive(Deserialize)]
struct Claim {
    account: String,
}

/// The envelope as it comes in.
#[derive(Deserialize)]
struct Received<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    args: &'a RawValue,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The envelope as it goes out.
#[derive(Serialize)]
struct Sent<'a> {
    event: &'a str,
    args: [&'a str; 1],
}

/// What one node tells another: for whom, nobody meaning everybody, and the packet.
#[derive(Deserialize, Serialize)]
struct Told<'a> {
    #[serde(borrow)]
    to: Option<Cow<'a, str>>,
    #[serde(borrow)]
    packet: Cow<'a, str>,
}

async fn connect(
    State(node): State<Arc<Node>>,
    Query(claim): Query<Claim>,
    upgrade: WebSocketUpgrade,
) -> axum::response::Response {
    let upgrade = upgrade.max_message_size(MAX_PAYLOAD);
    upgrade.on_upgrade(move |socket| async move {
        // It left without a word.
        drop(node.attend(socket, &claim.account).await);
    })
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Node {
    async fn attend(&self, mut socket: WebSocket, account: &str) -> Result<(), Failure> {
        let number = self.sessions.fetch_add(1, Ordering::Relaxed);
        let session = format!("s{}-{number}", self.id);
        let key = format!("{account}::{session}");
        let mut redis = self.redis.clone();
        let () = redis.set_ex(&key, self.id, LIFETIME).await?;
        let (sender, mut queue) = mpsc::channel(QUEUE);
        lock(&self.clients).insert(key.clone(), sender);
        let open = open_packet(&session).replacen('{', &format!(r#"{{"session":"{session}","#), 1);
        socket.send(Message::Text(open.into())).await?;
        let ended = self.exchange(&mut socket, &mut queue).await;
        lock(&self.clients).remove(&key);
        let () = redis.del(&key).await?;
        ended
    }

    async fn exchange(
        &self,
        socket: &mut WebSocket,
        queue: &mut mpsc::Receiver<Utf8Bytes>,
    ) -> Result<(), Failure> {
        loop {
            tokio::select! {
                Some(packet) = queue.recv() => socket.send(Message::Text(packet)).await?,
                message = socket.recv() => match message.transpose()? {
                    Some(Message::Text(text)) => self.handle(&text).await?,
                    Some(Message::Close(_)) | None => return Ok(()),
                    Some(_) => {}
                },
            }
        }
    }

    async fn handle(&self, packet: &str) -> Result<(), Failure> {
        let message = packet.strip_prefix('4').ok_or("no message")?;
        let received: Received<'_> = serde_json::from_str(message)?;
        let (to, text) = match &*received.event {
            "forward" => {
                let [account, session, text]: [Text<'_>; 3] =
                    serde_json::from_str(received.args.get())?;
                (Some(format!("{}::{}", account.0, session.0)), text)
            }
            "broadcast" => {
                let [text]: [Text<'_>; 1] = serde_json::from_str(received.args.get())?;
                (None, text)
            }
            _ => return Err("unknown event".into()),
        };
        let sent = Sent {
            event: &received.event,
            args: [&text.0],
        };
        let packet = format!("4{}", serde_json::to_string(&sent)?);
        let channel = match &to {
            Some(key) => self.owner(key).await?,
            None => ALL.to_owned(),
        };
        let told = Told {
            to: to.map(Cow::from),
            packet: packet.into(),
        };
        let () = self
            .redis
            .clone()
            .publish(channel, serde_json::to_string(&told)?)
            .await?;
        Ok(())
    }

    async fn owner(&self, key: &str) -> Result<String, Failure> {
        if let Some(known) = lock(&self.owners).get(key) {
            return Ok(known.clone());
        }
        let owner: Option<String> = self.redis.clone().get(key).await?;
        let owner = owner.ok_or("unknown session")?;
        lock(&self.owners).insert(key.to_owned(), owner.clone());
        Ok(owner)
    }

    fn deliver(&self, told: &[u8]) {
        let Ok(told) = serde_json::from_slice::<Told<'_>>(told) else {
            return eprintln!("unreadable: {}", told.escape_ascii());
        };
        let packet = Utf8Bytes::from(&*told.packet);
        let clients = lock(&self.clients);
        let push = |client: &mpsc::Sender<Utf8Bytes>| {
            if client.try_send(packet.clone()).is_err() {
                eprintln!("a message was dropped: the client's queue is full");
            }
        };
        match &told.to {
            Some(key) => clients.get(&**key).into_iter().for_each(push),
            None => clients.values().for_each(push),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
