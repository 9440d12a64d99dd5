//! The closest peer, engineioxide behind `axum::Router::layer`, doing the job of the measuring server.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use bytes::Bytes;
use engineioxide::config::EngineIoConfig;
use engineioxide::handler::EngineIoHandler;
use engineioxide::layer::EngineIoLayer;
use engineioxide::socket::Sid;
use engineioxide::{DisconnectReason, Socket, Str};
use primacron_rows::{Flags, MAX_PAYLOAD, listen, run};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

fn main() -> io::Result<()> {
    let flags = Flags::from_env()?;
    run(flags.threads, serve(flags.port))
}

async fn serve(port: u16) -> io::Result<()> {
    let config = EngineIoConfig::builder()
        .req_path("/stream")
        .max_payload(MAX_PAYLOAD as u64)
        .build();
    let layer = EngineIoLayer::from_config(Arc::new(Events::default()), config);
    let app = Router::new()
        .route("/", get(|| async { "peer" }))
        .layer(layer);
    let listener = listen(port).await?.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("no TCP_NODELAY: {error}");
        }
    });
    axum::serve(listener, app).await
}

type Client = Arc<Socket<()>>;

/// Answers `echo` to its sender and `broadcast` to everybody.
#[derive(Clone, Debug, Default)]
struct Events {
    clients: Arc<Mutex<HashMap<Sid, Client>>>,
}

/// The envelope as it comes in: the arguments stay raw until the event is known.
#[derive(Deserialize)]
struct Received<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    args: &'a RawValue,
}

/// The argument of both events.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The envelope as it goes out.
#[derive(Serialize)]
struct Sent<'a> {
    event: &'a str,
    args: [&'a str; 1],
}

impl Events {
    fn handle(&self, message: &str, client: &Client) -> Result<(), serde_json::Error> {
        let received: Received<'_> = serde_json::from_str(message)?;
        match &*received.event {
            "echo" => emit(client, answer(&received)?),
            "broadcast" => self.broadcast(&answer(&received)?),
            _ => return Err(serde::de::Error::custom("unknown event")),
        }
        Ok(())
    }

    fn broadcast(&self, answer: &Str) {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        for client in clients.values() {
            emit(client, answer.clone());
        }
    }
}

impl EngineIoHandler for Events {
    type Data = ();

    fn on_connect(self: Arc<Self>, client: Client) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.insert(client.id, client);
    }

    fn on_disconnect(&self, client: Client, _: DisconnectReason) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.remove(&client.id);
    }

    fn on_message(self: &Arc<Self>, message: Str, client: Client) {
        if let Err(error) = self.handle(&message, &client) {
            eprintln!("message refused: {error}");
            client.close(DisconnectReason::PacketParsingError);
        }
    }

    fn on_binary(self: &Arc<Self>, _: Bytes, client: Client) {
        client.close(DisconnectReason::PacketParsingError);
    }
}

/// Checks the argument and puts it under the same event.
fn answer(received: &Received<'_>) -> Result<Str, serde_json::Error> {
    let [Text(text)]: [Text<'_>; 1] = serde_json::from_str(received.args.get())?;
    if text.len() > MAX_PAYLOAD {
        return Err(serde::de::Error::custom("argument too long"));
    }
    let sent = Sent {
        event: &received.event,
        args: [&text],
    };
    Ok(serde_json::to_string(&sent)?.into())
}

fn emit(client: &Client, answer: Str) {
    if client.emit(answer).is_err() {
        eprintln!("answer dropped: the client's queue is full");
    }
}
