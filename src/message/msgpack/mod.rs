//! MessagePack: `walk` looks at bytes, `array` keeps arguments, `codec` reads and writes envelopes.

mod array;
mod codec;
mod walk;

pub(super) use self::array::Array;
pub use self::codec::MsgPack;
