//! Who is connected where: the directory of all sessions of all nodes.
//!
//! A node keeps one lease and renews it; its sessions cost nothing while they last. An entry says
//! which node has a session, and counts as long as that node lives by the reader's own clock. So
//! nothing has to be removed at once when a node dies, and nothing that comes late does harm.
//!
//! - [`core`](self::core) decides everything, without a clock and without a store: it puts the
//!   `directory` of our own sessions and the `liveness` of the others together.
//! - `store` is where the directory is kept: `redis`, or the `memory` of this process.
//! - [`Presence`] is the handle, [`PresenceTask`] the task behind it.
//!
//! Accounts fall into 64 buckets, each in one slot of a Cluster. A bucket has a random marker that
//! is lost with it. Only when every node that lives has said that it wrote all its part under this
//! very marker, in its present epoch, does a missing entry mean [`Find::NotFound`].
//!
//! - A node lists what it has in an index, for who clears up when it dies, or does not: then its
//!   entries expire, the whole account at once, unless it writes them again in time. What an account
//!   does is decided when its key is made. In a key that expires every node writes its own again; in
//!   one that does not every node lists them. A node that falls so far behind that something may have
//!   expired does not say any more that all is written.
//! - Where the server of some buckets is not reached, these are left out of what is written, and
//!   asked for on their own until it is there again: all others stay exact.
//! - A write says when it was sent, by the clock of the store. Who takes longer than the command
//!   timeout has been given up, and its write does nothing: what followed may be there already.
//! - A node cannot tell a lost lease table from its own death but by the time that passed; in both
//!   cases it writes everything again under a new epoch. Where it was away for long, others have told
//!   that its sessions left: it tells them again, under generations that are higher by one, so that
//!   whoever took a session over meanwhile is still the newer one.

mod core;
mod directory;
mod evictions;
mod handle;
mod job;
mod keys;
mod liveness;
mod memory;
mod moves;
mod own;
mod peers;
#[cfg(feature = "redis")]
mod redis;
mod store;
mod task;
#[cfg(test)]
mod tests;
mod types;
mod value;

pub use self::types::{Find, Located, Movement, NodeInfo, PresenceState, Sessions, Uncertain};
pub(crate) use self::{
    handle::{Close, Presence},
    memory::Memory,
    moves::{Move, Moves},
    task::PresenceTask,
    types::{Census, Life},
};
