use std::{any::type_name, fmt, marker::PhantomData, sync::Arc};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{
    Deserialize, Serialize, Serializer,
    de::{DeserializeSeed, IgnoredAny, IntoDeserializer, SeqAccess, Visitor},
    ser::SerializeSeq,
};
use serde_json::value::RawValue;

use super::whole::Whole;

/// The arguments of a message.
///
/// They stay as the client wrote them until somebody asks; cloning shares them.
///
/// ```
/// use primacron::Args;
///
/// let args = Args::from_json(r#"["e4", {"promote": "queen"}]"#).unwrap();
/// assert_eq!(args.len(), 2);
/// assert_eq!(args.get::<&str>(0).unwrap(), "e4");
/// ```
#[derive(Clone)]
pub struct Args(pub(super) Repr);

#[derive(Clone)]
pub(super) enum Repr {
    /// No arguments.
    Empty,
    /// The text of a JSON array, known to be well-formed.
    Json(ByteString),
    /// The text of one JSON value that is the only argument.
    JsonOne(ByteString),
    /// Values that a validator or a codec made.
    Values(Arc<[serde_json::Value]>),
    /// The bytes of an array in MessagePack.
    #[cfg(feature = "msgpack")]
    MsgPack(super::msgpack::Array),
    /// One text that is nothing else.
    Text(ByteString),
    /// One run of bytes that is nothing else.
    Binary(Bytes),
}

/// Why an argument is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// There is no argument at this index.
    #[error("argument {0} is missing")]
    Missing(usize),
    /// The argument, or all of them as a tuple, is not of the wanted type.
    #[non_exhaustive]
    #[error("not a valid {expected}: {reason}")]
    Mismatch {
        /// The wanted Rust type.
        expected: &'static str,
        /// What serde said.
        reason: String,
    },
}

