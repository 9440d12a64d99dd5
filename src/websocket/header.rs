//! The headers of the frames that clients send.

use super::{Opcode, ProtocolError};

/// The longest header of a client's frame: two bytes, a 64-bit length, the mask.
pub(super) const MAX_INCOMING_HEADER: usize = 14;

/// The longest payload of a control frame [RFC 6455, 5.5].
pub(super) const MAX_CONTROL_PAYLOAD: usize = 125;

const FIN: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
const OPCODE: u8 = 0x0F;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7F;
const LENGTH_IN_16_BITS: u8 = 126;
const LENGTH_IN_64_BITS: u8 = 127;

/// A client's frame as its header announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IncomingHeader {
    /// Whether the frame is the last of its message.
    pub(super) fin: bool,
    /// The kind of the frame.
    pub(super) opcode: Opcode,
    /// How many bytes of payload follow.
    pub(super) payload: u64,
    /// The mask over the payload.
    pub(super) key: [u8; 4],
    /// How many bytes the header itself takes.
    pub(super) size: usize,
}

impl IncomingHeader {
    /// Reads the header that `bytes` begin with; `None` while it is not whole.
    ///
    /// `fragmented` tells whether a fragmented message is under way, `room` how many bytes a message
    /// may still have. Every byte is judged as soon as it is there and in its order, so the error
    /// does not depend on how the bytes were cut.
    #[inline]
    pub(super) fn parse(
        bytes: &[u8],
        fragmented: bool,
        room: usize,
    ) -> Result<Option<Self>, ProtocolError> {
        let &[first, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        let fin = first & FIN != 0;
        let opcode = judge_first(first, fragmented)?;
        let &[second, ref rest @ ..] = rest else {
            return Ok(None);
        };
        judge_second(second, opcode)?;
        let Some((payload, rest)) = length(second & LENGTH, rest)? else {
            return Ok(None);
        };
        if payload > room as u64 && !opcode.is_control() {
            return Err(ProtocolError::TooLarge);
        }
        let Some((&key, rest)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        let size = bytes.len() - rest.len();
        Ok(Some(Self {
            fin,
            opcode,
            payload,
            key,
            size,
        }))
    }
}

/// Judges the byte of the flags and the opcode.
fn judge_first(first: u8, fragmented: bool) -> Result<Opcode, ProtocolError> {
    if first & RESERVED_BITS != 0 {
        return Err(ProtocolError::ReservedBits);
    }
    let bits = first & OPCODE;
    let opcode = Opcode::from_bits(bits).ok_or(ProtocolError::ReservedOpcode(bits))?;
    match opcode {
        Opcode::Close | Opcode::Ping | Opcode::Pong if first & FIN == 0 => {
            Err(ProtocolError::ControlFragmented)
        }
        Opcode::Continuation if !fragmented => Err(ProtocolError::UnexpectedContinuation),
        Opcode::Text | Opcode::Binary if fragmented => Err(ProtocolError::NestedMessage),
        _ => Ok(opcode),
    }
}

/// Judges the byte of the mask bit and the short length.
fn judge_second(second: u8, opcode: Opcode) -> Result<(), ProtocolError> {
    let length = second & LENGTH;
    if second & MASKED == 0 {
        return Err(ProtocolError::Unmasked);
    }
    if opcode.is_control() && usize::from(length) > MAX_CONTROL_PAYLOAD {
        return Err(ProtocolError::ControlTooLong);
    }
    if opcode == Opcode::Close && length == 1 {
        return Err(ProtocolError::CloseTooShort);
    }
    Ok(())
}

/// Reads the length that `short` announces or that follows it, and gives what comes after.
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    let (length, rest, least) = match short {
        LENGTH_IN_16_BITS => match rest.split_first_chunk() {
            Some((&bytes, rest)) => (u64::from(u16::from_be_bytes(bytes)), rest, 126),
            None => return Ok(None),
        },
        LENGTH_IN_64_BITS => match rest.split_first_chunk() {
            Some((&bytes, rest)) => (u64::from_be_bytes(bytes), rest, 1 << 16),
            None => return Ok(None),
        },
        _ => (u64::from(short), rest, 0),
    };
    if length >> 63 != 0 {
        return Err(ProtocolError::LengthTopBit);
    }
    if length < least {
        return Err(ProtocolError::LengthNotMinimal);
    }
    Ok(Some((length, rest)))
}
