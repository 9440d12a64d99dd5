//! What no client may send, one rule a test.

use super::super::testing::{KEY, WIDE, frame, hear, text};
use super::super::{CloseCode, Decoder, Limits, Opcode, ProtocolError};

/// The error that the bytes lead to, which has to be the same however they are cut.
#[track_caller]
fn fault(bytes: &[u8], limits: &Limits) -> ProtocolError {
    let error = hear(&mut Decoder::new(), [bytes], limits).1.unwrap_err();
    for cut in 0..=bytes.len().min(300) {
        let (before, after) = bytes.split_at(cut);
        let cut = hear(&mut Decoder::new(), [before, after], limits).1;
        assert_eq!(cut, Err(error.clone()));
    }
    let single = hear(&mut Decoder::new(), bytes.chunks(1), limits).1;
    assert_eq!(single, Err(error.clone()));
    error
}

#[track_caller]
fn refused(bytes: &[u8], error: ProtocolError, code: u16) {
    let found = fault(bytes, &WIDE);
    assert_eq!(found.close_code().get(), code);
    assert_eq!(found, error);
}

#[track_caller]
fn accepted(bytes: &[u8], limits: &Limits) {
    assert_eq!(hear(&mut Decoder::new(), [bytes], limits).1, Ok(()));
}

/// A close frame with that code and reason.
fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(true, Opcode::Close, &[&code.to_be_bytes(), reason].concat())
}

/// A frame of a text of which only the header is there.
fn announced(length: &[u8]) -> Vec<u8> {
    [&[0x81], length, &KEY].concat()
}

#[test]
fn the_first_reserved_bit_is_refused() {
    refused(
        &[0x80 | 0x40 | 0x1, 0x80],
        ProtocolError::ReservedBits,
        1002,
    );
}

#[test]
fn the_second_reserved_bit_is_refused() {
    refused(
        &[0x80 | 0x20 | 0x1, 0x80],
        ProtocolError::ReservedBits,
        1002,
    );
}

#[test]
fn the_third_reserved_bit_is_refused() {
    refused(
        &[0x80 | 0x10 | 0x1, 0x80],
        ProtocolError::ReservedBits,
        1002,
    );
}

#[test]
fn reserved_data_opcodes_are_refused() {
    for opcode in 0x3..=0x7 {
        refused(
            &[0x80 | opcode, 0x80],
            ProtocolError::ReservedOpcode(opcode),
            1002,
        );
    }
}

#[test]
fn reserved_control_opcodes_are_refused() {
    for opcode in 0xB..=0xF {
        refused(
            &[0x80 | opcode, 0x80],
            ProtocolError::ReservedOpcode(opcode),
            1002,
        );
    }
}

#[test]
fn a_data_frame_without_a_mask_is_refused() {
    refused(b"\x81\x02hi", ProtocolError::Unmasked, 1002);
}

#[test]
fn a_control_frame_without_a_mask_is_refused() {
    refused(b"\x89\x00", ProtocolError::Unmasked, 1002);
}

#[test]
fn a_short_length_in_16_bits_is_refused() {
    refused(
        &announced(&[0x80 | 126, 0, 125]),
        ProtocolError::LengthNotMinimal,
        1002,
    );
}

#[test]
fn a_16_bit_length_in_64_bits_is_refused() {
    let length = [0x80 | 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF];
    refused(&announced(&length), ProtocolError::LengthNotMinimal, 1002);
}

#[test]
fn a_64_bit_length_with_its_top_bit_is_refused() {
    let length = [0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0];
    refused(&announced(&length), ProtocolError::LengthTopBit, 1002);
}

#[test]
fn a_long_ping_is_refused() {
    refused(
        &frame(true, Opcode::Ping, &[0; 126]),
        ProtocolError::ControlTooLong,
        1002,
    );
    accepted(&frame(true, Opcode::Ping, &[0; 125]), &WIDE);
}

#[test]
fn a_long_close_frame_is_refused() {
    refused(
        &close(1000, &[b'a'; 124]),
        ProtocolError::ControlTooLong,
        1002,
    );
    accepted(&close(1000, &[b'a'; 123]), &WIDE);
}

