use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    connection::{Received, Scratch},
    engine::{Data, DecodeError, Packet, decode_base64},
    websocket::{Incoming, Payload},
};

/// What was decoded, out of the buffers that it lay in.
pub(super) enum Owned {
    Packet(Received),
    Ping(Bytes),
    Pong,
    Close,
}

/// Out of the scratch space, where the input began at `start`.
#[inline]
pub(super) fn in_scratch(message: Incoming, start: usize, scratch: &mut Scratch) -> Owned {
    match message {
        Incoming::Text(Payload::InPlace(range)) => {
            let range = start + range.start..start + range.end;
            match Packet::decode(&scratch.input[range.clone()]) {
                Ok(Packet::Text(_)) => text(scratch.keep(range.start + 1..range.end)),
                other => packet(other),
            }
        }
        Incoming::Binary(Payload::InPlace(range)) => {
            binary(scratch.keep(start + range.start..start + range.end))
        }
        Incoming::Ping(Payload::InPlace(range)) => {
            Owned::Ping(scratch.keep(start + range.start..start + range.end))
        }
        other => in_bytes(other, &Bytes::new()),
    }
}

/// Out of bytes of its own: `consumed` is what ranges in place refer to.
pub(super) fn in_bytes(message: Incoming, consumed: &Bytes) -> Owned {
    let owned = |payload| match payload {
        Payload::InPlace(range) => consumed.slice(range),
        Payload::Owned(bytes) => bytes,
    };
    match message {
        Incoming::Text(payload) => {
            let bytes = owned(payload);
            match Packet::decode(&bytes) {
                Ok(Packet::Text(_)) => text(bytes.slice(1..)),
                other => packet(other),
            }
        }
        Incoming::Binary(payload) => binary(owned(payload)),
        Incoming::Ping(payload) => Owned::Ping(owned(payload)),
        Incoming::Pong => Owned::Pong,
        Incoming::Close(_) => Owned::Close,
    }
}

#[inline]
fn text(bytes: Bytes) -> Owned {
    Owned::Packet(match ByteString::try_from(bytes) {
        Ok(text) => Received::Message(Data::Text(text)),
        Err(_) => Received::Malformed(DecodeError::Utf8),
    })
}

fn binary(bytes: Bytes) -> Owned {
    Owned::Packet(Received::Message(Data::Binary(bytes)))
}

fn packet(decoded: Result<Packet<'_>, DecodeError>) -> Owned {
    Owned::Packet(match decoded {
        Ok(Packet::Base64(data)) => match decode_base64(data) {
            Ok(bytes) => Received::Message(Data::Binary(bytes)),
            Err(error) => Received::Malformed(error),
        },
        Ok(packet) => Received::Control(packet.control()),
        Err(error) => Received::Malformed(error),
    })
}
