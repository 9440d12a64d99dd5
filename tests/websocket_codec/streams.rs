//! Streams of bytes as clients might send them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::websocket::testing::{Heard, masked};
use crate::websocket::{CloseCode, Opcode};

/// A stream that keeps every rule, and what it says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    pub(crate) messages: Vec<Heard>,
}

/// A message, where it is fragmented, and the control frames before its fragments.
#[derive(Clone, Debug)]
struct Message {
    content: Heard,
    fragments: Vec<Index>,
    controls: Vec<(Index, Heard)>,
    key: [u8; 4],
}

/// A few messages of any size.
pub(crate) fn valid() -> impl Strategy<Value = Stream> {
    stream(prop_oneof![
        8 => 0..200_usize,
        1 => 120..132_usize,
        1 => 65_530..65_540_usize,
    ])
}

/// A few short messages.
pub(crate) fn small_valid() -> impl Strategy<Value = Stream> {
    stream(prop_oneof![4 => 0..30_usize, 1 => 120..132_usize])
}

/// Bytes of which no rule can be expected, though many keep most of them.
pub(crate) fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let narrow = prop_oneof![8 => 0..100_usize, 1 => 120..132_usize, 1 => 1990..2005_usize];
    prop_oneof![
        1 => vec(any::<u8>(), 0..300),
        4 => mutated(stream(narrow)),
        4 => vec(soup_frame(), 0..8).prop_map(|frames| frames.concat()),
    ]
}

/// The bytes in the pieces that the cuts make of them.
pub(crate) fn cut<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut start = 0;
    let piece = |end| &bytes[std::mem::replace(&mut start, end)..end];
    ends.into_iter().map(piece).collect()
}

fn stream(length: impl Strategy<Value = usize> + Clone + 'static) -> impl Strategy<Value = Stream> {
    let close = prop::option::of(close());
    (vec(message(length), 0..5), close, any::<[u8; 4]>()).prop_map(|(messages, close, key)| {
        let mut stream = Stream::default();
        for message in messages {
            message.put(&mut stream);
        }
        if let Some(close) = close {
            stream.control(close, key);
        }
        stream
    })
}

fn message(
    length: impl Strategy<Value = usize> + Clone + 'static,
) -> impl Strategy<Value = Message> {
    let content = prop_oneof![
        text(length.clone()).prop_map(Heard::Text),
        length
            .prop_flat_map(|length| vec(any::<u8>(), length))
            .prop_map(Heard::Binary),
    ];
    let fragments = prop_oneof![2 => Just(vec![]), 3 => vec(any::<Index>(), 1..5)];
    let controls = vec((any::<Index>(), control()), 0..3);
    (content, fragments, controls, any::<[u8; 4]>()).prop_map(
        |(content, fragments, controls, key)| Message {
            content,
            fragments,
            controls,
            key,
        },
    )
}

/// A text of about so many bytes, in characters of every width.
fn text(length: impl Strategy<Value = usize>) -> impl Strategy<Value = String> {
    (vec(any::<char>(), 0..40), length).prop_map(|(characters, length)| {
        let mut text = String::new();
        for character in characters.iter().chain(['a'].iter()).cycle() {
            if text.len() + character.len_utf8() > length {
                break;
            }
            text.push(*character);
        }
        text
    })
}

fn control() -> impl Strategy<Value = Heard> {
    let ping = prop_oneof![4 => 0..20_usize, 1 => Just(125)]
        .prop_flat_map(|length| vec(any::<u8>(), length))
        .prop_map(Heard::Ping);
    prop_oneof![ping, Just(Heard::Pong)]
}

fn close() -> impl Strategy<Value = Heard> {
    let code = prop_oneof![1000..=1003_u16, 1007..=1014_u16, 3000..=4999_u16];
    prop::option::of(code).prop_map(|code| Heard::Close(code.and_then(CloseCode::new)))
}

