//! What the script that writes answers.

use std::{sync::Arc, vec::IntoIter};

use deadpool_redis::redis::Value;

use super::{
    parse::{Parsed, nonsense, number, read_marker, some, text, texts},
    write::{Placed, same_bucket},
};
use crate::{
    error::StoreError,
    presence::job::{Job, Kept, Reply},
    redis::blame_for,
};

/// Bits of how an entry is kept.
const LISTED: u64 = 1;
const EXPIRING: u64 = 2;

/// The generation is the clock's.
const STAMPED: u64 = 4;

/// What became of each job of a call.
pub(super) fn answers(
    step: &[Placed<'_>],
    value: Result<Value, StoreError>,
) -> Vec<Result<Reply, StoreError>> {
    let answers = value.and_then(|value| parse(step, value));
    answers.unwrap_or_else(|error| vec![Err(error); step.len()])
}

fn parse(step: &[Placed<'_>], value: Value) -> Parsed<Vec<Parsed<Reply>>> {
    let Value::Array(values) = value else {
        return Err(nonsense());
    };
    let mut values = values.into_iter();
    let mut next = || values.next().ok_or_else(nonsense);
    let time = number(next()?)?;
    let mut replies = Vec::with_capacity(step.len());
    for jobs in step.chunk_by(same_bucket) {
        let marker = read_marker(next()?)?.map(Arc::from);
        for (_, job) in jobs {
            replies.push(reply(job, next()?, marker.as_ref(), time));
        }
    }
    Ok(replies)
}

fn reply(job: &Job, value: Value, marker: Option<&Arc<str>>, time: u64) -> Parsed<Reply> {
    if let Value::BulkString(_) = value {
        let error = text(value)?;
        let code = error.split_whitespace().next();
        return Err(blame_for(code, error.clone()));
    }
    if value == Value::Int(-1) {
        return Ok(Reply::Late { time });
    }
    let known = || marker.cloned().ok_or_else(nonsense);
    match job {
        Job::Put { generation, .. } => put(value, known()?, *generation, time),
        Job::Delete { gone, .. } => Ok(Reply::Delete {
            marker: marker.cloned(),
            generation: match value {
                Value::Array(removed) => Some(number(only(removed.into_iter())?)?),
                value => gone.generation.filter(|_| value == Value::Int(1)),
            },
        }),
        Job::Commit { .. } => Ok(Reply::Commit {
            marker: known()?,
            done: number(value)? == 1,
            time,
        }),
        Job::Uncommit { .. } => number(value).map(|_| Reply::Uncommit),
        Job::Prune { .. } => number(value).map(|_| Reply::Prune),
    }
}

fn put(value: Value, marker: Arc<str>, wanted: u64, time: u64) -> Parsed<Reply> {
    let Value::Array(parts) = value else {
        let said = number(value)?;
        let stamped = said & STAMPED != 0;
        return Ok(Reply::Put {
            marker,
            generation: if stamped { time } else { wanted },
            other: None,
            lost: false,
            followers: Vec::new(),
            kept: kept(said),
        });
    };
    let [said, generation, lost, other, followers] =
        parts.try_into().map_err(|_: Vec<Value>| nonsense())?;
    Ok(Reply::Put {
        marker,
        generation: number(generation)?,
        other: some(text(other)?),
        lost: number(lost)? == 1,
        followers: texts(followers)?,
        kept: kept(number(said)?),
    })
}

const fn kept(said: u64) -> Kept {
    Kept {
        listed: said & LISTED != 0,
        expiring: said & EXPIRING != 0,
    }
}

fn only(mut values: IntoIter<Value>) -> Parsed<Value> {
    values.next().ok_or_else(nonsense)
}
