//! Bytes in, messages out.

use std::mem::take;
use std::ops::Range;

use super::assembly::Assembly;
use super::header::{IncomingHeader, MAX_INCOMING_HEADER};
use super::mask::unmask;
use super::{CloseFrame, Decoded, Incoming, Limits, Opcode, Payload, ProtocolError};

/// Reads what one client sends. Idle it owns no memory.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The bytes of a header that is not whole yet.
    header: [u8; MAX_INCOMING_HEADER],
    header_len: u8,
    /// Whether a close frame or an error ended the stream.
    ended: bool,
    unfinished: Option<Box<Unfinished>>,
}

/// What waits for more bytes.
#[derive(Debug, Default)]
struct Unfinished {
    /// The frame whose payload is not whole.
    frame: Option<Frame>,
    /// What has come of its payload, if it is a control frame.
    control: Vec<u8>,
    /// What has come of the message under way.
    message: Option<Assembly>,
}

/// A frame whose payload is being read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    fin: bool,
    opcode: Opcode,
    /// The mask, turned so that it begins with the next byte of payload.
    key: [u8; 4],
    /// How much of the payload is still to come.
    left: usize,
    /// Whether nothing of the payload has come.
    fresh: bool,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Decodes the next message or control frame, unmasking it in place.
    ///
    /// A prefix of `input` is consumed. Where it holds no whole message all of it is, and what is
    /// partial is kept; so the caller goes on with the rest until there is no message. After a
    /// close frame and after an error everything is consumed and nothing found.
    ///
    /// # Errors
    ///
    /// The rule that the client broke. Of `input` nothing is to be used then.
    pub(crate) fn decode(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
    ) -> Result<Decoded, ProtocolError> {
        if self.ended {
            return Ok(Decoded::nothing(input.len()));
        }
        let decoded = match self.sole(input, limits) {
            Ok(Some(decoded)) => return Ok(decoded),
            Ok(None) => self.next(input, limits),
            Err(error) => Err(error),
        };
        self.unfinished
            .take_if(|unfinished| unfinished.is_nothing());
        if decoded.as_ref().map_or(true, Decoded::is_close) {
            *self = Self {
                ended: true,
                ..Self::default()
            };
        }
        decoded
    }

    /// How many bytes of memory are held for what is partial.
    #[cfg(test)]
    pub(crate) fn buffered(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |unfinished| {
            let message = unfinished.message.as_ref().map_or(0, Assembly::capacity);
            size_of::<Unfinished>() + unfinished.control.capacity() + message
        })
    }

    /// The message in one frame that `input` begins with, if that is what it does: nearly all do.
    #[inline]
    fn sole(&self, input: &mut [u8], limits: &Limits) -> Result<Option<Decoded>, ProtocolError> {
        if self.unfinished.is_some() || self.header_len > 0 {
            return Ok(None);
        }
        let Some(header) = IncomingHeader::parse(input, false, limits.max_message)? else {
            return Ok(None);
        };
        let rest = &mut input[header.size..];
        let whole = usize::try_from(header.payload).ok();
        let Some(payload) = whole.and_then(|length| rest.get_mut(..length)) else {
            return Ok(None);
        };
        if !header.fin || header.opcode.is_control() {
            return Ok(None);
        }
        unmask(payload, header.key);
        let consumed = header.size + payload.len();
        message(header.opcode, header.size..consumed, input).map(|message| {
            Some(Decoded {
                consumed,
                message: Some(message),
            })
        })
    }

    fn next(&mut self, input: &mut [u8], limits: &Limits) -> Result<Decoded, ProtocolError> {
        let mut at = 0;
        while let Some(mut frame) = self.frame(input, &mut at, limits)? {
            let range = at..at + frame.left.min(input.len() - at);
            let piece = &mut input[range.clone()];
            let whole = frame.fresh && piece.len() == frame.left;
            unmask(piece, frame.key);
            frame.advance(piece.len());
            at = range.end;
            let message = if whole {
                self.whole(frame, range, input, limits)?
            } else {
                self.partial(frame, piece, limits)?
            };
            if message.is_some() || frame.left > 0 {
                return Ok(Decoded {
                    consumed: at,
                    message,
                });
            }
        }
        Ok(Decoded::nothing(input.len()))
    }

    /// The frame under way, or else the one that begins at `at`; `at` is moved to its payload.
    fn frame(
        &mut self,
        input: &[u8],
        at: &mut usize,
        limits: &Limits,
    ) -> Result<Option<Frame>, ProtocolError> {
        if let Some(frame) = self.unfinished.as_mut().and_then(|kept| kept.frame.take()) {
            return Ok(Some(frame));
        }
        let Some(header) = self.header(&input[*at..], at, limits)? else {
            return Ok(None);
        };
        self.admit(&header, limits)?;
        Ok(Some(Frame::new(&header)))
    }

    /// Reads a header, part of which may have come before; keeps it while it is not whole.
    fn header(
        &mut self,
        input: &[u8],
        at: &mut usize,
        limits: &Limits,
    ) -> Result<Option<IncomingHeader>, ProtocolError> {
        let message = self.message();
        let fragmented = message.is_some();
        let room = limits
            .max_message
            .saturating_sub(message.map_or(0, Assembly::len));
        let kept = usize::from(self.header_len);
        if kept == 0
            && let Some(header) = IncomingHeader::parse(input, fragmented, room)?
        {
            *at += header.size;
            return Ok(Some(header));
        }
        let added = input.len().min(MAX_INCOMING_HEADER - kept);
        self.header[kept..kept + added].copy_from_slice(&input[..added]);
        let header = IncomingHeader::parse(&self.header[..kept + added], fragmented, room)?;
        self.header_len = if header.is_some() {
            0
        } else {
            (kept + added) as u8
        };
        *at += header.map_or(added, |header| header.size - kept);
        Ok(header)
    }

    /// Counts a frame against the fragments that a message may have.
    fn admit(&self, header: &IncomingHeader, limits: &Limits) -> Result<(), ProtocolError> {
        if header.opcode.is_control() {
            return Ok(());
        }
        let message = self.message();
        let fragments = message.map_or(0, Assembly::fragments);
        let alone = message.is_none() && header.fin;
        if !alone && fragments >= limits.max_fragments {
            return Err(ProtocolError::TooManyFragments);
        }
        Ok(())
    }

    /// Takes a frame whose payload lies whole in the input.
    fn whole(
        &mut self,
        frame: Frame,
        range: Range<usize>,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<Incoming>, ProtocolError> {
        let payload = &input[range.clone()];
        match frame.opcode {
            Opcode::Text | Opcode::Binary if frame.fin => {
                message(frame.opcode, range, input).map(Some)
            }
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                self.assemble(frame, payload, limits)
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                control(frame.opcode, Payload::InPlace(range), input).map(Some)
            }
        }
    }

    /// Takes the next piece of a frame whose payload comes in pieces.
    fn partial(
        &mut self,
        frame: Frame,
        piece: &[u8],
        limits: &Limits,
    ) -> Result<Option<Incoming>, ProtocolError> {
        let unfinished = self.unfinished.get_or_insert_default();
        if frame.left > 0 {
            unfinished.frame = Some(frame);
        }
        if !frame.opcode.is_control() {
            return if frame.fresh {
                Ok(None)
            } else {
                self.assemble(frame, piece, limits)
            };
        }
        unfinished.control.extend_from_slice(piece);
        if frame.left > 0 {
            return Ok(None);
        }
        let payload = Payload::Owned(take(&mut unfinished.control).into());
        control(frame.opcode, payload, &[]).map(Some)
    }

    /// Adds a piece to the message under way and gives the message once it is whole.
    fn assemble(
        &mut self,
        frame: Frame,
        piece: &[u8],
        limits: &Limits,
    ) -> Result<Option<Incoming>, ProtocolError> {
        let unfinished = self.unfinished.get_or_insert_default();
        let begin = || Assembly::new(frame.opcode == Opcode::Text);
        let message = unfinished.message.get_or_insert_with(begin);
        message.push(piece, frame.left, frame.fin, limits)?;
        if frame.left > 0 || !frame.fin {
            return Ok(None);
        }
        Ok(unfinished.message.take().map(Assembly::finish))
    }

    /// The message under way.
    fn message(&self) -> Option<&Assembly> {
        self.unfinished.as_ref()?.message.as_ref()
    }
}

