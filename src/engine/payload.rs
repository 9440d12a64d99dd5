use std::ops::Range;

use bytes::Bytes;
use bytestring::ByteString;
use memchr::memchr;

use super::DecodeError;
use super::packet::{BASE64_TYPE, Control, Data, Packet, decode_base64, put_base64};

/// What stands between two packets of one HTTP body.
/// [Engine.IO v4, HTTP long-polling]
const SEPARATOR: u8 = 0x1e;

/// The packets of one POST body, in their order.
///
/// Messages are slices of the body; nothing is decoded before it is asked
/// for. The sequence ends after the first fault or close packet: what stands
/// before it counts, what follows does not.
///
/// Pongs are not part of the sequence. Ask [`has_pong`](Self::has_pong) before
/// the first message: a handler may be busy with that one for longer than the
/// ping timeout, and by then a late pong would answer the wrong ping.
#[derive(Debug)]
pub(crate) struct Payload {
    body: ByteString,
    /// Where the next packet begins; `None` when there is none.
    next: Option<usize>,
    /// The packet after the body is not UTF-8.
    is_cut: bool,
    has_pong: bool,
}

/// One element of a [`Payload`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A message.
    Message(Data),
    /// Any other packet but a pong.
    Control(Control),
    /// Bytes that are no packet; nothing follows.
    Fault(DecodeError),
}

impl Payload {
    /// Takes a POST body of at most `max_packets` packets.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooManyPackets`], before anything of it is delivered.
    pub(crate) fn decode(body: Bytes, max_packets: usize) -> Result<Self, DecodeError> {
        let (body, is_cut) = match ByteString::try_from(body.clone()) {
            Ok(body) => (Some(body), false),
            Err(error) => (whole_packets(&body, error.valid_up_to()), true),
        };
        let mut has_pong = false;
        let mut ended = false;
        let packets = body.iter().flat_map(|body| packets(body.as_bytes()));
        for (index, packet) in packets.enumerate() {
            if index >= max_packets {
                return Err(DecodeError::TooManyPackets);
            }
            match Packet::decode(packet) {
                Ok(Packet::Pong { .. }) => has_pong |= !ended,
                Ok(Packet::Close) | Err(_) => ended = true,
                Ok(_) => {}
            }
        }
        Ok(Self {
            next: body.is_some().then_some(0),
            body: body.unwrap_or_default(),
            is_cut,
            has_pong,
        })
    }

    /// Whether a pong stands before the end of the sequence.
    pub(crate) const fn has_pong(&self) -> bool {
        self.has_pong
    }

    /// Where the next packet stands; an empty body is one empty packet.
    fn next_range(&mut self) -> Option<Range<usize>> {
        let start = self.next?;
        let end = memchr(SEPARATOR, &self.body.as_bytes()[start..]).map(|len| start + len);
        self.next = end.map(|end| end + 1);
        Some(start..end.unwrap_or(self.body.len()))
    }

    fn part(&self, range: Range<usize>) -> Result<Part, DecodeError> {
        let packet = &self.body[range];
        Ok(match Packet::decode(packet.as_bytes())? {
            Packet::Text(_) => Part::Message(Data::Text(self.body.slice_ref(&packet[1..]))),
            Packet::Base64(data) => Part::Message(Data::Binary(decode_base64(data)?)),
            other => Part::Control(other.control()),
        })
    }
}

impl Iterator for Payload {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        loop {
            let Some(range) = self.next_range() else {
                let is_cut = std::mem::take(&mut self.is_cut);
                return is_cut.then_some(Part::Fault(DecodeError::Utf8));
            };
            match self.part(range).unwrap_or_else(Part::Fault) {
                Part::Control(Control::Pong { .. }) => {}
                end @ (Part::Fault(_) | Part::Control(Control::Close)) => {
                    self.next = None;
                    self.is_cut = false;
                    return Some(end);
                }
                part => return Some(part),
            }
        }
    }
}

/// What stands between the separators.
fn packets(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = Some(0);
    std::iter::from_fn(move || {
        let rest = &body[start?..];
        let len = memchr(SEPARATOR, rest);
        start = len.and_then(|len| Some(start? + len + 1));
        Some(&rest[..len.unwrap_or(rest.len())])
    })
}

/// The packets of a body before the one that is not UTF-8, if there are any.
fn whole_packets(body: &Bytes, valid: usize) -> Option<ByteString> {
    let end = body[..valid].iter().rposition(|byte| *byte == SEPARATOR)?;
    ByteString::try_from(body.slice(..end)).ok()
}

/// Begins a packet in a GET body: appends the separator unless `out` is empty.
fn put_separator(out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(SEPARATOR);
    }
}

/// Appends a packet that is ready for the wire to a GET body.
///
/// The format knows no escape: a text with U+001E in it would arrive as several packets.
pub(crate) fn put_packet(out: &mut Vec<u8>, packet: &[u8]) {
    put_separator(out);
    out.extend_from_slice(packet);
}

