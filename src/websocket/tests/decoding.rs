//! How messages are found, and what is held meanwhile.

use std::collections::BTreeSet;

use super::super::mask::unmask;
use super::super::testing::{Heard, KEY, WIDE, frame, hear, text};
use super::super::{CloseCode, Decoded, Decoder, Incoming, Limits, Opcode, Payload, ProtocolError};

fn decode(decoder: &mut Decoder, input: &mut [u8]) -> Decoded {
    decoder.decode(input, &WIDE).unwrap()
}

#[test]
fn an_idle_decoder_is_small() {
    assert!(size_of::<Decoder>() <= 32);
    assert_eq!(Decoder::new().buffered(), 0);
}

#[test]
fn a_whole_frame_is_unmasked_in_place() {
    let mut decoder = Decoder::new();
    let mut input = [text("hello"), text("next")].concat();

    let decoded = decode(&mut decoder, &mut input);

    let message = Some(Incoming::Text(Payload::InPlace(6..11)));
    assert_eq!(
        decoded,
        Decoded {
            consumed: 11,
            message
        }
    );
    assert_eq!(&input[6..11], b"hello");
    assert_eq!(&input[11..], text("next"), "what comes after is untouched");
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn a_payload_behind_a_cut_header_is_in_place() {
    let bytes = text("hello");
    for cut in 1..=6 {
        let mut decoder = Decoder::new();
        let (before, after) = bytes.split_at(cut);
        let (mut before, mut after) = (before.to_vec(), after.to_vec());

        let nothing = decode(&mut decoder, &mut before);
        assert_eq!(
            nothing,
            Decoded {
                consumed: cut,
                message: None
            }
        );

        let decoded = decode(&mut decoder, &mut after);
        let message = Some(Incoming::Text(Payload::InPlace(6 - cut..11 - cut)));
        assert_eq!(
            decoded,
            Decoded {
                consumed: 11 - cut,
                message
            }
        );
        assert_eq!(&after[6 - cut..], b"hello");
        assert_eq!(decoder.buffered(), 0, "nothing is held behind a message");
    }
}

#[test]
fn a_cut_payload_is_pieced_together() {
    let bytes = frame(true, Opcode::Binary, b"0123456789abcdefghij");
    for cut in 7..bytes.len() {
        let mut decoder = Decoder::new();
        let (before, after) = bytes.split_at(cut);

        assert_eq!(decode(&mut decoder, &mut before.to_vec()).message, None);
        assert!(decoder.buffered() > 0);

        let decoded = decode(&mut decoder, &mut after.to_vec());
        let payload = Payload::Owned(b"0123456789abcdefghij"[..].into());
        assert_eq!(decoded.message, Some(Incoming::Binary(payload)));
        assert_eq!(decoder.buffered(), 0);
    }
}

#[test]
fn control_frames_come_between_fragments_cut_anywhere() {
    let bytes = [
        frame(
            false,
            Opcode::Text,
            "smile \u{1F600}".as_bytes()[..8].as_ref(),
        ),
        frame(true, Opcode::Ping, b"are you there"),
        frame(false, Opcode::Continuation, b""),
        frame(true, Opcode::Pong, b"yes"),
        frame(true, Opcode::Continuation, &"\u{1F600}!".as_bytes()[2..]),
        frame(true, Opcode::Close, &[0x03, 0xE9, b'b', b'y', b'e']),
    ]
    .concat();
    let expected = [
        Heard::Ping(b"are you there".to_vec()),
        Heard::Pong,
        Heard::Text("smile \u{1F600}!".into()),
        Heard::Close(Some(CloseCode::GOING_AWAY)),
    ];

    for cut in 0..=bytes.len() {
        let (before, after) = bytes.split_at(cut);
        let (heard, end) = hear(&mut Decoder::new(), [before, after], &WIDE);
        assert_eq!((&heard[..], end), (&expected[..], Ok(())), "cut at {cut}");
    }
    let (heard, end) = hear(&mut Decoder::new(), bytes.chunks(1), &WIDE);
    assert_eq!((&heard[..], end), (&expected[..], Ok(())));
}

#[test]
fn empty_messages_are_messages() {
    let bytes = [
        text(""),
        frame(true, Opcode::Binary, b""),
        frame(true, Opcode::Ping, b""),
        frame(true, Opcode::Pong, b""),
        frame(true, Opcode::Close, b""),
    ]
    .concat();
    let expected = [
        Heard::Text(String::new()),
        Heard::Binary(vec![]),
        Heard::Ping(vec![]),
        Heard::Pong,
        Heard::Close(None),
    ];
    for size in 1..=bytes.len() {
        let (heard, end) = hear(&mut Decoder::new(), bytes.chunks(size), &WIDE);
        assert_eq!((&heard[..], end), (&expected[..], Ok(())));
    }
}

#[test]
fn lengths_of_every_form_are_read() {
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 70_000] {
        let payload = vec![7; length];
        let bytes = frame(true, Opcode::Binary, &payload);
        let (heard, end) = hear(&mut Decoder::new(), [&bytes], &WIDE);
        assert_eq!((heard, end), (vec![Heard::Binary(payload.clone())], Ok(())));
        let (heard, _) = hear(&mut Decoder::new(), bytes.chunks(997), &WIDE);
        assert_eq!(heard, [Heard::Binary(payload)]);
    }
}

