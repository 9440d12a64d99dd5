//! What travels: an entry, with calls and answers in it.
//!
//! ```text
//! entry    version: u8 | seq: u64 | since: u64 | sender: text | item..
//! item     length: u32 | tag: u8 | ..
//! text     length: number | UTF-8
//! ```
//!
//! Fixed numbers are little-endian, others take seven bits a byte. `seq` counts the entries of a
//! sender for one receiver, and the first was `since`.

use super::{
    Answer, Call, Level, Refused, Target, answers,
    bytes::{Cursor, Malformed, put_number, put_text, utf8},
    feeds,
};
use crate::message::{Frame, WireKind};

/// What another node of ours understands, or skips.
const VERSION: u8 = 1;

/// The longest id of a node.
const LONGEST_ID: usize = 64;

/// Where the sequence number stands.
const SEQ: usize = 1;

const SINCE: usize = SEQ + 8;

const FORWARD: u8 = 0;
const SEND: u8 = 1;
const CLOSE: u8 = 2;
const ANSWER: u8 = 3;
const MOVED: u8 = 4;
const FOLLOW: u8 = 5;
const WATCH: u8 = 6;
const FEED: u8 = 7;

/// Flags of a call.
const ASKED: u8 = 1;
const BINARY: u8 = 2;
const VOLATILE: u8 = 4;
const WRITTEN: u8 = 8;
const BOUNCED: u8 = 16;
const ON: u8 = 32;
const FLAGS: u8 = ASKED | BINARY | VOLATILE | WRITTEN | BOUNCED | ON;

/// Who sent an entry, and where it stands among his entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) sender: &'a str,
    pub(super) seq: u64,
    pub(super) since: u64,
}

/// One thing in an entry.
#[derive(Debug)]
pub(super) enum Item {
    /// With the number that its answer is to have, if one is wanted.
    Call(Option<u64>, Call),
    /// What there is to be said of the call with that number.
    Answer(u64, Answered),
}

/// What a node answers, or why it does nothing.
pub(super) type Answered = Result<Answer, Refused>;

/// Begins an entry; its numbers follow.
pub(super) fn begin(sender: &str) -> Vec<u8> {
    let mut entry = Vec::with_capacity(256);
    entry.push(VERSION);
    entry.extend_from_slice(&[0; 16]);
    put_text(&mut entry, sender);
    entry
}

/// Says where an entry stands.
pub(super) fn number(entry: &mut [u8], seq: u64, since: u64) {
    entry[SEQ..SINCE].copy_from_slice(&seq.to_le_bytes());
    entry[SINCE..SINCE + 8].copy_from_slice(&since.to_le_bytes());
}

pub(super) fn put_call(entry: &mut Vec<u8>, id: Option<u64>, call: &Call) {
    item(entry, |entry| {
        entry.push(match call {
            Call::Forward { .. } => FORWARD,
            Call::Send { .. } => SEND,
            Call::Close { .. } => CLOSE,
            Call::Moved { .. } => MOVED,
            Call::Follow { .. } => FOLLOW,
            Call::Watch(_) => WATCH,
            Call::Feed(_) => FEED,
        });
        entry.push(flags(id, call));
        if let Some(id) = id {
            put_number(entry, id);
        }
        match call {
            Call::Forward {
                account,
                session,
                frame,
                ..
            } => {
                put_text(entry, account);
                put_text(entry, session);
                entry.extend_from_slice(frame.payload());
            }
            Call::Send { to, frame } => {
                put_target(entry, to);
                entry.extend_from_slice(frame.payload());
            }
            Call::Close { to, reason } => {
                put_target(entry, to);
                entry.extend_from_slice(reason.as_bytes());
            }
            Call::Moved { account, session } => {
                put_text(entry, account);
                put_text(entry, session);
            }
            Call::Follow {
                account,
                followed,
                follower,
                ..
            } => {
                put_text(entry, account);
                put_text(entry, followed);
                put_text(entry, follower);
            }
            Call::Watch(held) => feeds::put_held(entry, *held),
            Call::Feed(feed) => feeds::put(entry, feed),
        }
    });
}

pub(super) fn put_answer(entry: &mut Vec<u8>, id: u64, answer: Answered) {
    item(entry, |entry| {
        entry.push(ANSWER);
        put_number(entry, id);
        answers::put(entry, answer);
    });
}