impl Args {
    /// No arguments.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Repr::Empty)
    }

    /// Arguments from the text of a JSON array.
    ///
    /// # Errors
    ///
    /// When the text is not a JSON array.
    pub fn from_json(text: &str) -> Result<Self, ArgsError> {
        serde_json::from_str::<Vec<IgnoredAny>>(text).map_err(mismatch::<Self>)?;
        Ok(Self(Repr::Json(text.trim().into())))
    }

    /// Arguments from values: what a transforming validator or a codec of one's own returns.
    #[must_use]
    pub fn from_values(values: Vec<serde_json::Value>) -> Self {
        Self(Repr::Values(values.into()))
    }

    /// One argument that is a text without any envelope.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self(Repr::Text(text.into().into()))
    }

    /// One argument that is bytes without any envelope.
    #[must_use]
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self(Repr::Binary(bytes.into()))
    }

    /// How many arguments there are. Walks over the text.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Empty => 0,
            Repr::Json(text) => {
                serde_json::from_str::<Vec<IgnoredAny>>(text).map_or(0, |all| all.len())
            }
            Repr::Values(values) => values.len(),
            #[cfg(feature = "msgpack")]
            Repr::MsgPack(array) => array.len(),
            Repr::JsonOne(_) | Repr::Text(_) | Repr::Binary(_) => 1,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Repr::Empty => true,
            Repr::Json(text) => text[1..text.len() - 1].trim_ascii().is_empty(),
            Repr::Values(values) => values.is_empty(),
            #[cfg(feature = "msgpack")]
            Repr::MsgPack(array) => array.len() == 0,
            Repr::JsonOne(_) | Repr::Text(_) | Repr::Binary(_) => false,
        }
    }

    /// The argument at `index` as a `T`, which may borrow from these arguments.
    ///
    /// # Errors
    ///
    /// [`ArgsError::Missing`] when there are fewer, [`ArgsError::Mismatch`] when it is not a `T`.
    pub fn get<'a, T: Deserialize<'a>>(&'a self, index: usize) -> Result<T, ArgsError> {
        match &self.0 {
            Repr::Empty => Err(ArgsError::Missing(index)),
            Repr::Json(text) => nth(text, index),
            Repr::Values(values) => match values.get(index) {
                Some(value) => T::deserialize(value).map_err(mismatch::<T>),
                None => Err(ArgsError::Missing(index)),
            },
            #[cfg(feature = "msgpack")]
            Repr::MsgPack(array) => array
                .seeded(Nth::new(index))
                .map_err(mismatch::<T>)?
                .ok_or(ArgsError::Missing(index)),
            Repr::JsonOne(_) | Repr::Text(_) | Repr::Binary(_) if index > 0 => {
                Err(ArgsError::Missing(index))
            }
            Repr::JsonOne(_) | Repr::Text(_) | Repr::Binary(_) => self.only(),
        }
    }

    /// All arguments as a `T`: of one argument `T` is made from it, of several `T` is a tuple (or
    /// anything else that serde reads from a sequence), of none `T` is `()` or an `Option`.
    ///
    /// # Errors
    ///
    /// [`ArgsError::Mismatch`] when they are not a `T`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ArgsError> {
        match &self.0 {
            Repr::Empty => serde_json::from_str("null").map_err(mismatch::<T>),
            Repr::Json(text) => match sole(text) {
                Sole::None => serde_json::from_str("null").map_err(mismatch::<T>),
                Sole::One(only) => serde_json::from_str(only.get()).map_err(mismatch::<T>),
                Sole::Several => serde_json::from_str(text).map_err(mismatch::<T>),
            },
            Repr::Values(values) => match &values[..] {
                [] => serde_json::from_str("null").map_err(mismatch::<T>),
                [only] => T::deserialize(only).map_err(mismatch::<T>),
                several => {
                    let array = serde_json::Value::Array(several.to_vec());
                    T::deserialize(array).map_err(mismatch::<T>)
                }
            },
            #[cfg(feature = "msgpack")]
            Repr::MsgPack(array) => match array.len() {
                0 => serde_json::from_str("null").map_err(mismatch::<T>),
                1 => array.first().map_err(mismatch::<T>),
                _ => array.read().map_err(mismatch::<T>),
            },
            Repr::JsonOne(_) | Repr::Text(_) | Repr::Binary(_) => self.only(),
        }
    }

    /// All arguments as a sequence, however many there are: `T` is a tuple, an array or a `Vec`, and
    /// may borrow from these arguments.
    ///
    /// # Errors
    ///
    /// [`ArgsError::Mismatch`] when they are not a `T`, or more or fewer than it takes.
    pub fn all<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ArgsError> {
        match &self.0 {
            Repr::Empty => serde_json::from_str("[]").map_err(mismatch::<T>),
            Repr::Json(text) => serde_json::from_str(text).map_err(mismatch::<T>),
            Repr::Values(values) => sequence(values.iter()),
            #[cfg(feature = "msgpack")]
            Repr::MsgPack(array) => array.read().map_err(mismatch::<T>),
            Repr::JsonOne(text) => {
                let mut array = String::with_capacity(text.len() + 2);
                array.extend(["[", text, "]"]);
                // What is owned here can only be read into something that owns it.
                let array: serde_json::Value =
                    serde_json::from_str(&array).map_err(mismatch::<T>)?;
                T::deserialize(array).map_err(mismatch::<T>)
            }
            Repr::Text(text) => sequence(std::iter::once(Whole::Text(text))),
            Repr::Binary(bytes) => sequence(std::iter::once(Whole::Binary(bytes))),
        }
    }

    /// The text of the JSON array, when that is how these arguments are kept.
    #[must_use]
    pub fn as_json(&self) -> Option<&str> {
        match &self.0 {
            Repr::Json(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of the only argument, when it came without an envelope: a text or a binary
    /// message of the [`Raw`](crate::Raw) codec.
    #[must_use]
    pub fn as_raw(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Text(text) => Some(text.as_bytes()),
            Repr::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The only argument of the representations that have just one.
    fn only<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ArgsError> {
        match &self.0 {
            Repr::JsonOne(text) => serde_json::from_str(text).map_err(mismatch::<T>),
            Repr::Text(text) => T::deserialize(Whole::Text(text)).map_err(mismatch::<T>),
            Repr::Binary(bytes) => T::deserialize(Whole::Binary(bytes)).map_err(mismatch::<T>),
            #[cfg(feature = "msgpack")]
            Repr::MsgPack(_) => Err(ArgsError::Missing(0)),
            Repr::Empty | Repr::Json(_) | Repr::Values(_) => Err(ArgsError::Missing(0)),
        }
    }
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Args").field("len", &self.len()).finish()
    }
}

/// As a sequence.
impl Serialize for Args {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Repr::Empty => serializer.serialize_seq(Some(0))?.end(),
            Repr::Json(text) => parsed(text)?.serialize(serializer),
            Repr::JsonOne(text) => serializer.collect_seq([parsed(text)?]),
            Repr::Values(values) => values.serialize(serializer),
            #[cfg(feature = "msgpack")]
            Repr::MsgPack(array) => array.serialize(serializer),
            Repr::Text(text) => serializer.collect_seq([&**text]),
            Repr::Binary(bytes) => {
                let mut sequence = serializer.serialize_seq(Some(1))?;
                sequence.serialize_element(&AsBytes(bytes))?;
                sequence.end()
            }
        }
    }
}

/// In another format than JSON, JSON's own text would be a text.
fn parsed<E: serde::ser::Error>(text: &str) -> Result<serde_json::Value, E> {
    serde_json::from_str(text).map_err(E::custom)
}

/// Bytes that serde takes for bytes and not for a sequence of numbers.
struct AsBytes<'a>(&'a [u8]);

impl Serialize for AsBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

