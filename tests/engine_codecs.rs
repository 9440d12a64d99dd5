//! Properties of the Engine.IO codecs: whatever the bytes, against readers and
//! writers that share no code with the crate.

#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the room is taken in whole, its items are private to the crate"
)]
#[path = "../src/engine/mod.rs"]
mod engine;

use std::collections::HashMap;

use bytes::Bytes;
use bytestring::ByteString;
use engine::{
    Control, Data, DecodeError, Packet, Part, Payload, Query, QueryError, decode_base64,
    put_binary, put_packet,
};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_packet_is_its_type_and_the_rest(bytes in vec(any::<u8>(), 0..12)) {
        let expected = match &bytes[..] {
            [] => Err(DecodeError::Empty),
            [b'0', ..] => Ok(Packet::Open),
            [b'1', ..] => Ok(Packet::Close),
            [b'2', data @ ..] => Ok(Packet::Ping { probe: data == b"probe" }),
            [b'3', data @ ..] => Ok(Packet::Pong { probe: data == b"probe" }),
            [b'4', data @ ..] => Ok(Packet::Text(data)),
            [b'5', ..] => Ok(Packet::Upgrade),
            [b'6', ..] => Ok(Packet::Noop),
            [b'b', data @ ..] => Ok(Packet::Base64(data)),
            [other, ..] => Err(DecodeError::UnknownType(*other)),
        };
        prop_assert_eq!(Packet::decode(&bytes), expected);
    }

    #[test]
    fn packets_that_begin_well_are_read_too(kind in 0..=9_u8, data in "(probe)?.{0,3}") {
        let bytes = format!("{kind}{data}");
        let packet = Packet::decode(bytes.as_bytes());
        prop_assert_eq!(packet.is_ok(), kind <= 6);
        if let Ok(Packet::Ping { probe } | Packet::Pong { probe }) = packet {
            prop_assert_eq!(probe, data == "probe");
        }
    }

    #[test]
    fn base64_of_anything_decodes(data in vec(any::<u8>(), 0..100)) {
        prop_assert_eq!(decode_base64(base64(&data).as_bytes()), Ok(Bytes::from(data)));
    }

    /// There is one spelling of each sequence of bytes.
    #[test]
    fn what_decodes_is_canonical(text in "[A-D+/=\n-]{0,9}|[A-Za-z0-9+/]{0,12}={0,2}") {
        if let Ok(data) = decode_base64(text.as_bytes()) {
            prop_assert_eq!(base64(&data), text);
        }
    }

    #[test]
    fn what_a_client_sends_is_received(messages in vec(message(), 1..20)) {
        let body = client_body(&messages);
        let parts: Vec<_> = Payload::decode(body.into(), 20).unwrap().collect();
        let sent: Vec<_> = messages.into_iter().map(Part::Message).collect();
        prop_assert_eq!(parts, sent);
    }

    #[test]
    fn what_the_server_sends_a_client_would_have_written(messages in vec(message(), 0..20)) {
        let mut out = Vec::new();
        for message in &messages {
            match message {
                Data::Text(text) => put_packet(&mut out, format!("4{text}").as_bytes()),
                Data::Binary(data) => put_binary(&mut out, data),
            }
        }
        prop_assert_eq!(out, client_body(&messages).into_bytes());
    }

    #[test]
    fn any_body_is_read_up_to_its_end(body in body(), max in 0..12_usize) {
        let expected = read_body(&body, max);
        let payload = Payload::decode(body.into(), max);
        let read = payload.map(|payload| (payload.has_pong(), payload.collect::<Vec<_>>()));
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn any_string_is_a_query_or_a_fault(query in ".*") {
        prop_assert_eq!(fields(&query), read_query(&query));
    }

    #[test]
    fn any_query_is_read_as_a_simple_reader_does(query in query()) {
        prop_assert_eq!(fields(&query), read_query(&query));
    }
}

fn message() -> impl Strategy<Value = Data> {
    prop_oneof![
        "[^\u{1e}]{0,20}".prop_map(|text| Data::Text(text.into())),
        vec(any::<u8>(), 0..20).prop_map(|data| Data::Binary(data.into())),
    ]
}

/// Bodies of good packets with a fault here and there.
fn body() -> impl Strategy<Value = String> {
    let packet = prop_oneof![
        8 => "4[a-z\u{e9}]{0,3}",
        4 => "b(AQID|AQ==|)",
        2 => "[0-6](probe)?",
        1 => "b[A-Z=]{0,4}",
        1 => "[7-9a-z\u{e9}]{0,3}",
    ];
    vec(packet, 0..12).prop_map(|packets| packets.join("\u{1e}"))
}

