//! Primacron: a tower layer for real-time messages.

mod account;
mod body;
mod client;
mod config;
mod connection;
mod engine;
mod error;
mod future;
mod gate;
mod ids;
mod layer;
mod message;
mod node;
mod notice;
mod respond;
mod serve;
mod service;
mod shared;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
mod websocket;

pub use crate::{
    account::{Account, AccountFn, IntoAccount},
    body::ResponseBody,
    config::{Config, ConfigError, QueuePolicy},
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
    node::{Handle, Sent, To},
    notice::{Notice, Notices},
    serve::{Serve, serve},
    service::Primacron,
};

/// The programs of the README, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
