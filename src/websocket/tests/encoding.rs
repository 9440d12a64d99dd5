//! The bytes of the server's frames.

use super::super::{CloseCode, MAX_HEADER, Opcode, close_frame, header, pong};

#[test]
fn a_length_takes_its_shortest_form() {
    let cases: [(usize, &[u8]); 6] = [
        (0, &[0x81, 0]),
        (125, &[0x81, 125]),
        (126, &[0x81, 126, 0, 126]),
        (65_535, &[0x81, 126, 0xFF, 0xFF]),
        (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        (0x0102_0304, &[0x81, 127, 0, 0, 0, 0, 1, 2, 3, 4]),
    ];
    for (length, expected) in cases {
        assert_eq!(header(Opcode::Text, length).as_ref(), expected);
    }
    assert_eq!(header(Opcode::Text, usize::MAX).as_ref().len(), MAX_HEADER);
}

#[test]
fn every_opcode_has_its_bits() {
    let opcodes = [
        (Opcode::Text, 0x81),
        (Opcode::Binary, 0x82),
        (Opcode::Close, 0x88),
        (Opcode::Pong, 0x8A),
    ];
    for (opcode, bits) in opcodes {
        assert_eq!(header(opcode, 0).as_ref(), [bits, 0]);
    }
}

#[test]
fn a_pong_repeats_the_payload() {
    let frame = pong(b"abc");
    assert_eq!(frame.as_ref(), b"\x8A\x03abc");
    assert_eq!(pong(b"").as_ref(), b"\x8A\x00");
    assert_eq!(
        pong(&[7; 125]).as_ref(),
        [&[0x8A, 125][..], &[7; 125]].concat()
    );
}

#[test]
fn a_pong_is_cut_at_125_bytes() {
    assert_eq!(
        pong(&[7; 200]).as_ref(),
        [&[0x8A, 125][..], &[7; 125]].concat()
    );
}

#[test]
fn a_close_frame_gives_code_and_reason() {
    let frame = close_frame(CloseCode::GOING_AWAY, "bye");
    assert_eq!(frame.as_ref(), b"\x88\x05\x03\xE9bye");
    assert_eq!(
        close_frame(CloseCode::NORMAL, "").as_ref(),
        b"\x88\x02\x03\xE8"
    );
}

#[test]
fn a_close_reason_is_cut_between_characters() {
    let cases = [
        ("a".repeat(123), 123),
        ("a".repeat(124), 123),
        ("\u{20AC}".repeat(42), 123),
        ("a".to_owned() + &"\u{20AC}".repeat(41), 121),
        ("aa".to_owned() + &"\u{20AC}".repeat(41), 122),
        ("\u{1F600}".repeat(40), 120),
    ];
    for (reason, kept) in cases {
        let frame = close_frame(CloseCode::NORMAL, &reason);
        assert_eq!(frame.as_ref()[1], 2 + kept as u8);
        assert_eq!(&frame.as_ref()[4..], &reason.as_bytes()[..kept]);
    }
}

#[test]
fn the_named_close_codes_may_be_sent() {
    let codes = [
        CloseCode::NORMAL,
        CloseCode::GOING_AWAY,
        CloseCode::PROTOCOL_ERROR,
        CloseCode::INVALID_DATA,
        CloseCode::POLICY,
        CloseCode::TOO_BIG,
    ];
    let numbers = [1000, 1001, 1002, 1007, 1008, 1009];
    assert_eq!(codes.map(CloseCode::get), numbers);
    for code in codes {
        assert_eq!(CloseCode::new(code.get()), Some(code));
    }
}
