//! The directory in Redis: scripts, each in one slot, over one connection.

mod parse;
mod scripts;
mod store;

pub(in crate::presence) use self::store::open;
