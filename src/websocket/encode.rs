//! The frames that the server sends.

use super::header::MAX_CONTROL_PAYLOAD;
use super::{CloseCode, Opcode};

/// The longest header of a server's frame: two bytes and a 64-bit length.
pub(crate) const MAX_HEADER: usize = 10;

/// The longest control frame of a server: two bytes and 125 of payload.
const MAX_CONTROL_FRAME: usize = 2 + MAX_CONTROL_PAYLOAD;

/// The longest reason of a close frame, behind the two bytes of its code.
const MAX_REASON: usize = MAX_CONTROL_PAYLOAD - 2;

const FIN: u8 = 0x80;

/// How many bytes the header before a payload of that length takes.
const fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => MAX_HEADER,
    }
}

/// The header of a whole, unmasked frame.
pub(crate) fn header(opcode: Opcode, payload_len: usize) -> Header {
    let mut bytes = [0; MAX_HEADER];
    let len = header_len(payload_len);
    let wide = (payload_len as u64).to_be_bytes();
    bytes[0] = FIN | opcode as u8;
    match len {
        2 => bytes[1] = wide[7],
        4 => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&wide[6..]);
        }
        _ => {
            bytes[1] = 127;
            bytes[2..].copy_from_slice(&wide);
        }
    }
    Header {
        bytes,
        len: len as u8,
    }
}

/// The answer to a ping with that payload. 125 bytes have room, the rest is cut.
pub(crate) fn pong(payload: &[u8]) -> ControlFrame {
    ControlFrame::new(Opcode::Pong, &[payload])
}

/// A close frame. Of the reason whole characters in 123 bytes have room, the rest is cut.
pub(crate) fn close_frame(code: CloseCode, reason: &str) -> ControlFrame {
    let end = (0..=reason.len().min(MAX_REASON))
        .rev()
        .find(|at| reason.is_char_boundary(*at));
    let reason = &reason[..end.unwrap_or(0)];
    ControlFrame::new(
        Opcode::Close,
        &[&code.get().to_be_bytes(), reason.as_bytes()],
    )
}

/// The bytes of a header, in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    bytes: [u8; MAX_HEADER],
    len: u8,
}

impl AsRef<[u8]> for Header {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The bytes of a control frame, header and payload, in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlFrame {
    bytes: [u8; MAX_CONTROL_FRAME],
    len: u8,
}

impl ControlFrame {
    fn new(opcode: Opcode, parts: &[&[u8]]) -> Self {
        let mut bytes = [0; MAX_CONTROL_FRAME];
        let mut len = 2;
        for part in parts {
            let taken = part.len().min(bytes.len() - len);
            bytes[len..len + taken].copy_from_slice(&part[..taken]);
            len += taken;
        }
        bytes[0] = FIN | opcode as u8;
        bytes[1] = (len - 2) as u8;
        Self {
            bytes,
            len: len as u8,
        }
    }
}

impl AsRef<[u8]> for ControlFrame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}
