use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;

use super::DecodeError;

/// The close packet.
pub(crate) const CLOSE: &[u8] = b"1";
/// The packet that only ends a pending poll.
pub(crate) const NOOP: &[u8] = b"6";
/// The type byte before the text of a message.
pub(crate) const TEXT_TYPE: u8 = b'4';
/// The type byte before the base64 of a binary message.
pub(super) const BASE64_TYPE: u8 = b'b';

const PROBE: &[u8] = b"probe";

/// One packet as it stands on the wire. [Engine.IO v4, Packet encoding]
///
/// Data after the type of a control packet is ignored, except `probe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// `0`: only servers send it.
    Open,
    /// `1`: the sender ends the connection.
    Close,
    /// `2`, or `2probe` on a websocket that wants to take over.
    Ping { probe: bool },
    /// `3`, or `3probe`.
    Pong { probe: bool },
    /// `5`: the websocket takes over.
    Upgrade,
    /// `6`.
    Noop,
    /// `4` and a text, not yet checked for UTF-8.
    Text(&'a [u8]),
    /// `b` and base64, not yet decoded.
    Base64(&'a [u8]),
}

impl<'a> Packet<'a> {
    /// Reads one packet that is the whole of `bytes`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Empty`] without a type byte,
    /// [`DecodeError::UnknownType`] for one that protocol 4 does not know.
    #[inline]
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (&kind, data) = bytes.split_first().ok_or(DecodeError::Empty)?;
        match kind {
            TEXT_TYPE => Ok(Self::Text(data)),
            BASE64_TYPE => Ok(Self::Base64(data)),
            b'0' => Ok(Self::Open),
            b'1' => Ok(Self::Close),
            b'2' => Ok(Self::Ping {
                probe: data == PROBE,
            }),
            b'3' => Ok(Self::Pong {
                probe: data == PROBE,
            }),
            b'5' => Ok(Self::Upgrade),
            b'6' => Ok(Self::Noop),
            other => Err(DecodeError::UnknownType(other)),
        }
    }

    /// The packet without what it carries.
    pub(crate) const fn control(self) -> Control {
        match self {
            Self::Open => Control::Open,
            Self::Close => Control::Close,
            Self::Ping { probe } => Control::Ping { probe },
            Self::Pong { probe } => Control::Pong { probe },
            Self::Upgrade => Control::Upgrade,
            Self::Noop => Control::Noop,
            Self::Text(_) | Self::Base64(_) => Control::Message,
        }
    }
}

/// What a packet says about the connection, whatever it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// See [`Packet::Open`].
    Open,
    /// See [`Packet::Close`].
    Close,
    /// See [`Packet::Ping`].
    Ping { probe: bool },
    /// See [`Packet::Pong`].
    Pong { probe: bool },
    /// See [`Packet::Upgrade`].
    Upgrade,
    /// See [`Packet::Noop`].
    Noop,
    /// A message, of text or binary.
    Message,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// Text without its type byte.
    Text(ByteString),
    /// Binary data, decoded.
    Binary(Bytes),
}

/// Decodes the data of a [`Packet::Base64`].
///
/// # Errors
///
/// [`DecodeError::Base64`] for anything but the canonical, padded form of
/// RFC 4648 section 4: there is one spelling of each sequence of bytes.
pub(crate) fn decode_base64(bytes: &[u8]) -> Result<Bytes, DecodeError> {
    STANDARD
        .decode(bytes)
        .map(Bytes::from)
        .map_err(|_| DecodeError::Base64)
}

/// Appends the base64 of `data` to `out`.
pub(super) fn put_base64(out: &mut Vec<u8>, data: &[u8]) {
    let start = out.len();
    out.resize(start + data.len().div_ceil(3) * 4, 0);
    STANDARD
        .encode_slice(data, &mut out[start..])
        .expect("padded base64 takes four bytes for each three begun");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_is_the_type() {
        for (bytes, packet) in [
            (&b"0{}"[..], Packet::Open),
            (b"1", Packet::Close),
            (b"2", Packet::Ping { probe: false }),
            (b"2probe", Packet::Ping { probe: true }),
            (b"3", Packet::Pong { probe: false }),
            (b"3probe", Packet::Pong { probe: true }),
            (b"4a", Packet::Text(b"a")),
            (b"5", Packet::Upgrade),
            (b"6", Packet::Noop),
            (b"bAQ==", Packet::Base64(b"AQ==")),
        ] {
            assert_eq!(Packet::decode(bytes), Ok(packet));
        }
    }

    #[test]
    fn data_of_a_control_packet_is_ignored_unless_it_is_probe() {
        for (bytes, packet) in [
            (&b"1bye"[..], Packet::Close),
            (b"2prob", Packet::Ping { probe: false }),
            (b"2probes", Packet::Ping { probe: false }),
            (b"3x", Packet::Pong { probe: false }),
            (b"5probe", Packet::Upgrade),
            (b"6\xff", Packet::Noop),
        ] {
            assert_eq!(Packet::decode(bytes), Ok(packet));
        }
    }

    /// E26, E41.
    #[test]
    fn a_message_is_whatever_follows_its_type() {
        assert_eq!(Packet::decode(b"4"), Ok(Packet::Text(b"")));
        assert_eq!(
            Packet::decode(b"4a\x1e4b"),
            Ok(Packet::Text(b"a\x1e4b")),
            "a separator is data in a frame of its own"
        );
    }

    /// E40.
    #[test]
    fn nothing_is_no_packet() {
        assert_eq!(Packet::decode(b""), Err(DecodeError::Empty));
    }

    /// E42, T15.
    #[test]
    fn other_types_are_unknown() {
        for kind in (0..=u8::MAX).filter(|kind| !b"0123456b".contains(kind)) {
            assert_eq!(
                Packet::decode(&[kind, b'x']),
                Err(DecodeError::UnknownType(kind))
            );
        }
    }

    #[test]
    fn what_we_send_is_what_we_read() {
        assert_eq!(Packet::decode(CLOSE), Ok(Packet::Close));
        assert_eq!(Packet::decode(b"2"), Ok(Packet::Ping { probe: false }));
        assert_eq!(Packet::decode(b"3probe"), Ok(Packet::Pong { probe: true }));
        assert_eq!(Packet::decode(NOOP), Ok(Packet::Noop));
    }

    #[test]
    fn base64_has_the_test_vectors_of_the_rfc() {
        for (data, text) in [
            (&b""[..], &b""[..]),
            (b"f", b"Zg=="),
            (b"fo", b"Zm8="),
            (b"foo", b"Zm9v"),
            (b"foob", b"Zm9vYg=="),
            (b"fooba", b"Zm9vYmE="),
            (b"foobar", b"Zm9vYmFy"),
            (&[0xfb, 0xff], b"+/8="),
        ] {
            let mut out = Vec::new();
            put_base64(&mut out, data);

            assert_eq!(out, text);
            assert_eq!(decode_base64(text).as_deref(), Ok(data));
        }
    }

    /// E27.
    #[test]
    fn base64_is_strict() {
        for text in [
            "Zg",
            "Zg=",
            "Zg===",
            "Zh==",
            "Zm9=",
            "Z",
            "====",
            "Zm8=Zm8=",
            "-_8=",
            "Zm 9v",
            "Zm9v\n",
            "!!!!",
            "Zm9\u{e9}",
        ] {
            assert_eq!(
                decode_base64(text.as_bytes()),
                Err(DecodeError::Base64),
                "{text}"
            );
        }
    }
}