fn query() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        4 => prop::sample::select(vec!["transport", "EIO", "sid", "t"]),
        1 => prop::sample::select(vec!["account", "%61ccount", "s%69d", "", "EI%4F+", "%ff"]),
    ];
    let pair = (
        key,
        "(=([a-z4+=\u{e9}]|%(41|2b|26|C3%A9|c3|ff|4|g0)|%){0,4})?",
    );
    vec(pair, 0..6).prop_map(|pairs| {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, rest)| format!("{key}{rest}"))
            .collect();
        pairs.join("&")
    })
}

fn client_body(messages: &[Data]) -> String {
    let packets: Vec<_> = messages
        .iter()
        .map(|message| match message {
            Data::Text(text) => format!("4{text}"),
            Data::Binary(data) => format!("b{}", base64(data)),
        })
        .collect();
    packets.join("\u{1e}")
}

/// Base64 by the book, bit by bit.
fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = data
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let mut text: String = bits
        .chunks(6)
        .map(|six| (0..6).fold(0, |digit, bit| digit << 1 | six.get(bit).unwrap_or(&0)))
        .map(|digit: u8| char::from(DIGITS[usize::from(digit)]))
        .collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

fn read_body(body: &str, max: usize) -> Result<(bool, Vec<Part>), DecodeError> {
    let packets: Vec<_> = body.split('\u{1e}').collect();
    if packets.len() > max {
        return Err(DecodeError::TooManyPackets);
    }
    // A pong is looked for ahead of everything, when nothing is decoded yet.
    let pong = packets
        .iter()
        .take_while(|packet| packet.starts_with(|kind| "023456b".contains(kind)))
        .any(|packet| packet.starts_with('3'));
    let mut parts = Vec::new();
    for packet in packets {
        let part = read_part(packet);
        let ends = matches!(part, Part::Fault(_) | Part::Control(Control::Close));
        if !matches!(part, Part::Control(Control::Pong { .. })) {
            parts.push(part);
        }
        if ends {
            break;
        }
    }
    Ok((pong, parts))
}

fn read_part(packet: &str) -> Part {
    let Some(kind) = packet.bytes().next() else {
        return Part::Fault(DecodeError::Empty);
    };
    match (kind, packet.get(1..).unwrap_or_default()) {
        (b'0', _) => Part::Control(Control::Open),
        (b'1', _) => Part::Control(Control::Close),
        (b'2', data) => Part::Control(Control::Ping {
            probe: data == "probe",
        }),
        (b'3', data) => Part::Control(Control::Pong {
            probe: data == "probe",
        }),
        (b'4', data) => Part::Message(Data::Text(ByteString::from(data))),
        (b'5', _) => Part::Control(Control::Upgrade),
        (b'6', _) => Part::Control(Control::Noop),
        (b'b', data) => read_base64(data).map_or(Part::Fault(DecodeError::Base64), |data| {
            Part::Message(Data::Binary(data))
        }),
        (other, _) => Part::Fault(DecodeError::UnknownType(other)),
    }
}

/// Looks the text up among all that the generated bodies may spell: what four
/// digits can hold.
fn read_base64(text: &str) -> Option<Bytes> {
    let mut bits = 0_u32;
    for digit in text.bytes().chain(*b"====").take(4) {
        let value = (0..64).find(|value| base64(&[value << 2]).as_bytes()[0] == digit);
        bits = bits << 6 | u32::from(value.unwrap_or_default());
    }
    let [_, bytes @ ..] = bits.to_be_bytes();
    let data = (0..=3)
        .map(|len| &bytes[..len])
        .find(|data| base64(data) == text);
    data.map(Bytes::copy_from_slice)
}

type Fields = [Option<String>; 4];

fn fields(query: &str) -> Result<Fields, QueryError> {
    let query = Query::parse(Some(query))?;
    Ok([query.transport, query.eio, query.sid, query.account].map(|value| value.map(String::from)))
}

fn read_query(query: &str) -> Result<Fields, QueryError> {
    let mut values: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    for pair in query.split('&') {
        let (key, value) = pair.split_at(pair.find('=').unwrap_or(pair.len()));
        let key = read_escaped(key);
        let value = read_escaped(value.strip_prefix('=').unwrap_or_default());
        if key == b"account" {
            if values.contains_key(&key) {
                return Err(QueryError::RepeatedAccount);
            }
            if String::from_utf8(value.clone()).is_err() {
                return Err(QueryError::AccountNotUtf8);
            }
        }
        values.insert(key, value);
    }
    let text = |key: &str| {
        let value = values.get(key.as_bytes())?.clone();
        Some(String::from_utf8(value).unwrap_or_else(|_| "\u{fffd}".into()))
    };
    let sid = text("sid").filter(|sid| !sid.is_empty());
    Ok([text("transport"), text("EIO"), sid, text("account")])
}

fn read_escaped(raw: &str) -> Vec<u8> {
    let hex = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    let mut rest = raw.as_bytes();
    let mut out = Vec::new();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let escaped = match (byte, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            out.push(high << 4 | low);
            rest = &tail[2..];
        } else {
            out.push(if *byte == b'+' { b' ' } else { *byte });
        }
    }
    out
}
