//! What Redis answers, none of it trusted.

use std::fmt;

use bytes::Bytes;
use deadpool_redis::redis::Value;

use crate::error::StoreError;

/// Where something stands in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    time: u64,
    seq: u64,
}

impl Id {
    fn parse(text: &[u8]) -> Option<Self> {
        let (time, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self {
            time: time.parse().ok()?,
            seq: seq.parse().ok()?,
        })
    }

    /// The one after it.
    pub(super) const fn next(self) -> Self {
        match self.seq.checked_add(1) {
            Some(seq) => Self { seq, ..self },
            None => Self {
                time: self.time.saturating_add(1),
                seq: 0,
            },
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.time, self.seq)
    }
}

/// What our inbox says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// New with every inbox.
    pub(super) token: Vec<u8>,
    /// Bytes that were read from it.
    pub(super) read: u64,
    /// The last id that it gave.
    pub(super) last: Id,
}

/// What stands in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) id: Id,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// With this an inbox with that token begins.
    Hello(Vec<u8>),
    Entry(Bytes),
    /// Nobody of ours wrote that.
    Nonsense,
}

pub(super) fn kept(value: Value) -> Result<Kept, StoreError> {
    let read = || {
        let mut fields = array(value)?.into_iter();
        Some(Kept {
            token: bytes(fields.next()?)?,
            read: number(fields.next()?)?,
            last: Id::parse(&bytes(fields.next()?)?)?,
        })
    };
    read().ok_or_else(nonsense)
}

/// The items of the one stream that was read.
pub(super) fn read(value: Value) -> Result<Vec<Item>, StoreError> {
    let items = match value {
        Value::Nil => return Ok(Vec::new()),
        Value::Map(mut streams) => streams.pop().map(|(_, items)| items),
        streams => array(streams)
            .and_then(|mut streams| streams.pop())
            .and_then(array)
            .and_then(|mut stream| stream.pop()),
    };
    range(items.ok_or_else(nonsense)?)
}

/// The items of a range.
pub(super) fn range(value: Value) -> Result<Vec<Item>, StoreError> {
    let items = array(value).ok_or_else(nonsense)?;
    let items: Option<Vec<Item>> = items.into_iter().map(item).collect();
    items.ok_or_else(nonsense)
}

pub(super) fn number(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        other => std::str::from_utf8(&bytes(other)?).ok()?.parse().ok(),
    }
}

pub(super) fn nonsense() -> StoreError {
    StoreError::Unreachable("an answer makes no sense".into())
}

fn item(value: Value) -> Option<Item> {
    let mut parts = array(value)?.into_iter();
    let id = Id::parse(&bytes(parts.next()?)?)?;
    let mut fields = array(parts.next()?)?.into_iter();
    let kind = match (fields.next().and_then(bytes), fields.next(), fields.next()) {
        (Some(name), Some(Value::BulkString(value)), None) => match &*name {
            b"e" => Kind::Entry(value.into()),
            b"h" => Kind::Hello(value),
            _ => Kind::Nonsense,
        },
        _ => Kind::Nonsense,
    };
    Some(Item { id, kind })
}

fn array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn entry(id: &str, fields: &[&str]) -> Value {
        let fields = fields.iter().map(|field| bulk(field)).collect();
        Value::Array(vec![bulk(id), Value::Array(fields)])
    }

    #[test]
    fn a_stream_is_read_in_both_protocols() {
        let items = Value::Array(vec![entry("1-2", &["e", "x"]), entry("3-0", &["h", "t"])]);
        let expected = [
            Item {
                id: Id { time: 1, seq: 2 },
                kind: Kind::Entry("x".into()),
            },
            Item {
                id: Id { time: 3, seq: 0 },
                kind: Kind::Hello(b"t".to_vec()),
            },
        ];
        let old = Value::Array(vec![Value::Array(vec![bulk("key"), items.clone()])]);
        assert_eq!(read(old).unwrap(), expected);
        let new = Value::Map(vec![(bulk("key"), items)]);
        assert_eq!(read(new).unwrap(), expected);
        assert_eq!(read(Value::Nil).unwrap(), []);
    }

    #[test]
    fn what_others_put_into_a_stream_is_passed_over_one_by_one() {
        let foreign = [&["x", "y"][..], &["e", "x", "e", "y"], &["e"], &[]];
        for fields in foreign {
            let items = range(Value::Array(vec![entry("1-0", fields)])).unwrap();
            assert_eq!(items[0].kind, Kind::Nonsense);
        }
    }

    #[test]
    fn answers_that_make_no_sense_are_errors() {
        for value in [Value::Int(1), Value::Array(vec![]), bulk("x")] {
            assert!(read(value.clone()).is_err());
            assert!(kept(value).is_err());
        }
        for id in ["", "1", "1-", "-1", "a-b", "1-2-3"] {
            assert!(range(Value::Array(vec![entry(id, &["e", "x"])])).is_err());
        }
    }

    #[test]
    fn ids_follow_each_other() {
        let last = Id {
            time: 5,
            seq: u64::MAX,
        };
        assert_eq!(last.next().to_string(), "6-0");
        assert_eq!(Id::default().next().to_string(), "0-1");
        assert!(Id::parse(b"10-0") > Id::parse(b"9-9"));
    }
}
