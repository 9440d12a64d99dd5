//! The WebSocket codec against random streams and against two other implementations.

#[path = "websocket_codec/others.rs"]
mod others;
#[path = "websocket_codec/streams.rs"]
mod streams;
#[allow(dead_code, unused_imports, reason = "the tests use a part of the room")]
#[path = "../src/websocket/mod.rs"]
mod websocket;

use proptest::prelude::*;

use others::{End, tokio_websockets, tungstenite};
use streams::{cut, hostile, small_valid, valid};
use websocket::testing::{Heard, WIDE, hear};
use websocket::{CloseCode, Decoder, Limits, ProtocolError};

/// What hostile streams are held against; most of their messages are shorter.
const NARROW: Limits = Limits {
    max_message: 2000,
    max_fragments: usize::MAX,
};

/// What the decoder may own beside the bytes of a message.
const OWN: usize = 512;

/// The close code of a gateway that got a bad answer.
const BAD_GATEWAY: u16 = 1014;

/// What the codec makes of bytes that come in one read.
fn ours(bytes: &[u8]) -> (Vec<Heard>, Result<(), ProtocolError>) {
    hear(&mut Decoder::new(), [bytes], &NARROW)
}

/// The bytes and so many after them that every frame under way is whole. Implementations that
/// judge whole frames alone then have to judge what we judged early.
fn padded(bytes: &[u8]) -> Vec<u8> {
    [bytes, &vec![0; NARROW.max_message + 14]].concat()
}

/// What we heard, as `tungstenite` hears it: it does not know the close code 1014, which is younger
/// than the RFC, and takes it for a fault.
fn for_tungstenite(mut heard: Vec<Heard>) -> Vec<Heard> {
    if let Some(Heard::Close(Some(code))) = heard.last_mut()
        && code.get() == BAD_GATEWAY
    {
        *code = CloseCode::PROTOCOL_ERROR;
    }
    heard
}

proptest! {
    #[test]
    fn messages_survive_any_fragmentation_and_any_reads(
        stream in valid(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut decoder = Decoder::new();
        let (heard, end) = hear(&mut decoder, cut(&stream.bytes, &cuts), &WIDE);
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(heard, stream.messages);
        prop_assert_eq!(decoder.buffered(), 0);
    }

    #[test]
    fn messages_survive_every_split_point(stream in small_valid()) {
        for at in 0..=stream.bytes.len() {
            let (before, after) = stream.bytes.split_at(at);
            let (heard, end) = hear(&mut Decoder::new(), [before, after], &WIDE);
            prop_assert_eq!(end, Ok(()), "split at {}", at);
            prop_assert_eq!(&heard, &stream.messages, "split at {}", at);
        }
        let (heard, end) = hear(&mut Decoder::new(), stream.bytes.chunks(1), &WIDE);
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(heard, stream.messages);
    }

    #[test]
    fn the_cut_of_the_reads_changes_nothing(
        bytes in hostile(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let whole = ours(&bytes);
        prop_assert_eq!(&hear(&mut Decoder::new(), cut(&bytes, &cuts), &NARROW), &whole);
        prop_assert_eq!(&hear(&mut Decoder::new(), bytes.chunks(1), &NARROW), &whole);
    }

    #[test]
    fn arbitrary_bytes_hold_no_more_than_the_limit(
        bytes in hostile(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        max_message in 0..3000_usize,
        max_fragments in 0..6_usize,
    ) {
        let limits = Limits { max_message, max_fragments };
        let mut decoder = Decoder::new();
        for read in cut(&bytes, &cuts) {
            let (heard, end) = hear(&mut decoder, [read], &limits);
            prop_assert!(decoder.buffered() <= max_message + OWN);
            for message in heard {
                if let Heard::Binary(payload) = message {
                    prop_assert!(payload.len() <= max_message);
                }
            }
            if end.is_err() {
                prop_assert_eq!(decoder.buffered(), 0);
            }
        }
    }

    /// The two agree but for close code 1014 (see [`for_tungstenite`]) and for these, where we are
    /// stricter:
    /// - a length not in its shortest form, which `tungstenite` reads like any other, for control
    ///   frames too;
    /// - a close code that may not be sent, of which `tungstenite` makes a close frame of code 1002;
    /// - it judges a frame when it is whole, and we what is there: hence the padding.
    #[test]
    fn tungstenite_accepts_the_same_and_hears_the_same(bytes in hostile()) {
        let (heard, end) = ours(&bytes);
        let heard = for_tungstenite(heard);
        let (theirs, their_end) = match end {
            Ok(()) => tungstenite(&bytes, &NARROW),
            Err(_) => tungstenite(&padded(&bytes), &NARROW),
        };
        match end {
            Ok(()) => {
                prop_assert_eq!(&theirs, &heard);
                prop_assert!(matches!(their_end, End::Cut | End::Closed), "{:?}", their_end);
            }
            Err(ProtocolError::LengthNotMinimal | ProtocolError::ControlTooLong) => {
                prop_assert!(theirs.starts_with(&heard), "{:?} {:?}", theirs, heard);
            }
            Err(ProtocolError::CloseCodeNotAllowed(_)) if their_end == End::Closed => {
                let replaced = Heard::Close(Some(CloseCode::PROTOCOL_ERROR));
                prop_assert_eq!(theirs, [heard, vec![replaced]].concat());
            }
            Err(error) => {
                prop_assert_eq!(theirs, heard, "{}", error);
                prop_assert!(matches!(their_end, End::Fault(_)), "{:?} {}", their_end, error);
            }
        }
    }

    /// The two agree on messages, faults and close codes but for these:
    /// - the top bit of a length is a length like any other to `tokio-websockets`, and so too large;
    /// - it holds fragments against the limit behind their payload, and may hear first that a text
    ///   is not UTF-8;
    /// - it overlooks a text that ends inside a character before an empty last fragment.
    #[test]
    fn tokio_websockets_accepts_and_refuses_the_same(bytes in hostile()) {
        let (heard, end) = ours(&bytes);
        let (theirs, their_end) = match end {
            Ok(()) => tokio_websockets(&bytes, &NARROW),
            Err(_) => tokio_websockets(&padded(&bytes), &NARROW),
        };
        prop_assert_eq!(theirs, heard);
        match end {
            Ok(()) => prop_assert!(matches!(their_end, End::Cut | End::Closed), "{:?}", their_end),
            Err(ProtocolError::LengthTopBit) => prop_assert_eq!(their_end, End::Fault(1009)),
            Err(ProtocolError::TooLarge) if their_end == End::Fault(1007) => {}
            Err(error) => prop_assert_eq!(their_end, End::Fault(error.close_code().get())),
        }
    }

    #[test]
    fn others_hear_valid_streams_like_we_do(stream in valid()) {
        let (tungstenite, _) = tungstenite(&stream.bytes, &WIDE);
        prop_assert_eq!(tungstenite, for_tungstenite(stream.messages.clone()));
        let (tokio_websockets, _) = tokio_websockets(&stream.bytes, &WIDE);
        prop_assert_eq!(&tokio_websockets, &stream.messages);
    }
}
