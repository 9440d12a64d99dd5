mod scan;

use std::{borrow::Cow, fmt};

use bytestring::ByteString;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{error::Category, value::RawValue};

use super::{
    Args, Codec, DecodeFailure, EncodeError, Envelope, Outgoing, OutgoingArgs, RawInput, WireKind,
    args::Repr,
};

/// The event of an object that names none.
const MESSAGE: ByteString = ByteString::from_static("message");

/// Messages as JSON objects, the default codec.
///
/// `{"event": NAME, "args": [..], "id": N}`; `args` and `id` may be missing. An object without
/// `event` is the event `message` with that object as its only argument.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a codec without settings is its own name"
)]
pub struct Json;

impl Codec for Json {
    fn decode(&self, raw: &RawInput) -> Result<Envelope, DecodeFailure> {
        let text = raw
            .text()
            .ok_or_else(|| DecodeFailure::malformed("not text"))?;
        let fields = match scan::plain(text) {
            Some(fields) => fields,
            None => parse(text)?,
        };
        fields.into_envelope(text)
    }

    fn encode(&self, message: &Outgoing<'_>, out: &mut Vec<u8>) -> Result<WireKind, EncodeError> {
        match (message.event(), message.id()) {
            (Some(event), _) => {
                out.extend_from_slice(br#"{"event":"#);
                put_text(out, event)?;
            }
            (None, id) => {
                out.extend_from_slice(br#"{"id":"#);
                put(out, &id)?;
            }
        }
        if let Some(error) = message.error() {
            out.extend_from_slice(br#","error":"#);
            put_text(out, error)?;
        } else {
            put_args(out, &message.args())?;
        }
        out.push(b'}');
        Ok(WireKind::Text)
    }
}

fn put(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) -> Result<(), EncodeError> {
    serde_json::to_writer(out, value).map_err(EncodeError::new)
}

/// A text without anything to escape is copied.
fn put_text(out: &mut Vec<u8>, text: &str) -> Result<(), EncodeError> {
    if !scan::is_plain(text) {
        return put(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

/// Arguments as a client wrote them are copied, all others serialized.
fn put_args(out: &mut Vec<u8>, args: &OutgoingArgs<'_>) -> Result<(), EncodeError> {
    out.extend_from_slice(br#","args":"#);
    match args.as_args().map(|args| &args.0) {
        Some(Repr::Json(text)) => out.extend_from_slice(text.as_bytes()),
        Some(Repr::JsonOne(text)) => {
            out.push(b'[');
            out.extend_from_slice(text.as_bytes());
            out.push(b']');
        }
        _ => put(out, args)?,
    }
    Ok(())
}

/// Reads any envelope, and says what is wrong with one that is none.
fn parse(text: &str) -> Result<Fields<'_>, DecodeFailure> {
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_any(Fields::default())
        .and_then(|fields| json.end().map(|()| fields))
        .map_err(|error| failure(text, &error))
}

/// A value of the wrong type hides what stands behind it: the rest decides whether this is JSON.
fn failure(text: &str, error: &serde_json::Error) -> DecodeFailure {
    let malformed = match error.classify() {
        Category::Data => serde_json::from_str::<IgnoredAny>(text).err(),
        Category::Syntax | Category::Eof | Category::Io => {
            return DecodeFailure::Malformed(error.to_string());
        }
    };
    match malformed {
        Some(error) => DecodeFailure::Malformed(error.to_string()),
        // What serde says would quote the message.
        None => DecodeFailure::invalid(format!(
            "not an object with a usable event, args and id, at line {} column {}",
            error.line(),
            error.column()
        )),
    }
}

/// What an envelope is made of, borrowed from its text.
#[derive(Debug, Default, PartialEq)]
struct Fields<'a> {
    event: Option<Cow<'a, str>>,
    args: Option<&'a str>,
    id: Option<u64>,
}

impl Fields<'_> {
    fn into_envelope(self, text: &ByteString) -> Result<Envelope, DecodeFailure> {
        let Some(event) = self.event else {
            return Ok(Envelope {
                event: MESSAGE,
                args: Args(Repr::JsonOne(text.clone())),
                id: self.id,
            });
        };
        let args = match self.args {
            None => Repr::Empty,
            Some(args) if args.starts_with('[') => Repr::Json(text.slice_ref(args)),
            Some(_) => return Err(DecodeFailure::invalid("args is not an array")),
        };
        let event = match event {
            Cow::Borrowed(event) => text.slice_ref(event),
            Cow::Owned(event) => event.into(),
        };
        Ok(Envelope {
            event,
            args: Args(args),
            id: self.id,
        })
    }
}

impl<'de> Visitor<'de> for Fields<'de> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(key) = map.next_key_seed(KeySeed)? {
            match key {
                Key::Event => once(&mut self.event, "event", map.next_value_seed(NameSeed)?)?,
                Key::Args => {
                    let args = map.next_value::<&RawValue>()?;
                    once(&mut self.args, "args", args.get())?;
                }
                Key::Id => once(&mut self.id, "id", map.next_value()?)?,
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(self)
    }
}

fn once<T, E: Error>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

enum Key {
    Event,
    Args,
    Id,
    Other,
}

impl Key {
    fn of(key: &str) -> Self {
        match key {
            "event" => Self::Event,
            "args" => Self::Args,
            "id" => Self::Id,
            _ => Self::Other,
        }
    }
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Key, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
        Ok(Key::of(key))
    }
}

/// A string, borrowed unless it holds escapes.
struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an event")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(text: &str) -> Result<Envelope, DecodeFailure> {
        Json.decode(&text.into())
    }