/// Appends a binary message to a GET body, as base64.
pub(crate) fn put_binary(out: &mut Vec<u8>, data: &[u8]) {
    put_separator(out);
    out.push(BASE64_TYPE);
    put_base64(out, data);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Part {
        Part::Message(Data::Text(ByteString::from_static(text)))
    }

    fn binary(data: &'static [u8]) -> Part {
        Part::Message(Data::Binary(Bytes::from_static(data)))
    }

    fn payload(body: &'static str) -> Payload {
        Payload::decode(Bytes::from_static(body.as_bytes()), 100).unwrap()
    }

    fn parts(body: &'static str) -> Vec<Part> {
        payload(body).collect()
    }

    /// T8, T9, T10.
    #[test]
    fn messages_come_in_order_text_and_binary_apart() {
        assert_eq!(parts("4hello"), [text("hello")]);
        assert_eq!(
            parts("4a\x1e4\x1ebAQIDBA==\x1eb"),
            [text("a"), text(""), binary(&[1, 2, 3, 4]), binary(&[])]
        );
    }

    #[test]
    fn text_is_a_slice_of_the_body() {
        let body = Bytes::from(String::from("4first\x1e4second"));
        let whole = body.as_ptr_range();

        for part in Payload::decode(body, 2).unwrap() {
            let Part::Message(Data::Text(text)) = part else {
                panic!("{part:?}");
            };
            assert!(whole.contains(&text.as_bytes().as_ptr()));
        }
    }

    /// E22.
    #[test]
    fn an_empty_body_is_a_fault() {
        assert_eq!(parts(""), [Part::Fault(DecodeError::Empty)]);
    }

    /// E23.
    #[test]
    fn an_empty_packet_is_a_fault_after_what_stands_before_it() {
        let fault = || Part::Fault(DecodeError::Empty);

        assert_eq!(parts("4a\x1e"), [text("a"), fault()]);
        assert_eq!(parts("\x1e4a"), [fault()]);
        assert_eq!(parts("4a\x1e\x1e4b"), [text("a"), fault()]);
    }

    /// E24, T11.
    #[test]
    fn what_follows_an_unknown_packet_is_dropped() {
        let fault = |kind| Part::Fault(DecodeError::UnknownType(kind));

        assert_eq!(parts("4a\x1ezzz\x1e4b"), [text("a"), fault(b'z')]);
        assert_eq!(parts("abc"), [fault(b'a')]);
    }

    /// E27.
    #[test]
    fn what_follows_broken_base64_is_dropped() {
        assert_eq!(
            parts("4a\x1eb!\x1e4b"),
            [text("a"), Part::Fault(DecodeError::Base64)]
        );
    }

    /// E28.
    #[test]
    fn what_stands_before_a_packet_that_is_not_utf8_counts() {
        let parts = |body: &'static [u8]| -> Vec<Part> {
            Payload::decode(Bytes::from_static(body), 2)
                .unwrap()
                .collect()
        };
        let fault = || Part::Fault(DecodeError::Utf8);

        assert_eq!(parts(b"4a\x1e4\xff\x1e4b"), [text("a"), fault()]);
        assert_eq!(parts(b"4a\x1e4\xc3"), [text("a"), fault()]);
        assert_eq!(parts(b"4\xff"), [fault()]);
        assert_eq!(parts(b"4a\x1ez\xff").len(), 2);
        assert_eq!(parts(b"1\x1e4\xff"), [Part::Control(Control::Close)]);
    }

    /// E25.
    #[test]
    fn what_follows_a_close_is_dropped() {
        assert_eq!(
            parts("4a\x1e1\x1e4b"),
            [text("a"), Part::Control(Control::Close)]
        );
    }

    #[test]
    fn other_control_packets_stand_among_the_messages() {
        assert_eq!(
            parts("4a\x1e2\x1e6\x1e4b"),
            [
                text("a"),
                Part::Control(Control::Ping { probe: false }),
                Part::Control(Control::Noop),
                text("b")
            ]
        );
    }

    #[test]
    fn a_pong_is_known_ahead_of_the_messages_and_not_repeated() {
        let payload = payload("4a\x1e3\x1e4b");

        assert!(payload.has_pong());
        assert_eq!(payload.collect::<Vec<_>>(), [text("a"), text("b")]);
    }

    #[test]
    fn a_pong_after_the_end_is_none() {
        for body in ["4a", "1\x1e3", "z\x1e3", "\x1e3"] {
            assert!(!payload(body).has_pong(), "{body:?}");
        }
    }

    #[test]
    fn too_many_packets_are_a_fault_of_the_whole_body() {
        let decode = |max| Payload::decode(Bytes::from_static(b"4a\x1e4b\x1e4c"), max);

        assert_eq!(decode(3).unwrap().count(), 3);
        assert_eq!(decode(2).unwrap_err(), DecodeError::TooManyPackets);
        let empty = Payload::decode(Bytes::new(), 0);
        assert_eq!(empty.unwrap_err(), DecodeError::TooManyPackets);
    }

    #[test]
    fn a_get_body_joins_packets_by_separators() {
        let mut out = Vec::new();
        put_packet(&mut out, b"0{}");
        put_packet(&mut out, "4h\u{e9}".as_bytes());
        put_binary(&mut out, &[1, 2, 3, 4]);
        put_packet(&mut out, b"4");

        assert_eq!(out, "0{}\x1e4h\u{e9}\x1ebAQIDBA==\x1e4".as_bytes());
    }
}
