//! The directory in Redis: scripts, over one connection; on a Cluster each in one slot.

mod parse;
mod scripts;
mod store;

pub(in crate::presence) use self::store::open;
