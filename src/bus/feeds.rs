//! What a node tells of its sessions to one that watches, as entries hold it.
//!
//! ```text
//! watch    stream: number | piece: number
//! feed     stream: number | piece: number | marks: u8 | move..
//! move     account: text | session: text | generation and 1 for a join: number
//! ```

use super::{
    Held, Piece,
    bytes::{Cursor, Malformed, put_number, put_text},
};
use crate::{account::is_name, message::User, presence::Move};

const BEGINS: u8 = 1;
const ENDS: u8 = 2;

/// No generation is as large: Redis' scripts would round it.
const LARGEST: u64 = 1 << 53;

/// A piece with more moves is none: they take more room once they are read.
const MOST: usize = 4096;

/// What a move takes beside its texts, at most.
const OVERHEAD: usize = 12;

pub(super) fn put_held(entry: &mut Vec<u8>, held: Held) {
    put_number(entry, held.stream);
    put_number(entry, held.piece);
}

pub(super) fn read_held(part: &mut Cursor<'_>) -> Result<Held, Malformed> {
    let (stream, piece) = (part.number()?, part.number()?);
    Ok(Held { stream, piece })
}

pub(super) fn put(entry: &mut Vec<u8>, feed: &Piece) {
    put_held(entry, feed.at);
    let marks = [(feed.begins, BEGINS), (feed.ends, ENDS)];
    entry.push(marks.iter().map(|(set, mark)| u8::from(*set) * mark).sum());
    for one in &feed.moves {
        put_text(entry, one.user.account());
        put_text(entry, one.user.session());
        put_number(entry, one.generation << 1 | u64::from(one.joined));
    }
}

pub(super) fn read(part: &mut Cursor<'_>) -> Result<Piece, Malformed> {
    let at = read_held(part)?;
    let marks = part.byte()?;
    if marks & !(BEGINS | ENDS) != 0 {
        return Err(Malformed("a feed has an unknown mark"));
    }
    let mut moves = Vec::new();
    while !part.is_empty() {
        if moves.len() >= MOST {
            return Err(Malformed("a feed has too many moves"));
        }
        moves.push(read_move(part)?);
    }
    Ok(Piece {
        at,
        begins: marks & BEGINS != 0,
        ends: marks & ENDS != 0,
        moves,
    })
}

fn read_move(part: &mut Cursor<'_>) -> Result<Move, Malformed> {
    let (account, session) = (part.text()?, part.text()?);
    let number = part.number()?;
    let generation = number >> 1;
    if !is_name(account) || !is_name(session) || generation == 0 || generation >= LARGEST {
        return Err(Malformed("a move makes no sense"));
    }
    Ok(Move {
        user: User::new(account, session, ""),
        generation,
        joined: number & 1 == 1,
    })
}

/// About what it takes, in bytes: no less.
pub(super) fn size(feed: &Piece) -> usize {
    feed.moves.iter().map(size_of_move).sum()
}

/// About what a move takes, in bytes: no less.
pub(crate) fn size_of_move(one: &Move) -> usize {
    OVERHEAD + one.user.account().len() + one.user.session().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(begins: bool, ends: bool) -> Piece {
        let one = |session: &str, generation, joined| Move {
            user: User::new("ann", session, ""),
            generation,
            joined,
        };
        Piece {
            at: Held {
                stream: 3,
                piece: 900,
            },
            begins,
            ends,
            moves: vec![one("a", 1, true), one("b", LARGEST - 1, false)],
        }
    }

    #[test]
    fn a_feed_comes_back_as_written() {
        for (begins, ends) in [(true, false), (false, true), (true, true), (false, false)] {
            let (mut bytes, feed) = (Vec::new(), feed(begins, ends));
            put(&mut bytes, &feed);
            assert!(bytes.len() <= size(&feed) + 48, "{}", bytes.len());
            assert_eq!(read(&mut Cursor(&bytes)), Ok(feed));
        }
    }

    #[test]
    fn socket_ids_stay_at_home() {
        let mut feed = feed(false, false);
        feed.moves[0].user = User::new("ann", "a", "secret");
        let mut bytes = Vec::new();
        put(&mut bytes, &feed);
        assert!(!bytes.windows(6).any(|part| part == b"secret"));
    }

    #[test]
    fn what_is_no_feed_is_not_read() {
        let mut good = Vec::new();
        put(&mut good, &feed(true, true));
        for end in 0..good.len() {
            let cut = read(&mut Cursor(&good[..end]));
            assert!(cut.is_err() || cut.is_ok_and(|cut| cut.moves.len() < 2));
        }
        let odd = |account: &str, generation: u64| {
            let mut bytes = vec![1, 1, 0];
            put_text(&mut bytes, account);
            put_text(&mut bytes, "s");
            put_number(&mut bytes, generation << 1);
            read(&mut Cursor(&bytes)).is_err()
        };
        assert!(!odd("ann", 1));
        assert!(odd("", 1) && odd("a\0b", 1) && odd(&"a".repeat(257), 1));
        assert!(odd("ann", 0) && odd("ann", LARGEST));
        assert!(read(&mut Cursor(&[1, 1, 4])).is_err(), "an unknown mark");
        let long = |moves: usize| {
            let mut long = feed(false, false);
            long.moves = vec![long.moves[0].clone(); moves];
            let mut bytes = Vec::new();
            put(&mut bytes, &long);
            read(&mut Cursor(&bytes)).is_ok()
        };
        assert!(long(MOST) && !long(MOST + 1));
    }
}
