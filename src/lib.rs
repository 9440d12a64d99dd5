//! Primacron: a tower layer for real-time messages.

mod account;
mod body;
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
#[cfg_attr(
    not(feature = "redis"),
    allow(dead_code, reason = "without a store nobody keeps a directory")
)]
mod presence;
mod respond;
mod service;
mod shared;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
mod websocket;

pub use crate::{
    account::{Account, AccountFn, IntoAccount},
    body::ResponseBody,
    config::{Config, ConfigError, PresenceConfig, QueuePolicy},
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
    presence::{Find, Located, NodeInfo, PresenceState, Sessions, Uncertain},
    service::Primacron,
};

#[cfg(feature = "redis")]
pub use crate::presence::{IntoRedis, Redis};
