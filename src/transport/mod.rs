//! Long polling and websocket: bytes in, bytes out.
//!
//! `websocket` moves frames over a byte stream that was upgraded, `packets` reads them, `accept` answers the opening
//! handshake, `origin` refuses foreign pages, `post` reads the body of a long-polling POST.

mod accept;
mod origin;
mod packets;
mod post;
mod websocket;

pub(crate) use self::{
    accept::{Opening, accept, is_upgrade, wants_stream, wants_websocket},
    origin::check as check_origin,
    post::PostBody,
    websocket::WebSocket,
};
