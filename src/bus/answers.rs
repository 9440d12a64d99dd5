//! What is said of calls, as entries hold it.

use super::{
    Answer, Fed, Outcome, Refused, Sent,
    bytes::{Cursor, Malformed, put_number},
    entry::Answered,
};

pub(super) fn put(entry: &mut Vec<u8>, answer: Answered) {
    match answer {
        Ok(Answer::Forward(outcome)) => entry.extend_from_slice(&[0, code(outcome)]),
        Ok(Answer::Sent(sent)) => {
            entry.push(1);
            put_number(entry, sent.queued as u64);
            put_number(entry, sent.refused as u64);
        }
        Ok(Answer::Closed(count)) => {
            entry.push(2);
            put_number(entry, count as u64);
        }
        Err(refused) => entry.extend_from_slice(&[3, code(Outcome::Refused(refused))]),
        Ok(Answer::Fed(fed)) => entry.extend_from_slice(&[4, fed_code(fed)]),
    }
}

pub(super) fn read(part: &mut Cursor<'_>) -> Result<Answered, Malformed> {
    Ok(match part.byte()? {
        0 => Ok(Answer::Forward(outcome(part.byte()?)?)),
        1 => Ok(Answer::Sent(Sent {
            queued: part.size()?,
            refused: part.size()?,
            ..Sent::default()
        })),
        2 => Ok(Answer::Closed(part.size()?)),
        3 => match outcome(part.byte()?)? {
            Outcome::Refused(refused) => Err(refused),
            _ => return Err(Malformed("a refusal is none")),
        },
        4 => Ok(Answer::Fed(fed(part.byte()?)?)),
        _ => return Err(Malformed("an answer is of an unknown kind")),
    })
}

/// All outcomes, each at the place that is its code.
const OUTCOMES: [Outcome; 11] = [
    Outcome::NoSession,
    Outcome::Uncertain,
    Outcome::NodeGone,
    Outcome::Unknown,
    Outcome::Enqueued,
    Outcome::Written,
    Outcome::Refused(Refused::QueueFull),
    Outcome::Refused(Refused::Closing),
    Outcome::Refused(Refused::InboxFull),
    Outcome::Refused(Refused::BusOffline),
    Outcome::Refused(Refused::Unsendable),
];

const fn code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::NoSession => 0,
        Outcome::Uncertain => 1,
        Outcome::NodeGone => 2,
        Outcome::Unknown => 3,
        Outcome::Enqueued => 4,
        Outcome::Written => 5,
        Outcome::Refused(Refused::QueueFull) => 6,
        Outcome::Refused(Refused::Closing) => 7,
        Outcome::Refused(Refused::InboxFull) => 8,
        Outcome::Refused(Refused::BusOffline) => 9,
        Outcome::Refused(Refused::Unsendable) => 10,
    }
}

fn outcome(code: u8) -> Result<Outcome, Malformed> {
    let outcome = OUTCOMES.get(usize::from(code));
    outcome.copied().ok_or(Malformed("an outcome is unknown"))
}

/// All that is said of a feed, each at the place that is its code.
const FEDS: [Fed; 4] = [Fed::Taken, Fed::Again, Fed::Later, Fed::Unwanted];

const fn fed_code(fed: Fed) -> u8 {
    match fed {
        Fed::Taken => 0,
        Fed::Again => 1,
        Fed::Later => 2,
        Fed::Unwanted => 3,
    }
}

fn fed(code: u8) -> Result<Fed, Malformed> {
    let fed = FEDS.get(usize::from(code));
    fed.copied()
        .ok_or(Malformed("what is said of a feed is unknown"))
}