impl Unfinished {
    fn is_nothing(&self) -> bool {
        self.frame.is_none() && self.message.is_none()
    }
}

impl Frame {
    fn new(header: &IncomingHeader) -> Self {
        Self {
            fin: header.fin,
            opcode: header.opcode,
            key: header.key,
            left: usize::try_from(header.payload).unwrap_or(usize::MAX),
            fresh: true,
        }
    }

    /// Goes past the next `read` bytes of the payload.
    fn advance(&mut self, read: usize) {
        self.left -= read;
        let turn = read % self.key.len();
        self.key.rotate_left(turn);
        self.fresh &= read == 0;
    }
}

/// The message of a frame whose payload lies whole in `input`.
#[inline]
fn message(opcode: Opcode, range: Range<usize>, input: &[u8]) -> Result<Incoming, ProtocolError> {
    let payload = &input[range.clone()];
    if opcode != Opcode::Text {
        return Ok(Incoming::Binary(Payload::InPlace(range)));
    }
    if payload.is_ascii() || simdutf8::basic::from_utf8(payload).is_ok() {
        return Ok(Incoming::Text(Payload::InPlace(range)));
    }
    Err(ProtocolError::TextNotUtf8)
}

/// What a whole control frame says; a payload in place lies in `input`.
fn control(opcode: Opcode, payload: Payload, input: &[u8]) -> Result<Incoming, ProtocolError> {
    match opcode {
        Opcode::Close => CloseFrame::parse(payload.bytes(input)).map(Incoming::Close),
        Opcode::Ping => Ok(Incoming::Ping(payload)),
        _ => Ok(Incoming::Pong),
    }
}