#[test]
fn what_follows_a_close_frame_is_ignored() {
    let mut decoder = Decoder::new();
    let close = frame(true, Opcode::Close, &[0x03, 0xE8]);
    let mut input = [close.clone(), text("late"), vec![0xFF; 9]].concat();

    let decoded = decode(&mut decoder, &mut input);
    assert!(matches!(decoded.message, Some(Incoming::Close(Some(_)))));

    let rest = &mut input[decoded.consumed..];
    let nothing = Decoded {
        consumed: rest.len(),
        message: None,
    };
    assert_eq!(decode(&mut decoder, rest), nothing);
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn a_close_frame_drops_the_message_under_way() {
    let mut decoder = Decoder::new();
    let bytes = [
        frame(false, Opcode::Text, b"half"),
        frame(true, Opcode::Close, b""),
    ]
    .concat();
    let (heard, end) = hear(&mut decoder, [bytes], &WIDE);
    assert_eq!((heard, end), (vec![Heard::Close(None)], Ok(())));
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn what_follows_an_error_is_ignored() {
    let mut decoder = Decoder::new();
    let bytes = [frame(false, Opcode::Text, b"half"), text("nested")].concat();
    let (_, end) = hear(&mut decoder, [bytes], &WIDE);
    assert_eq!(end, Err(ProtocolError::NestedMessage));
    assert_eq!(decoder.buffered(), 0);

    let (heard, end) = hear(&mut decoder, [text("late")], &WIDE);
    assert_eq!((heard, end), (vec![], Ok(())));
}

#[test]
fn an_announced_length_takes_no_memory() {
    let bytes = frame(true, Opcode::Binary, &[0; 1 << 19]);
    let mut decoder = Decoder::new();
    hear(&mut decoder, [&bytes[..14]], &WIDE).1.unwrap();
    assert!(decoder.buffered() < 512, "a header alone");
    hear(&mut decoder, [&bytes[14..15]], &WIDE).1.unwrap();
    assert!(decoder.buffered() < 8 << 10, "one byte of payload");
    hear(&mut decoder, [&bytes[15..100_000]], &WIDE).1.unwrap();
    assert!(decoder.buffered() < 210_000, "twice what came");
}

#[test]
fn a_slow_message_is_moved_seldom() {
    let bytes = frame(true, Opcode::Binary, &[0; 1 << 18]);
    let mut decoder = Decoder::new();
    let mut sizes = BTreeSet::new();
    for byte in bytes.chunks(16) {
        hear(&mut decoder, [byte], &WIDE).1.unwrap();
        sizes.insert(decoder.buffered());
    }
    assert!(sizes.len() <= 10, "{sizes:?}");
}

#[test]
fn many_small_fragments_are_moved_seldom() {
    let limits = Limits {
        max_fragments: usize::MAX,
        ..WIDE
    };
    let mut decoder = Decoder::new();
    let mut sizes = BTreeSet::new();
    let mut opcode = Opcode::Text;
    for _ in 0..1 << 14 {
        hear(
            &mut decoder,
            [frame(false, opcode, b"0123456789abcdef")],
            &limits,
        )
        .1
        .unwrap();
        opcode = Opcode::Continuation;
        sizes.insert(decoder.buffered());
    }
    assert!(sizes.len() <= 10, "{sizes:?}");
}

#[test]
fn a_small_message_is_held_in_no_more_than_its_length() {
    let held = |length| {
        let bytes = frame(true, Opcode::Binary, &vec![7; length]);
        let mut decoder = Decoder::new();
        hear(&mut decoder, [&bytes[..20]], &WIDE).1.unwrap();
        decoder.buffered()
    };
    assert_eq!(held(100) - held(31), 69);
}

#[test]
fn a_mask_is_taken_off_at_every_length() {
    let plain: Vec<u8> = (0..200).collect();
    for length in 0..plain.len() {
        let mut bytes: Vec<u8> = (0..length).map(|at| plain[at] ^ KEY[at % 4]).collect();
        unmask(&mut bytes, KEY);
        assert_eq!(bytes, plain[..length]);
    }
}