#[test]
fn a_control_frame_of_64_bit_length_is_refused() {
    refused(&[0x8A, 0x80 | 127], ProtocolError::ControlTooLong, 1002);
}

#[test]
fn a_fragmented_control_frame_is_refused() {
    for opcode in [Opcode::Ping, Opcode::Pong, Opcode::Close] {
        refused(
            &frame(false, opcode, b""),
            ProtocolError::ControlFragmented,
            1002,
        );
    }
}

#[test]
fn a_continuation_of_nothing_is_refused() {
    for fin in [false, true] {
        let bytes = frame(fin, Opcode::Continuation, b"x");
        refused(&bytes, ProtocolError::UnexpectedContinuation, 1002);
    }
}

#[test]
fn a_continuation_of_a_message_that_ended_is_refused() {
    let bytes = [
        frame(false, Opcode::Text, b"a"),
        frame(true, Opcode::Continuation, b"b"),
        frame(true, Opcode::Continuation, b"c"),
    ];
    refused(&bytes.concat(), ProtocolError::UnexpectedContinuation, 1002);
}

#[test]
fn a_continuation_of_an_unfragmented_message_is_refused() {
    let bytes = [text("a"), frame(true, Opcode::Continuation, b"b")];
    refused(&bytes.concat(), ProtocolError::UnexpectedContinuation, 1002);
}

#[test]
fn a_message_inside_a_fragmented_one_is_refused() {
    for opcode in [Opcode::Text, Opcode::Binary] {
        let bytes = [frame(false, Opcode::Text, b""), frame(true, opcode, b"b")];
        refused(&bytes.concat(), ProtocolError::NestedMessage, 1002);
    }
}

#[test]
fn half_a_close_code_is_refused_by_its_header() {
    refused(&[0x88, 0x80 | 1], ProtocolError::CloseTooShort, 1002);
}

#[test]
fn close_codes_that_may_not_be_sent_are_refused() {
    for code in [
        0,
        999,
        1004,
        1005,
        1006,
        1015,
        1016,
        2000,
        2999,
        5000,
        u16::MAX,
    ] {
        refused(
            &close(code, b""),
            ProtocolError::CloseCodeNotAllowed(code),
            1002,
        );
    }
}

#[test]
fn exactly_the_codes_of_the_registry_and_of_applications_may_be_sent() {
    let allowed = (0..=u16::MAX).filter(|code| CloseCode::new(*code).is_some());
    let expected = (1000..=1003).chain(1007..=1014).chain(3000..=4999);
    assert!(allowed.eq(expected));
}

#[test]
fn a_close_reason_that_is_not_utf_8_is_refused() {
    for reason in [&b"\xFF"[..], b"ab\xE2\x82"] {
        refused(&close(1000, reason), ProtocolError::ReasonNotUtf8, 1007);
    }
}

#[test]
fn a_text_that_is_not_utf_8_is_refused() {
    for payload in [
        &b"\xFF"[..],
        b"\xC0\x80",
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"\x80",
    ] {
        refused(
            &frame(true, Opcode::Text, payload),
            ProtocolError::TextNotUtf8,
            1007,
        );
    }
}

#[test]
fn a_text_that_ends_inside_a_character_is_refused() {
    refused(
        &frame(true, Opcode::Text, b"ab\xE2\x82"),
        ProtocolError::TextNotUtf8,
        1007,
    );
}

#[test]
fn a_fragmented_text_that_ends_inside_a_character_is_refused() {
    for last in [&b"\x82"[..], b""] {
        let bytes = [
            frame(false, Opcode::Text, b"ab\xE2"),
            frame(true, Opcode::Continuation, last),
        ];
        refused(&bytes.concat(), ProtocolError::TextNotUtf8, 1007);
    }
}

#[test]
fn a_bad_text_fragment_is_refused_at_its_end() {
    refused(
        &frame(false, Opcode::Text, b"ab\xE2\x28"),
        ProtocolError::TextNotUtf8,
        1007,
    );
}

#[test]
fn a_bad_text_is_refused_at_its_bad_byte() {
    let bytes = frame(true, Opcode::Text, b"ab\xE2\x28 and much that never comes");
    refused(&bytes[..6 + 4], ProtocolError::TextNotUtf8, 1007);
}

