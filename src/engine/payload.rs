use std::ops::Range;

use bytestring::ByteString;

use super::DecodeError;
use super::packet::{BASE64_TYPE, Control, Data, Packet, TEXT_TYPE, decode_base64, put_base64};

/// What stands between two packets of one HTTP body.
/// [Engine.IO v4, HTTP long-polling]
const SEPARATOR: char = '\u{1e}';

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
    pub(crate) fn decode(body: ByteString, max_packets: usize) -> Result<Self, DecodeError> {
        let mut has_pong = false;
        let mut ended = false;
        for (index, packet) in body.split(SEPARATOR).enumerate() {
            if index >= max_packets {
                return Err(DecodeError::TooManyPackets);
            }
            match Packet::decode(packet.as_bytes()) {
                Ok(Packet::Pong { .. }) => has_pong |= !ended,
                Ok(Packet::Close) | Err(_) => ended = true,
                Ok(_) => {}
            }
        }
        Ok(Self {
            body,
            next: Some(0),
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
        let end = self.body[start..].find(SEPARATOR).map(|len| start + len);
        self.next = end.map(|end| end + SEPARATOR.len_utf8());
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
            let range = self.next_range()?;
            match self.part(range).unwrap_or_else(Part::Fault) {
                Part::Control(Control::Pong { .. }) => {}
                end @ (Part::Fault(_) | Part::Control(Control::Close)) => {
                    self.next = None;
                    return Some(end);
                }
                part => return Some(part),
            }
        }
    }
}

/// Begins a packet in a GET body: appends the separator unless `out` is empty.
pub(crate) fn put_separator(out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(SEPARATOR as u8);
    }
}

/// Appends a packet that is ready for the wire to a GET body.
pub(crate) fn put_packet(out: &mut Vec<u8>, packet: &[u8]) {
    put_separator(out);
    out.extend_from_slice(packet);
}

/// Appends a message of text to a GET body.
///
/// The format knows no escape: a text with U+001E in it arrives as several
/// packets. JSON never holds one.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_separator(out);
    out.reserve(1 + text.len());
    out.push(TEXT_TYPE);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a binary message to a GET body, as base64.
pub(crate) fn put_binary(out: &mut Vec<u8>, data: &[u8]) {
    put_separator(out);
    out.push(BASE64_TYPE);
    put_base64(out, data);
}
