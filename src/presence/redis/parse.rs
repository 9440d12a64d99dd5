//! What Redis answers, taken apart. Nothing is trusted: what has not the right shape is an error.

use deadpool_redis::redis::Value;

use crate::{
    error::StoreError,
    message::User,
    presence::{
        job::{Lookup, Table},
        keys::parse_member,
    },
};

pub(super) type Parsed<T> = Result<T, StoreError>;

/// An answer that a script of ours does not give.
pub(super) fn nonsense() -> StoreError {
    StoreError::Refused("an answer that makes no sense".into())
}

pub(super) fn table(value: Value) -> Parsed<Table> {
    let [known, time, leases, evictions] = array(value)?;
    let [seconds, micros] = array(time)?;
    let time = number(seconds)?
        .checked_mul(1_000_000)
        .ok_or_else(nonsense)?;
    let known = number(known)?;
    Ok(Table {
        known: known == 1,
        buried: known == 2,
        time: time.saturating_add(number(micros)?),
        leases: pairs(leases)?,
        evictions: texts(evictions)?,
    })
}

pub(super) fn found(session: &str, value: Value) -> Parsed<Lookup> {
    let Value::Array(mut parts) = value else {
        return Err(nonsense());
    };
    let rest = parts.split_off(parts.len().min(1));
    let entry = parts.pop().map(text).transpose()?.and_then(some);
    let mut lookup = Lookup {
        entries: entry
            .map(|entry| (session.to_owned(), entry))
            .into_iter()
            .collect(),
        ..Lookup::default()
    };
    if !rest.is_empty() {
        let [marker, written] = array(Value::Array(rest))?;
        lookup.marker = read_marker(marker)?;
        lookup.written = pairs(written)?;
    }
    Ok(lookup)
}

pub(super) fn sessions(value: Value) -> Parsed<Lookup> {
    let [entries, marker, written] = array(value)?;
    Ok(Lookup {
        entries: pairs(entries)?,
        marker: read_marker(marker)?,
        written: pairs(written)?,
    })
}

pub(super) fn scan(value: Value) -> Parsed<(u64, Vec<String>)> {
    let [cursor, members] = array(value)?;
    Ok((number(cursor)?, texts(members)?))
}

pub(super) fn removed(value: Value) -> Parsed<Vec<(User, u64)>> {
    let Value::Array(removed) = value else {
        return Err(nonsense());
    };
    let each = removed.into_iter().map(|one| {
        let [member, generation, sid] = array(one)?;
        let member = text(member)?;
        let (account, session) = parse_member(&member).ok_or_else(nonsense)?;
        Ok((
            User::new(account, session, &text(sid)?),
            number(generation)?,
        ))
    });
    each.collect::<Parsed<Vec<_>>>()
}

/// The policy of a server that gives up keys when its memory is full.
pub(super) fn lossy_setting(info: &Value) -> Option<String> {
    match info {
        // One text a server of a Cluster.
        Value::Map(servers) => servers.iter().find_map(|(_, info)| lossy_setting(info)),
        Value::BulkString(text) => {
            let text = String::from_utf8_lossy(text);
            let mut lines = text.lines();
            let policy = lines.find_map(|line| line.strip_prefix("maxmemory_policy:"))?;
            (policy != "noeviction").then(|| policy.to_owned())
        }
        Value::VerbatimString { text, .. } => {
            lossy_setting(&Value::BulkString(text.as_bytes().to_vec()))
        }
        _ => None,
    }
}

pub(super) fn number(value: Value) -> Parsed<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| nonsense()),
        other => text(other)?.parse().map_err(|_| nonsense()),
    }
}

/// Text that is not UTF-8 is none of ours, and does not pass for something that is.
pub(super) fn text(value: Value) -> Parsed<String> {
    match value {
        Value::BulkString(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Value::SimpleString(text) => Ok(text),
        Value::Okay => Ok("OK".to_owned()),
        _ => Err(nonsense()),
    }
}

pub(super) fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Behind it stands what kinds of entries the bucket has, which is for the scripts.
pub(super) fn read_marker(value: Value) -> Parsed<Option<String>> {
    let mut text = text(value)?;
    let end = text.len().saturating_sub(2);
    if text.get(end..).is_some_and(|kinds| kinds.starts_with('~')) {
        text.truncate(end);
    }
    Ok(some(text))
}

fn array<const N: usize>(value: Value) -> Parsed<[Value; N]> {
    let Value::Array(parts) = value else {
        return Err(nonsense());
    };
    parts.try_into().map_err(|_| nonsense())
}

pub(super) fn texts(value: Value) -> Parsed<Vec<String>> {
    match value {
        Value::Array(parts) | Value::Set(parts) => parts.into_iter().map(text).collect(),
        _ => Err(nonsense()),
    }
}

fn pairs(value: Value) -> Parsed<Vec<(String, String)>> {
    if let Value::Map(pairs) = value {
        return pairs
            .into_iter()
            .map(|(key, value)| Ok((text(key)?, text(value)?)))
            .collect();
    }
    let texts = texts(value)?;
    let mut pairs = Vec::with_capacity(texts.len() / 2);
    let mut texts = texts.into_iter();
    while let (Some(key), Some(value)) = (texts.next(), texts.next()) {
        pairs.push((key, value));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn an_answer_of_another_shape_is_an_error() {
        let shapes = || {
            [
                Value::Nil,
                Value::Int(-1),
                bulk("x"),
                Value::Array(vec![]),
                Value::Array(vec![Value::Nil, Value::Nil]),
                Value::Array(vec![Value::Nil, Value::Nil, Value::Nil]),
                Value::Array(vec![Value::Int(1), Value::Nil, Value::Nil, Value::Nil]),
            ]
        };
        for shape in shapes() {
            assert!(table(shape.clone()).is_err(), "{shape:?}");
            assert!(sessions(shape.clone()).is_err(), "{shape:?}");
            assert!(scan(shape.clone()).is_err(), "{shape:?}");
        }
    }

    #[test]
    fn a_policy_that_loses_keys_is_found_on_any_server() {
        let info =
            |policy: &str| bulk(&format!("# Memory\r\nmaxmemory_policy:{policy}\r\nx:1\r\n"));
        let names = |value: &Value| lossy_setting(value);
        assert_eq!(names(&info("noeviction")), None);
        assert_eq!(names(&info("allkeys-lru")).as_deref(), Some("allkeys-lru"));
        let servers = vec![
            (bulk("a"), info("noeviction")),
            (bulk("b"), info("volatile-ttl")),
        ];
        assert_eq!(names(&Value::Map(servers)).as_deref(), Some("volatile-ttl"));
        assert_eq!(names(&Value::Nil), None);
    }

    #[test]
    fn a_find_reads_entry_marker_and_commitments() {
        let written = Value::Array(vec![bulk("n"), bulk("m|1")]);
        let lookup = found("s", Value::Array(vec![bulk(""), bulk("m"), written])).unwrap();
        assert!(lookup.entries.is_empty());
        assert_eq!(lookup.marker.as_deref(), Some("m"));
        assert_eq!(lookup.written, [("n".to_owned(), "m|1".to_owned())]);

        let lookup = found("s", Value::Array(vec![bulk("e")])).unwrap();
        assert_eq!(lookup.entries, [("s".to_owned(), "e".to_owned())]);
        assert_eq!(lookup.marker, None);
    }
}
