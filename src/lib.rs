//! A tower layer for real-time messages: Engine.IO connections, validated messages, one
//! [`Service`](tower_service::Service) for all of them.
//!
//! Put a [`PrimacronLayer`] on an axum [`Router`](https://docs.rs/axum) or any other tower HTTP
//! service, and `/stream/` speaks Engine.IO protocol 4, by websocket and by long polling. Every
//! message passes a validator of its event before the application's service sees it; requests that
//! are not for the endpoint reach the inner service untouched.
//!
//! ```
//! use axum::{Router, routing::get};
//! use primacron::{Args, Message, PrimacronLayer, PublicError, Reply, User};
//! use serde::Deserialize;
//!
//! #[derive(Clone, Deserialize)]
//! struct Move {
//!     from: String,
//!     to: String,
//! }
//!
//! async fn handle(message: Message) -> Result<Reply, PublicError> {
//!     match message.event() {
//!         // What a validator read is not read twice.
//!         "move" => {
//!             let Move { from, to } = message.data().ok_or(PublicError::new("no move"))?;
//!             Ok(Reply::event("moved", (from.clone(), to.clone())))
//!         }
//!         // A message with an id gets this as its answer.
//!         _ => Ok(Reply::args(message.args().clone())),
//!     }
//! }
//!
//! let primacron = PrimacronLayer::in_memory()
//!     .validate("chat", |args: &Args, _: &User| match args.get::<&str>(0) {
//!         Ok(text) if text.len() <= 2000 => Ok(()),
//!         _ => Err("say it in 2000 bytes"),
//!     })
//!     .validate_as::<Move>("move")
//!     .service(tower::service_fn(handle));
//!
//! let streams = primacron.handle(); // send, close, count, notices, drain: from anywhere
//!
//! let app: Router = Router::new().route("/", get("hello")).layer(primacron);
//! # drop((app, streams));
//! ```
//!
//! # Messages
//!
//! With the default codec a message is a JSON object. `{"event": NAME, "args": [..]}` is the event
//! NAME; an object without `event` is the event `message` with that object as its only argument.
//! With `"id": N` the sender wants an answer, `{"id": N, "args": [..]}` or
//! `{"id": N, "error": TEXT}`. The server sends the same. What is refused becomes a [`Notice`], and
//! the client hears an event of the notice's name: `error::json`, `error::invalid`,
//! `error::validation` or `error::handler`.
//!
//! # Handlers by event
//!
//! A [`router::EventRouter`] hands each event to an async function of its own, whose typed arguments
//! bring their validator along; [`PrimacronLayer::router`] takes it as it stands.
//!
//! # Back-pressure
//!
//! The handler is asked for readiness with a validated message in hand, and while a message waits,
//! nothing more is read from its client: there is no queue in between. Idle connections hold no
//! readiness, so that a `ConcurrencyLimit` shared by all of them starves nobody. While we do not
//! read, the client is not held to its heartbeat. On the way out every client has a queue that is
//! bounded in bytes: [`Socket::send`] waits for room, [`Socket::try_send`] does not.
//!
//! # Several servers
//!
//! With [`PrimacronLayer::new`] all servers of a Redis are one: whatever the [`Handle`] does reaches
//! whom it is for, wherever he is connected. [`Handle::try_send`] waits for nothing,
//! [`Handle::forward`] says how far a message got ([`Outcome`]), [`Handle::broadcast`] and
//! [`Handle::close`] what each server did ([`Gathered`]), and [`Handle::follow`] lets one session hear
//! what another one of its account sends. [`Handle::watch`] tells who comes and goes of an account,
//! [`Handle::watch_all`] of all. All servers speak the same codec. A server that goes away lets its
//! clients go first: [`Handle::drain_on`].
//!
//! # Everything else that you have
//!
//! It is tower on both sides: [`guide::around`] has the layers of tower-http around the endpoint, and a
//! login of your own, [`guide::inside`] rate limits, timeouts and errors between it and your handler,
//! [`guide::frameworks`] what it was tried in.
//!
//! # Logs
//!
//! With the feature `tracing`, what a [`Notice`] tells is an event: errors at `WARN`, the rest at
//! `DEBUG` or `INFO`. Under the target `primacron` there are two spans:
//!
//! | span | level | fields |
//! | --- | --- | --- |
//! | `connection` | `INFO` | `id`, a number that only tells connections of a process apart; `account`; `transport`, the one that it began with |
//! | `message` | `DEBUG` | `event`, once it is known to have a validator |
//!
//! A connection's span has no parent, for it outlives its request; a message's lies in it, and what
//! validators and the handler say lies in the message's, across every await. No span and no event
//! has a socket id, a session or anything else of a message.
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `garde` | no | [`validate::garde`](mod@validate): types with rules of `garde` |
//! | `json-schema` | no | [`validate::json_schema`](mod@validate): arguments by JSON Schema |
//! | `msgpack` | no | `MsgPack`: messages as MessagePack in binary frames |
//! | `metrics` | no | `metrics`: what goes on, counted behind the facade of that name |
//! | `redis` | yes | presence in Redis: [`PrimacronLayer::new`] |
//! | `redis-cluster` | no | the same in a Redis Cluster |
//! | `redis-sentinel` | no | the same where Redis Sentinel says who the master is |
//! | `redis-tls` | no | TLS to Redis (`rediss://`): [`IntoRedis`] says whom it trusts |
//! | `http2` | no | websockets over HTTP/2 (RFC 8441), where the server offers them; polling needs no feature |
//! | `testing` | no | `testing`: messages without a server, clients without a socket, nodes that can be killed |
//! | `tracing` | no | notices as events of the `tracing` facade, connections and messages as spans |
//!
//! # Layout
//!
//! From low to high; a file imports only from rooms below its own.
//!
//! - `engine`: Engine.IO without input and output: packets, payloads, query, heartbeat, upgrade.
//! - `websocket`: RFC 6455 without input and output, for a server.
//! - `message`: codecs, arguments, verdicts, [`Message`], [`Reply`], [`Socket`].
//! - [`validate`]: ready-made validators.
//! - `error`, `notice`, `metrics`, `spans`, `config`, `account`, `gate`: what goes wrong, what is told,
//!   counted and traced, what is set, who may connect.
//! - `redis`: a connection out of any pool, and scripts. `condition`: whether nodes in one process reach
//!   what they share in its place.
//! - `presence`: who is connected where: a core without input and output, its task, its stores.
//! - `bus`: what nodes ask of one another, and how it gets there.
//! - `connection`: the life of a connection, its queue, the registry of all of them.
//! - [`router`]: handlers by event.
//! - `transport`: websocket and long polling: bytes in, bytes out.
//! - `node`: what one node is made of, and the [`Handle`] to it.
//! - `relay`: requests for connections of other nodes.
//! - `guide`: documentation and nothing else.
//! - `respond`, `client`, `publish`: what is answered beside messages.
//! - `shared`, `body`, `future`, `service`, `layer`, `cluster`, `serve`: the tower face.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod account;
mod body;
mod bus;
mod client;
mod cluster;
mod condition;
mod config;
mod connection;
mod engine;
mod error;
mod future;
mod gate;
pub mod guide;
mod ids;
mod layer;
mod message;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(not(feature = "metrics"))]
mod metrics;
mod node;
mod notice;
mod presence;
mod publish;
#[cfg_attr(
    not(feature = "redis"),
    allow(dead_code, reason = "without a directory there are no other nodes")
)]
mod reach;
#[cfg(feature = "redis")]
mod redis;
#[cfg_attr(
    not(feature = "redis"),
    allow(dead_code, reason = "without a directory there are no other nodes")
)]
mod relay;
mod respond;
pub mod router;
mod serve;
mod service;
mod shared;
mod spans;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
pub mod validate;
mod websocket;

