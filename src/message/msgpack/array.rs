use std::cell::RefCell;

use bytes::Bytes;
use rmp_serde::{config::DefaultConfig, decode};
use serde::{
    Deserialize, Serialize, Serializer,
    de::DeserializeSeed,
    ser::{Error, SerializeMap, SerializeSeq},
};

use super::walk::{Head, MAX_DEPTH, Walk};

/// The bytes of an array that is known to be well-formed.
#[derive(Clone)]
pub(crate) struct Array(Bytes);

type Reader<'a> = rmp_serde::Deserializer<
    decode::ReadRefReader<'a, [u8]>,
    rmp_serde::config::HumanReadableConfig<DefaultConfig>,
>;

impl Array {
    /// Only for an array that was walked over.
    pub(super) const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn len(&self) -> usize {
        match Walk::new(&self.0).head() {
            Ok(Head::Array(values)) => values as usize,
            _ => 0,
        }
    }

    /// The whole array as a `T`.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, decode::Error> {
        T::deserialize(&mut reader(&self.0))
    }

    /// The whole array by a seed.
    pub(crate) fn seeded<'a, S: DeserializeSeed<'a>>(
        &'a self,
        seed: S,
    ) -> Result<S::Value, decode::Error> {
        seed.deserialize(&mut reader(&self.0))
    }

    /// The first value of the array as a `T`.
    pub(crate) fn first<'a, T: Deserialize<'a>>(&'a self) -> Result<T, decode::Error> {
        let mut walk = Walk::new(&self.0);
        walk.head()
            .map_err(|fault| decode::Error::Syntax(fault.to_string()))?;
        T::deserialize(&mut reader(walk.rest()))
    }
}

fn reader(bytes: &[u8]) -> Reader<'_> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes).with_human_readable();
    // It counts the innermost value too.
    reader.set_max_depth(MAX_DEPTH + 1);
    reader
}

impl Serialize for Array {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Next(&RefCell::new(Walk::new(&self.0))).serialize(serializer)
    }
}

/// The next value of a walk, read while it is written. It recurses as deep as was walked.
struct Next<'r, 'a>(&'r RefCell<Walk<'a>>);

impl Serialize for Next<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let head = self.0.borrow_mut().head().map_err(S::Error::custom)?;
        match head {
            Head::Nil => serializer.serialize_unit(),
            Head::Bool(it) => serializer.serialize_bool(it),
            Head::Unsigned(it) => serializer.serialize_u64(it),
            Head::Negative(it) => serializer.serialize_i64(it),
            Head::F32(it) => serializer.serialize_f32(it),
            Head::F64(it) => serializer.serialize_f64(it),
            Head::Text(it) => serializer.serialize_str(it),
            Head::Binary(it) => serializer.serialize_bytes(it),
            Head::Extension => Err(S::Error::custom("an extension of MessagePack")),
            Head::Array(values) => {
                let mut array = serializer.serialize_seq(Some(values as usize))?;
                (0..values).try_for_each(|_| array.serialize_element(self))?;
                array.end()
            }
            Head::Map(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs as usize))?;
                (0..pairs).try_for_each(|_| map.serialize_entry(self, self))?;
                map.end()
            }
        }
    }
}
