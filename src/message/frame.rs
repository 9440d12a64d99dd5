use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::{Buf, Bytes};

use super::{Codec, EncodeError, Outgoing, WireKind};
use crate::websocket;

/// One Engine.IO packet, encoded once for both transports and shared by everybody it goes to.
///
/// The bytes are a whole websocket frame; behind its header stands what long polling sends.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    bytes: Bytes,
    header: u8,
    kind: WireKind,
    volatile: bool,
    watched: bool,
}

/// A frame where it was encoded, before it gets an allocation of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoded<'a> {
    bytes: &'a [u8],
    header: u8,
    kind: WireKind,
}

impl Encoded<'_> {
    /// The whole websocket frame.
    pub(crate) const fn bytes(&self) -> &[u8] {
        self.bytes
    }

    pub(crate) fn to_frame(self) -> Frame {
        Frame {
            bytes: Bytes::copy_from_slice(self.bytes),
            header: self.header,
            kind: self.kind,
            volatile: false,
            watched: false,
        }
    }
}

thread_local! {
    /// Where messages are encoded before they get an allocation of their own size.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A scratch buffer that grew beyond this many bytes is given back.
const SCRATCH_KEPT: usize = 64 * 1024;

/// What stands between packets on long polling.
const SEPARATOR: u8 = 0x1e;

/// What a codec finds before its message: room for the longest header, and the type byte of an
/// Engine.IO message in text.
const ROOM: [u8; websocket::MAX_HEADER + 1] = *b"\0\0\0\0\0\0\0\0\0\x004";

impl Frame {
    pub(crate) const PING: Self = Self::text_of(b"\x81\x012");
    pub(crate) const PROBE_REPLY: Self = Self::text_of(b"\x81\x063probe");

    const fn text_of(frame: &'static [u8]) -> Self {
        Self {
            bytes: Bytes::from_static(frame),
            header: 2,
            kind: WireKind::Text,
            volatile: false,
            watched: false,
        }
    }

    /// Whole websocket frames as one; long polling cannot carry it.
    pub(crate) fn run(frames: Vec<u8>) -> Self {
        Self {
            bytes: frames.into(),
            header: 0,
            kind: WireKind::Text,
            volatile: false,
            watched: false,
        }
    }

    /// Encodes a message.
    pub(crate) fn encode(codec: &dyn Codec, message: &Outgoing<'_>) -> Result<Self, EncodeError> {
        Self::encode_with(codec, message, |encoded| encoded.to_frame())
    }

    /// Encodes a message and lends it where it lies.
    pub(crate) fn encode_with<T>(
        codec: &dyn Codec,
        message: &Outgoing<'_>,
        take: impl FnOnce(&Encoded<'_>) -> T,
    ) -> Result<T, EncodeError> {
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => {
                let taken = Self::encode_in(&mut scratch, codec, message, take);
                if scratch.capacity() > SCRATCH_KEPT {
                    *scratch = Vec::new();
                }
                taken
            }
            // The arguments send a message while they are being serialized.
            Err(_) => Self::encode_in(&mut Vec::new(), codec, message, take),
        })
    }

    fn encode_in<T>(
        scratch: &mut Vec<u8>,
        codec: &dyn Codec,
        message: &Outgoing<'_>,
        take: impl FnOnce(&Encoded<'_>) -> T,
    ) -> Result<T, EncodeError> {
        scratch.clear();
        scratch.extend_from_slice(&ROOM);
        let encode = AssertUnwindSafe(|| codec.encode(message, scratch));
        let encoded = catch_unwind(encode);
        let kind = encoded.unwrap_or_else(|_| Err(EncodeError::new("the codec failed")))?;
        if !scratch.starts_with(&ROOM) {
            return Err(EncodeError::new(
                "the codec took away what stood before its message",
            ));
        }
        Ok(take(&Self::around(scratch, kind)))
    }

    /// A text packet as it stands, type byte included.
    pub(crate) fn packet(packet: &[u8]) -> Self {
        let mut buffer = vec![0; websocket::MAX_HEADER];
        buffer.extend_from_slice(packet);
        Self::with_payload(&mut buffer, websocket::MAX_HEADER, WireKind::Text).to_frame()
    }

    /// What [`payload`](Self::payload) of a frame was on another node; nothing if it was not.
    pub(crate) fn from_payload(kind: WireKind, payload: &[u8]) -> Option<Self> {
        let is_message =
            payload.first() == Some(&b'4') && simdutf8::basic::from_utf8(payload).is_ok();
        if kind == WireKind::Text && !is_message {
            return None;
        }
        let mut buffer = Vec::with_capacity(websocket::MAX_HEADER + payload.len());
        buffer.resize(websocket::MAX_HEADER, 0);
        buffer.extend_from_slice(payload);
        Some(Self::with_payload(&mut buffer, websocket::MAX_HEADER, kind).to_frame())
    }

    /// A binary message carries no type byte.
    fn around(buffer: &mut [u8], kind: WireKind) -> Encoded<'_> {
        let payload = match kind {
            WireKind::Text => websocket::MAX_HEADER,
            WireKind::Binary => websocket::MAX_HEADER + 1,
        };
        Self::with_payload(buffer, payload, kind)
    }

    /// Writes the header right before the payload.
    fn with_payload(buffer: &mut [u8], payload: usize, kind: WireKind) -> Encoded<'_> {
        let opcode = match kind {
            WireKind::Text => websocket::Opcode::Text,
            WireKind::Binary => websocket::Opcode::Binary,
        };
        let header = websocket::header(opcode, buffer.len() - payload);
        let header = header.as_ref();
        let start = payload - header.len();
        buffer[start..payload].copy_from_slice(header);
        Encoded {
            bytes: &buffer[start..],
            header: (payload - start) as u8,
            kind,
        }
    }

    /// The first to be dropped when a queue is full.
    pub(crate) const fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    pub(crate) const fn is_volatile(&self) -> bool {
        self.volatile && !self.watched
    }

    /// Somebody wants to hear when it is written. It is not volatile then.
    pub(crate) const fn watched(mut self) -> Self {
        self.watched = true;
        self
    }

    pub(crate) const fn is_watched(&self) -> bool {
        self.watched
    }

    pub(crate) const fn kind(&self) -> WireKind {
        self.kind
    }

    /// The whole websocket frame.
    pub(crate) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The packet without websocket framing: text with its type byte, or the bare bytes of a
    /// binary message.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[usize::from(self.header)..]
    }

    /// The same, sharing the frame's bytes.
    pub(crate) fn into_payload(mut self) -> Bytes {
        self.bytes.advance(usize::from(self.header));
        self.bytes
    }

    /// Whether long polling can carry it: there, U+001E in a text would end the packet and begin
    /// another one. JSON never holds one.
    pub(crate) fn suits_polling(&self) -> bool {
        self.kind == WireKind::Binary || !self.payload().contains(&SEPARATOR)
    }

    /// What it counts in a queue, in bytes.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Args, DecodeFailure, Envelope, IntoArgs, Json, Raw, RawInput};

    #[test]
    fn a_text_message_is_a_frame_and_a_packet() {
        let args = ("x",);
        let frame = Frame::encode(&Json, &Outgoing::new("e", args.as_args())).unwrap();
        assert_eq!(frame.payload(), br#"4{"event":"e","args":["x"]}"#);
        assert_eq!(frame.bytes()[..2], [0x81, frame.payload().len() as u8]);
    }

    #[test]
    fn a_binary_message_has_no_type_byte() {
        let args = Args::binary(vec![7; 300]);
        let frame = Frame::encode(&Raw, &Outgoing::new("message", args.as_args())).unwrap();
        assert_eq!(frame.payload(), [7; 300]);
        assert_eq!(frame.bytes()[..4], [0x82, 126, 1, 44]);
        assert_eq!(frame.kind(), WireKind::Binary);
    }

    #[test]
    fn long_messages_get_the_long_header() {
        let args = Args::text("x".repeat(70_000));
        let frame = Frame::encode(&Raw, &Outgoing::new("message", args.as_args())).unwrap();
        assert_eq!(frame.payload().len(), 70_001);
        assert_eq!(
            frame.bytes()[..10],
            [0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x71]
        );
    }

    /// A codec that gives up late.
    struct Late;

    impl Codec for Late {
        fn decode(&self, _: &RawInput) -> Result<Envelope, DecodeFailure> {
            Err(DecodeFailure::malformed("it only writes"))
        }

        fn encode(&self, _: &Outgoing<'_>, out: &mut Vec<u8>) -> Result<WireKind, EncodeError> {
            out.resize(16 * SCRATCH_KEPT, 0);
            Err(EncodeError::new("too late"))
        }
    }

    #[test]
    fn the_space_of_a_large_message_is_given_back_whether_it_was_encoded_or_not() {
        let large = Args::text("x".repeat(16 * SCRATCH_KEPT));
        for (codec, fits) in [(&Raw as &dyn Codec, true), (&Late, false)] {
            let frame = Frame::encode(codec, &Outgoing::new("message", large.as_args()));
            assert_eq!(frame.is_ok(), fits);
            SCRATCH.with_borrow(|scratch| assert!(scratch.capacity() <= SCRATCH_KEPT));
        }
    }

    #[test]
    fn the_constant_frames_are_frames() {
        assert_eq!(Frame::PING.payload(), b"2");
        assert_eq!(Frame::PROBE_REPLY.payload(), b"3probe");
        assert_eq!(Frame::packet(b"2").bytes(), Frame::PING.bytes());
        assert_eq!(Frame::packet(b"3probe").bytes(), Frame::PROBE_REPLY.bytes());
    }
}
