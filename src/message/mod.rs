//! From bytes to a validated [`Message`] and from a [`Reply`] back to bytes.
//!
//! `codec`, `json`, `msgpack` and `raw` read and write envelopes; `args`, `raw_input` and `user` are what a
//! message is made of; `validator` says who may decide and `admission` asks them; `outgoing`,
//! `reply`, `frame` and `socket` are the way back.

mod admission;
mod args;
mod codec;
mod frame;
mod json;
#[expect(clippy::module_inception, reason = "the message of the message room")]
mod message;
#[cfg(feature = "msgpack")]
mod msgpack;
mod outgoing;
mod raw;
mod raw_input;
mod reply;
mod socket;
mod user;
mod validator;
mod whole;

#[cfg(feature = "msgpack")]
pub use self::msgpack::MsgPack;
pub(crate) use self::{
    admission::{Admission, Asking, Cause, EventId, Refused, Validators},
    frame::{Encoded, Frame},
    reply::ReplyBody,
    socket::{FOLLOW_GAP, Outlet, PushError, encode_event, is_reserved, push},
    validator::{Found, Validator},
};
pub use self::{
    args::{Args, ArgsError},
    codec::{Codec, DecodeFailure, EncodeError, Envelope, Outgoing, WireKind},
    json::Json,
    message::Message,
    outgoing::{IntoArgs, OutgoingArgs, OwnedArgs},
    raw::Raw,
    raw_input::RawInput,
    reply::Reply,
    socket::{SendError, Socket},
    user::User,
    validator::{IntoVerdict, Refusal, Verdict},
};