fn sequence<'a, T: Deserialize<'a>>(
    values: impl Iterator<Item: IntoDeserializer<'a, serde_json::Error>>,
) -> Result<T, ArgsError> {
    let sequence = serde::de::value::SeqDeserializer::new(values);
    T::deserialize(sequence).map_err(mismatch::<T>)
}

fn mismatch<T: ?Sized>(error: impl fmt::Display) -> ArgsError {
    ArgsError::Mismatch {
        expected: type_name::<T>(),
        reason: error.to_string(),
    }
}

/// How many arguments an array has, as far as [`Args::parse`] must know.
enum Sole<'a> {
    None,
    One(&'a RawValue),
    Several,
}

fn sole(text: &str) -> Sole<'_> {
    struct Look;
    impl<'de> Visitor<'de> for Look {
        type Value = Sole<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Sole<'de>, A::Error> {
            let Some(first) = array.next_element()? else {
                return Ok(Sole::None);
            };
            if array.next_element::<IgnoredAny>()?.is_none() {
                return Ok(Sole::One(first));
            }
            while array.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Sole::Several)
        }
    }
    serde::Deserializer::deserialize_seq(&mut serde_json::Deserializer::from_str(text), Look)
        .unwrap_or(Sole::Several)
}

/// The element at `index` of the array in `text`, without building the others.
fn nth<'a, T: Deserialize<'a>>(text: &'a str, index: usize) -> Result<T, ArgsError> {
    Nth::new(index)
        .deserialize(&mut serde_json::Deserializer::from_str(text))
        .map_err(mismatch::<T>)?
        .ok_or(ArgsError::Missing(index))
}

struct Nth<T> {
    index: usize,
    wanted: PhantomData<T>,
}

impl<T> Nth<T> {
    const fn new(index: usize) -> Self {
        Self {
            index,
            wanted: PhantomData,
        }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Nth<T> {
    type Value = Option<T>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Option<T>, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Nth<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Option<T>, A::Error> {
        for _ in 0..self.index {
            if array.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
        let found = array.next_element()?;
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Name(String);

    /// The same two arguments, however they are kept.
    fn pairs() -> [Args; 2] {
        [
            Args::from_json(r#" ["a", 2] "#).unwrap(),
            Args::from_values(vec!["a".into(), 2.into()]),
        ]
    }

    #[test]
    fn the_way_they_are_kept_makes_no_difference() {
        for args in pairs() {
            assert_eq!((args.len(), args.is_empty()), (2, false));
            assert_eq!(args.get::<u8>(1), Ok(2));
            assert_eq!(args.get::<u8>(2), Err(ArgsError::Missing(2)));
            assert_eq!(args.parse::<(String, u8)>().unwrap(), ("a".into(), 2));
            assert_eq!(
                args.parse::<Option<(String, u8)>>().unwrap(),
                Some(("a".into(), 2))
            );
            assert_eq!(args.all::<(Name, u8)>().unwrap(), (Name("a".into()), 2));
            assert!(args.all::<(String,)>().is_err(), "more than that takes");
            assert!(
                args.all::<(String, u8, u8)>().is_err(),
                "fewer than that takes"
            );
            assert_eq!(serde_json::to_value(&args).unwrap(), json!(["a", 2]));
        }
    }

    #[test]
    fn one_argument_is_read_as_itself() {
        for args in [Args::from_json(r#"["a"]"#).unwrap(), Args::text("a")] {
            assert_eq!(args.parse::<Name>().unwrap(), Name("a".into()));
            assert_eq!(args.parse::<Option<&str>>().unwrap(), Some("a"));
            assert_eq!(args.all::<(&str,)>().unwrap(), ("a",));
            assert_eq!(args.get::<&str>(0), Ok("a"));
        }
        let object = Args(Repr::JsonOne(r#"{"a":1}"#.into()));
        assert_eq!(
            object.all::<(serde_json::Value,)>().unwrap(),
            (json!({"a": 1}),)
        );
    }

    #[test]
    fn no_arguments_are_nothing() {
        for args in [
            Args::empty(),
            Args::from_json("[ ]").unwrap(),
            Args::from_values(vec![]),
        ] {
            assert_eq!((args.len(), args.is_empty()), (0, true));
            assert_eq!(args.parse::<()>(), Ok(()));
            assert_eq!(args.parse::<Option<u8>>(), Ok(None));
            assert_eq!(args.all::<Vec<u8>>(), Ok(vec![]));
        }
    }

    #[test]
    fn bytes_are_bytes() {
        let args = Args::binary(vec![1, 255]);
        assert_eq!(args.parse::<&[u8]>().unwrap(), [1, 255]);
        assert_eq!(args.all::<(&[u8],)>().unwrap(), (&[1, 255][..],));
        assert!(args.parse::<String>().is_err() && args.parse::<u8>().is_err());
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for text in ["", "{}", "1", "[1", "[1] 2"] {
            assert!(Args::from_json(text).is_err(), "{text}");
        }
    }
}
