//! Frames as a client sends them, for tests.

use super::{CloseCode, Decoder, Incoming, Limits, Opcode, ProtocolError, header};

/// Limits that no test meets by chance.
pub(crate) const WIDE: Limits = Limits {
    max_message: 1 << 20,
    max_fragments: 1 << 10,
};

/// The key that [`frame`] masks with; no two of its bytes are equal.
pub(crate) const KEY: [u8; 4] = [0xA1, 0x5C, 0x33, 0xF8];

/// A masked frame.
pub(crate) fn frame(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    masked(fin, opcode, payload, KEY)
}

/// A frame masked with that key.
pub(crate) fn masked(fin: bool, opcode: Opcode, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut bytes = header(opcode, payload.len()).as_ref().to_vec();
    bytes[0] &= if fin { 0xFF } else { 0x7F };
    bytes[1] |= 0x80;
    bytes.extend(key);
    bytes.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

/// The masked frame of a whole text message.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(true, Opcode::Text, payload.as_bytes())
}

/// A message with its payload at hand, wherever the decoder put it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong,
    /// A close frame and its code.
    Close(Option<CloseCode>),
}

/// Decodes the reads one after another, up to their end or to an error.
pub(crate) fn hear<R: AsRef<[u8]>>(
    decoder: &mut Decoder,
    reads: impl IntoIterator<Item = R>,
    limits: &Limits,
) -> (Vec<Heard>, Result<(), ProtocolError>) {
    let mut heard = Vec::new();
    for read in reads {
        if let Err(error) = hear_one(decoder, read.as_ref(), limits, &mut heard) {
            return (heard, Err(error));
        }
    }
    (heard, Ok(()))
}

fn hear_one(
    decoder: &mut Decoder,
    read: &[u8],
    limits: &Limits,
    heard: &mut Vec<Heard>,
) -> Result<(), ProtocolError> {
    let mut read = read.to_vec();
    let mut rest = &mut read[..];
    loop {
        let decoded = decoder.decode(rest, limits)?;
        let Some(message) = decoded.message else {
            assert_eq!(
                decoded.consumed,
                rest.len(),
                "all is consumed without a message"
            );
            return Ok(());
        };
        heard.push(Heard::new(&message, &rest[..decoded.consumed]));
        rest = &mut rest[decoded.consumed..];
    }
}

impl Heard {
    fn new(message: &Incoming, input: &[u8]) -> Self {
        match message {
            Incoming::Text(payload) => {
                let text = str::from_utf8(payload.bytes(input));
                Self::Text(text.expect("text was checked").to_owned())
            }
            Incoming::Binary(payload) => Self::Binary(payload.bytes(input).to_vec()),
            Incoming::Ping(payload) => Self::Ping(payload.bytes(input).to_vec()),
            Incoming::Pong => Self::Pong,
            Incoming::Close(frame) => Self::Close(frame.map(|frame| frame.code)),
        }
    }
}
