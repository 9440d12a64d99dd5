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
        let mut json = serde_json::Deserializer::from_str(text);
        let fields = json
            .deserialize_any(Fields::default())
            .and_then(|fields| json.end().map(|()| fields))
            .map_err(|error| failure(text, &error))?;
        fields.into_envelope(text)
    }

    fn encode(&self, message: &Outgoing<'_>, out: &mut Vec<u8>) -> Result<WireKind, EncodeError> {
        match (message.event(), message.id()) {
            (Some(event), _) => {
                out.extend_from_slice(br#"{"event":"#);
                put(out, event)?;
            }
            (None, id) => {
                out.extend_from_slice(br#"{"id":"#);
                put(out, &id)?;
            }
        }
        if let Some(error) = message.error() {
            out.extend_from_slice(br#","error":"#);
            put(out, error)?;
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
#[derive(Default)]
struct Fields<'a> {
    event: Option<Cow<'a, str>>,
    args: Option<&'a RawValue>,
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
        let args = match self.args.map(RawValue::get) {
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
                Key::Args => once(&mut self.args, "args", map.next_value()?)?,
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
        Ok(match key {
            "event" => Key::Event,
            "args" => Key::Args,
            "id" => Key::Id,
            _ => Key::Other,
        })
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
