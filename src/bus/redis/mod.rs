//! Inboxes in Redis: a stream for each node, and a hash beside it that counts its bytes.

mod inbox;
mod parse;
mod scripts;

pub(super) use self::inbox::open;