/// Writes an item with its length before it.
fn item(entry: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = entry.len();
    entry.extend_from_slice(&[0; 4]);
    write(entry);
    let len = entry.len() - start - 4;
    // More than this is refused before it is written.
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    entry[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

fn flags(id: Option<u64>, call: &Call) -> u8 {
    let mut flags = if id.is_some() { ASKED } else { 0 };
    if let Call::Follow { on: true, .. } = call {
        flags |= ON;
    }
    let (Call::Forward { frame, .. } | Call::Send { frame, .. }) = call else {
        return flags;
    };
    if frame.kind() == WireKind::Binary {
        flags |= BINARY;
    }
    if frame.is_volatile() {
        flags |= VOLATILE;
    }
    if let Call::Forward { level, bounced, .. } = call {
        if *level == Level::Written {
            flags |= WRITTEN;
        }
        if *bounced {
            flags |= BOUNCED;
        }
    }
    flags
}

fn put_target(entry: &mut Vec<u8>, target: &Target) {
    match target {
        Target::All => entry.push(0),
        Target::Account(account) => {
            entry.push(1);
            put_text(entry, account);
        }
        Target::Session { account, session } => {
            entry.push(2);
            put_text(entry, account);
            put_text(entry, session);
        }
    }
}

/// Reads where an entry stands, and leaves its items to [`items`].
pub(super) fn head(entry: &[u8]) -> Result<(Head<'_>, Cursor<'_>), Malformed> {
    let mut cursor = Cursor(entry);
    if cursor.byte()? != VERSION {
        return Err(Malformed("it is of another version"));
    }
    let seq = fixed(&mut cursor)?;
    let since = fixed(&mut cursor)?;
    let sender = cursor.text()?;
    let named = (1..=LONGEST_ID).contains(&sender.len());
    if !named || !sender.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Malformed("its sender has no name"));
    }
    if since == 0 || since > seq || seq == u64::MAX {
        return Err(Malformed("its number makes no sense"));
    }
    Ok((Head { sender, seq, since }, cursor))
}

fn fixed(cursor: &mut Cursor<'_>) -> Result<u64, Malformed> {
    let bytes = cursor.bytes(8)?.try_into();
    bytes
        .map(u64::from_le_bytes)
        .map_err(|_| Malformed("it ends too early"))
}

/// Reads all items, or none.
pub(super) fn items(mut cursor: Cursor<'_>) -> Result<Vec<Item>, Malformed> {
    let mut items = Vec::new();
    while !cursor.is_empty() {
        let mut part = cursor.part()?;
        items.push(read_item(&mut part)?);
        if !part.is_empty() {
            return Err(Malformed("something follows an item"));
        }
    }
    Ok(items)
}

fn read_item(part: &mut Cursor<'_>) -> Result<Item, Malformed> {
    let tag = part.byte()?;
    if tag == ANSWER {
        let id = part.number()?;
        return Ok(Item::Answer(id, answers::read(part)?));
    }
    let flags = part.byte()?;
    if flags & !FLAGS != 0 {
        return Err(Malformed("a call has an unknown flag"));
    }
    let asked = flags & ASKED != 0;
    let id = asked.then(|| part.number()).transpose()?;
    Ok(Item::Call(id, read_call(part, tag, flags)?))
}

fn read_call(part: &mut Cursor<'_>, tag: u8, flags: u8) -> Result<Call, Malformed> {
    Ok(match tag {
        FORWARD => Call::Forward {
            account: part.text()?.into(),
            session: part.text()?.into(),
            frame: read_frame(part, flags)?,
            level: if flags & WRITTEN == 0 {
                Level::Enqueued
            } else {
                Level::Written
            },
            bounced: flags & BOUNCED != 0,
        },
        SEND => Call::Send {
            to: read_target(part)?,
            frame: read_frame(part, flags)?,
        },
        CLOSE => Call::Close {
            to: read_target(part)?,
            reason: utf8(part.rest())?.into(),
        },
        MOVED => Call::Moved {
            account: part.text()?.into(),
            session: part.text()?.into(),
        },
        FOLLOW => Call::Follow {
            account: part.text()?.into(),
            followed: part.text()?.into(),
            follower: part.text()?.into(),
            on: flags & ON != 0,
        },
        WATCH => Call::Watch(feeds::read_held(part)?),
        FEED => Call::Feed(feeds::read(part)?),
        _ => return Err(Malformed("an item is of an unknown kind")),
    })
}

fn read_frame(part: &mut Cursor<'_>, flags: u8) -> Result<Frame, Malformed> {
    let kind = if flags & BINARY == 0 {
        WireKind::Text
    } else {
        WireKind::Binary
    };
    let frame = Frame::from_payload(kind, part.rest()).ok_or(Malformed("a message is none"))?;
    Ok(if flags & VOLATILE == 0 {
        frame
    } else {
        frame.volatile()
    })
}

fn read_target(part: &mut Cursor<'_>) -> Result<Target, Malformed> {
    Ok(match part.byte()? {
        0 => Target::All,
        1 => Target::Account(part.text()?.into()),
        2 => Target::Session {
            account: part.text()?.into(),
            session: part.text()?.into(),
        },
        _ => return Err(Malformed("a call is for nobody")),
    })
}

/// About what a call takes in an entry, in bytes: no less.
pub(super) fn size(call: &Call) -> usize {
    let target = |to: &Target| match to {
        Target::All => 0,
        Target::Account(account) => account.len(),
        Target::Session { account, session } => account.len() + session.len(),
    };
    OVERHEAD
        + match call {
            Call::Forward {
                account,
                session,
                frame,
                ..
            } => account.len() + session.len() + frame.len(),
            Call::Send { to, frame } => target(to) + frame.len(),
            Call::Close { to, reason } => target(to) + reason.len(),
            Call::Moved { account, session } => account.len() + session.len(),
            Call::Follow {
                account,
                followed,
                follower,
                ..
            } => account.len() + followed.len() + follower.len(),
            Call::Watch(_) => 0,
            Call::Feed(feed) => feeds::size(feed),
        }
}

/// What an item takes beside its texts and its message, at most.
const OVERHEAD: usize = 48;
