//! The directory in Redis: scripts, each in one slot, over one connection.

mod into;
mod link;
mod parse;
mod scripts;
mod store;

pub use self::into::{IntoRedis, Redis};
pub(in crate::presence) use self::store::open;