#[test]
fn a_frame_above_the_limit_is_refused_by_its_header() {
    let limits = Limits {
        max_message: 5,
        ..WIDE
    };
    let bytes = text("123456");

    assert_eq!(fault(&bytes[..2], &limits), ProtocolError::TooLarge);
    assert_eq!(ProtocolError::TooLarge.close_code().get(), 1009);
    accepted(&text("12345"), &limits);
}

#[test]
fn the_largest_length_is_refused_by_its_header() {
    let length = [0x80 | 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
    refused(&announced(&length), ProtocolError::TooLarge, 1009);
}

#[test]
fn fragments_above_the_limit_together_are_refused_by_a_header() {
    let limits = Limits {
        max_message: 5,
        ..WIDE
    };
    let first = frame(false, Opcode::Binary, b"123");
    let fits = frame(true, Opcode::Continuation, b"45");
    let does_not = frame(true, Opcode::Continuation, b"456");

    assert_eq!(
        fault(&[&first, &does_not[..6]].concat(), &limits),
        ProtocolError::TooLarge
    );
    accepted(&[first, fits].concat(), &limits);
}

#[test]
fn too_many_fragments_are_refused_though_they_are_empty() {
    let limits = Limits {
        max_fragments: 3,
        ..WIDE
    };
    let first = frame(false, Opcode::Binary, b"");
    let more = frame(false, Opcode::Continuation, b"");
    let last = frame(true, Opcode::Continuation, b"");

    let four = [&first[..], &more, &more, &last].concat();
    assert_eq!(fault(&four, &limits), ProtocolError::TooManyFragments);
    assert_eq!(ProtocolError::TooManyFragments.close_code().get(), 1009);
    accepted(&[&first[..], &more, &last].concat(), &limits);
}

#[test]
fn a_message_in_one_frame_has_no_fragments() {
    let limits = Limits {
        max_fragments: 0,
        ..WIDE
    };
    accepted(&text("whole"), &limits);
    let error = fault(&frame(false, Opcode::Text, b""), &limits);
    assert_eq!(error, ProtocolError::TooManyFragments);
}

#[test]
fn control_frames_are_no_fragments() {
    let limits = Limits {
        max_fragments: 2,
        ..WIDE
    };
    let bytes = [
        frame(false, Opcode::Binary, b""),
        frame(false, Opcode::Continuation, b""),
        frame(true, Opcode::Ping, b""),
    ];
    accepted(&bytes.concat(), &limits);
}

#[test]
fn control_frames_are_no_part_of_a_message() {
    let limits = Limits {
        max_message: 3,
        ..WIDE
    };
    let bytes = [
        frame(false, Opcode::Binary, b"123"),
        frame(true, Opcode::Ping, b"1234"),
    ];
    accepted(&bytes.concat(), &limits);
}

#[test]
fn errors_are_lower_case_fragments() {
    let texts = [
        ProtocolError::ReservedBits,
        ProtocolError::ReservedOpcode(11),
        ProtocolError::Unmasked,
        ProtocolError::LengthNotMinimal,
        ProtocolError::LengthTopBit,
        ProtocolError::ControlTooLong,
        ProtocolError::ControlFragmented,
        ProtocolError::UnexpectedContinuation,
        ProtocolError::NestedMessage,
        ProtocolError::CloseTooShort,
        ProtocolError::CloseCodeNotAllowed(1005),
        ProtocolError::ReasonNotUtf8,
        ProtocolError::TextNotUtf8,
        ProtocolError::TooLarge,
        ProtocolError::TooManyFragments,
    ]
    .map(|error| error.to_string());
    let expected = [
        "a reserved bit of a frame is set",
        "opcode 0xb is reserved",
        "a frame is not masked",
        "the length of a frame is not written in its shortest form",
        "the length of a frame has its highest bit set",
        "a control frame is longer than 125 bytes",
        "a control frame is fragmented",
        "a continuation frame has nothing to continue",
        "a message began inside a fragmented one",
        "a close frame holds half a code",
        "close code 1005 may not be sent",
        "the reason of a close frame is not UTF-8",
        "a text message is not UTF-8",
        "a message is too large",
        "a message has too many fragments",
    ];
    assert_eq!(texts, expected);
}