impl Message {
    fn put(self, stream: &mut Stream) {
        let (opcode, payload) = match &self.content {
            Heard::Text(text) => (Opcode::Text, text.as_bytes()),
            Heard::Binary(bytes) => (Opcode::Binary, &bytes[..]),
            _ => unreachable!("only these are made"),
        };
        let pieces = cut(payload, &self.fragments);
        for (at, piece) in pieces.iter().enumerate() {
            let before = |(index, _): &&(Index, Heard)| index.index(pieces.len()) == at;
            for (_, control) in self.controls.iter().filter(before) {
                stream.control(control.clone(), self.key);
            }
            let opcode = if at == 0 {
                opcode
            } else {
                Opcode::Continuation
            };
            let fin = at + 1 == pieces.len();
            stream.bytes.extend(masked(fin, opcode, piece, self.key));
        }
        stream.messages.push(self.content);
    }
}

impl Stream {
    fn control(&mut self, control: Heard, key: [u8; 4]) {
        let frame = match &control {
            Heard::Ping(payload) => masked(true, Opcode::Ping, payload, key),
            Heard::Pong => masked(true, Opcode::Pong, b"whatever", key),
            Heard::Close(Some(code)) => {
                let payload = [&code.get().to_be_bytes()[..], "b\u{FC}e".as_bytes()].concat();
                masked(true, Opcode::Close, &payload, key)
            }
            _ => masked(true, Opcode::Close, b"", key),
        };
        self.bytes.extend(frame);
        self.messages.push(control);
    }
}

/// A stream in which a few bytes are changed, taken out or put in, or of which the end is missing.
fn mutated(streams: impl Strategy<Value = Stream>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), 0..4_u8, any::<u8>());
    (streams, vec(change, 0..4), prop::option::of(any::<Index>())).prop_map(
        |(stream, changes, end)| {
            let mut bytes = stream.bytes;
            for (at, kind, byte) in changes {
                let at = at.index(bytes.len() + 1);
                match (kind, bytes.get_mut(at)) {
                    (0, Some(_)) => drop(bytes.remove(at)),
                    (1, _) | (_, None) => bytes.insert(at, byte),
                    (2, Some(changed)) => *changed ^= 1 << (byte % 8),
                    (_, Some(changed)) => *changed = byte,
                }
            }
            if let Some(end) = end {
                bytes.truncate(end.index(bytes.len() + 1));
            }
            bytes
        },
    )
}

/// A frame that is likely to break some rule.
fn soup_frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        12 => prop::sample::select(vec![0x0_u8, 0x0, 0x0, 0x1, 0x1, 0x2, 0x8, 0x9, 0xA]),
        1 => 0..16_u8,
    ];
    let flags = prop_oneof![6 => Just(0x80_u8), 8 => Just(0), 1 => (0..16_u8).prop_map(|f| f << 4)];
    let form = prop_oneof![20 => Just(0_u8), 2 => Just(126), 2 => Just(127), 1 => Just(TOP_BIT)];
    let payload = prop_oneof![
        3 => vec(any::<u8>(), 0..6),
        3 => text(0..20_usize).prop_map(String::into_bytes),
        3 => (prop_oneof![995..1020_u16, 2995..5005_u16, any::<u16>()], text(0..9_usize))
            .prop_map(|(code, text)| [&code.to_be_bytes()[..], text.as_bytes()].concat()),
        1 => vec(Just(b'a'), 100..1100),
    ];
    let unmasked = prop::bool::weighted(0.03);
    (opcode, flags, form, payload, any::<[u8; 4]>(), unmasked).prop_map(
        |(opcode, flags, form, payload, key, unmasked)| {
            let mut frame = masked(true, Opcode::Binary, &payload, key);
            if form != 0 {
                widen(&mut frame, form, payload.len());
            }
            frame[0] = flags | opcode;
            if unmasked {
                frame[1] &= 0x7F;
            }
            frame
        },
    )
}

/// Asks [`widen`] for a 64-bit length with its highest bit.
const TOP_BIT: u8 = 128;

/// Writes the length of the frame in the form asked for, whether it is the shortest or not.
fn widen(frame: &mut Vec<u8>, form: u8, length: usize) {
    let mut wide = (length as u64).to_be_bytes();
    let shortest = frame.len() - length - 4;
    if form == TOP_BIT {
        wide[0] |= 0x80;
    }
    let length = if form == 126 { &wide[6..] } else { &wide[..] };
    let header = [&[0, 0x80 | form.min(127)], length].concat();
    frame.splice(..shortest, header);
}