pub use crate::{
    account::{Account, AccountFn, IntoAccount},
    body::ResponseBody,
    bus::{Gathered, Level, NodeResult, Outcome, Refused, Sent, Unreached, Wait},
    cluster::Cluster,
    config::{BusConfig, Config, ConfigError, FencedPolicy, PresenceConfig, QueuePolicy, Secret},
    connection::{Cloned, Handler, MakeHandler, PerUser},
    engine::{CloseReason, DecodeError, Transport},
    error::{AccountError, PublicError},
    future::ResponseFuture,
    layer::{NoHandler, PrimacronLayer},
    message::{
        Args, ArgsError, Codec, DecodeFailure, EncodeError, Envelope, IntoArgs, IntoVerdict, Json,
        Message, Outgoing, OutgoingArgs, OwnedArgs, Raw, RawInput, Refusal, Reply, SendError,
        Socket, User, Verdict, WireKind,
    },
    node::{FollowError, Handle, To, Watch},
    notice::{Notice, Notices},
    presence::{Find, Located, Movement, NodeInfo, PresenceState, Sessions, Uncertain},
    publish::{Publisher, Publishing},
    serve::{Serve, serve},
    service::Primacron,
};

#[cfg(feature = "msgpack")]
pub use crate::message::MsgPack;
#[cfg(feature = "redis")]
pub use crate::redis::{IntoRedis, Redis};

/// The programs of the README, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
