//! The directory in Redis: scripts, over one connection; on a Cluster each in one slot.

mod answers;
mod parse;
mod scripts;
mod store;
mod write;

pub(in crate::presence) use self::store::open;
