//! Requests for connections of other nodes: a client may speak with any node.
//!
//! A socket id says which node gave it out, and proves it, so that one that was made up costs
//! nothing. [`Relay::send`] takes a request there, over plain HTTP, and brings back the answer, an
//! upgraded connection included; [`Relay::check`] takes what another node has sent. Every relay
//! carries a proof: a code over all that matters of it, under the key that the receiving node keeps
//! in its lease, and a number that counts once.

#[cfg(feature = "redis")]
mod client;
mod peers;
mod pipe;
mod proof;
mod relaying;
mod tunnel;
mod window;

pub(crate) use self::{
    peers::{MARK, Peer, RELEASE, Relay, Upgrade},
    proof::Whose,
    relaying::Relaying,
    tunnel::Patience,
};