    fn is_malformed(text: &str) -> bool {
        matches!(decode(text), Err(DecodeFailure::Malformed(_)))
    }

    fn is_invalid(text: &str) -> bool {
        matches!(decode(text), Err(DecodeFailure::Invalid(_)))
    }

    #[test]
    fn an_envelope_has_event_args_and_id_in_any_order() {
        let envelope = decode(r#" {"id": 7, "x": [1, {}], "args": [1, "b"], "event": "chat"} "#);
        let envelope = envelope.unwrap();
        assert_eq!(&*envelope.event, "chat");
        assert_eq!(envelope.args.as_json(), Some(r#"[1, "b"]"#));
        assert_eq!(envelope.id, Some(7));
    }

    #[test]
    fn args_may_be_missing() {
        let envelope = decode(r#"{"event":"ping"}"#).unwrap();
        assert!(envelope.args.is_empty());
        assert_eq!(envelope.id, None);
    }

    #[test]
    fn an_object_without_event_is_the_only_argument_of_message() {
        let envelope = decode(r#"{"text":"hi","args":[1]}"#).unwrap();
        assert_eq!(&*envelope.event, "message");
        let only: serde_json::Value = envelope.args.get(0).unwrap();
        assert_eq!(only, serde_json::json!({"text": "hi", "args": [1]}));
    }

    #[test]
    fn an_event_name_with_escapes_is_unescaped() {
        assert_eq!(&*decode(r#"{"event":"a\u0062\n"}"#).unwrap().event, "ab\n");
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for text in [
            "",
            "{",
            "hello",
            r#"{"event":"a"} x"#,
            r#"{"event":5, x"#,
            "[1,",
            r#"{"a":1"#,
        ] {
            assert!(is_malformed(text), "{text}");
        }
        let binary = RawInput::from(bytes::Bytes::from_static(b"{}"));
        assert!(matches!(
            Json.decode(&binary),
            Err(DecodeFailure::Malformed(_))
        ));
    }

    #[test]
    fn json_that_is_no_message_is_invalid() {
        for text in [
            "null",
            "5",
            r#""text""#,
            r#"["event"]"#,
            r#"{"event":5}"#,
            r#"{"event":null}"#,
            r#"{"event":"a","args":{}}"#,
            r#"{"event":"a","args":null}"#,
            r#"{"event":"a","args":"x"}"#,
            r#"{"event":"a","id":-1}"#,
            r#"{"event":"a","id":1.5}"#,
            r#"{"event":"a","id":"1"}"#,
            r#"{"event":"a","event":"b"}"#,
            r#"{"event":"a","id":18446744073709551616}"#,
        ] {
            assert!(is_invalid(text), "{text}: {:?}", decode(text));
        }
    }

    /// What is plain is read as serde_json reads it, down to where it lies; the rest is left to that.
    fn agree(text: &str) -> bool {
        let Some(plain) = scan::plain(text) else {
            assert!(text.contains('\\') || parse(text).is_err(), "{text:?}");
            return false;
        };
        let place = |fields: &Fields<'_>| {
            let event = fields.event.as_deref().map(str::as_ptr);
            (event, fields.args.map(str::as_ptr))
        };
        let parsed = parse(text);
        let parsed = parsed.unwrap_or_else(|error| panic!("{text:?} is refused: {error}"));
        assert_eq!(
            (place(&plain), &plain),
            (place(&parsed), &parsed),
            "{text:?}"
        );
        true
    }

    /// Pieces of envelopes, and what breaks them.
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        " ",
        "\n",
        "\t",
        "\u{1}",
        "\\",
        "\\u00e9",
        "\\uD800",
        "\\u12",
        "\\n",
        "\\/",
        "\\x",
        "a",
        "\u{e9}",
        "\u{10ffff}",
        "\u{7f}",
        "/",
        "+",
        "-",
        "0",
        "7",
        "10",
        ".",
        "5.25",
        "e",
        "E+",
        "-0",
        "1e9",
        "18446744073709551615",
        "18446744073709551616",
        "true",
        "false",
        "null",
        "nul",
        "\"event\"",
        "\"args\"",
        "\"id\"",
        "\"x\"",
        "\"\"",
        "\"event\":\"a\"",
        "\"args\":[1]",
        "\"args\":[]",
        "\"id\":3",
        "{\"a\":[{}, 2]}",
        "[[],[1,\"b\"]]",
        "\"0123456789abcdef\"",
        "\"01234567\\\"89\"",
        "{\"event\":\"e\",\"args\":[",
    ];

    fn pieces(most: usize) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(PIECES), 0..most)
            .prop_map(|pieces| pieces.concat())
    }

    /// Any JSON as somebody might write it.
    fn value() -> impl Strategy<Value = String> {
        let space = || prop::sample::select(&["", " ", "\r\n\t"][..]);
        let leaf = prop_oneof![
            any::<f64>().prop_map(|it| serde_json::json!(it).to_string()),
            any::<i64>().prop_map(|it| it.to_string()),
            any::<String>().prop_map(|it| serde_json::json!(it).to_string()),
            prop::sample::select(&["true", "null", "-0.0e-7", "\"\\ud800\""][..])
                .prop_map(str::to_owned),
        ];
        leaf.prop_recursive(6, 40, 5, move |inner| {
            let spaced = (space(), inner, space()).prop_map(|(a, it, b)| format!("{a}{it}{b}"));
            let array = prop::collection::vec(spaced.clone(), 0..5);
            let object = prop::collection::vec((any::<String>(), space(), spaced), 0..5);
            prop_oneof![
                array.prop_map(|all| format!("[{}]", all.join(","))),
                object.prop_map(|all| {
                    let all = all.into_iter().map(|(key, space, value)| {
                        format!("{}{space}:{value}", serde_json::json!(key))
                    });
                    format!("{{{}}}", all.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    /// An envelope with keys in any order, some missing, some strange.
    fn envelope() -> impl Strategy<Value = String> {
        let field = prop_oneof![
            3 => prop::collection::vec(value(), 0..4)
                .prop_map(|args| format!("\"args\" : [{}]", args.join(", "))),
            3 => "[a-z:]{0,20}".prop_map(|name| format!(" \"event\":\"{name}\"")),
            2 => any::<u64>().prop_map(|id| format!("\"id\":{id} ")),
            1 => (any::<String>(), value())
                .prop_map(|(key, value)| format!("{}:{value}", serde_json::json!(key))),
        ];
        prop::collection::vec(field, 0..5).prop_map(|fields| format!("{{{}}}", fields.join(",")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8_000))]

        #[test]
        fn pieces_of_envelopes_are_read_as_serde_json_reads_them(text in pieces(12)) {
            agree(&text);
            agree(&format!("{{{text}}}"));
            agree(&format!("{{\"args\":{text}}}"));
            agree(&format!("{{\"id\":1,\"args\":[{text}]}}"));
        }

        #[test]
        fn envelopes_are_read_as_serde_json_reads_them(
            text in envelope(),
            at in any::<prop::sample::Index>(),
            end in any::<prop::sample::Index>(),
            piece in prop::sample::select(PIECES),
        ) {
            agree(&text);
            let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            let (at, end) = (*at.get(&boundaries), *end.get(&boundaries));
            agree(&format!("{}{piece}{}", &text[..at], &text[at..]));
            agree(&format!("{}{}", &text[..at], &text[at.max(end)..]));
            agree(&text[..end]);
        }
    }

    #[test]
    fn what_clients_send_is_plain() {
        let deep = |levels| format!("{{\"args\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        for text in [
            r#"{"event":"echo","args":["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]}"#,
            r#" { "id" : 7 , "args" : [ -1.5e+9, "\u00e9\n", {"a": {}, "b": [null, true]} ] , "event" : "a.b" } "#,
            r#"{"text":"hi","more":[false]}"#,
            "{}",
            &deep(65),
        ] {
            assert!(agree(text), "{text}");
        }
        for text in ["", "[]", r#"{"id":-0}"#, r#"{"e\u0076ent":"a"}"#] {
            assert!(!agree(text), "{text}");
        }
        assert!(scan::plain(&deep(66)).is_none());
    }

    #[test]
    fn deep_nesting_in_the_args_is_no_stack_overflow() {
        let text = format!(
            r#"{{"event":"a","args":{}{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let envelope = decode(&text).unwrap();
        assert!(envelope.args.get::<serde_json::Value>(0).is_err());
    }

    fn encode(message: &Outgoing<'_>) -> String {
        let mut out = Vec::new();
        assert_eq!(Json.encode(message, &mut out).unwrap(), WireKind::Text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn events_and_answers_are_written() {
        use crate::message::IntoArgs;
        let args = ("a\"b", 2);
        assert_eq!(
            encode(&Outgoing::new("x\"y", args.as_args())),
            r#"{"event":"x\"y","args":["a\"b",2]}"#
        );
        assert_eq!(
            encode(&Outgoing::answer(3, ().as_args())),
            r#"{"id":3,"args":[]}"#
        );
        assert_eq!(
            encode(&Outgoing::failure(4, "no")),
            r#"{"id":4,"error":"no"}"#
        );
    }

    #[test]
    fn args_of_a_client_are_written_as_they_came() {
        use crate::message::IntoArgs;
        let envelope = decode(r#"{"event":"e","args":[ 1.0, "\u0041" ]}"#).unwrap();
        assert_eq!(
            encode(&Outgoing::new("e", envelope.args.as_args())),
            r#"{"event":"e","args":[ 1.0, "\u0041" ]}"#
        );
        let object = decode(r#"{"text":1}"#).unwrap();
        assert_eq!(
            encode(&Outgoing::new("message", object.args.as_args())),
            r#"{"event":"message","args":[{"text":1}]}"#
        );
    }
}
