use std::borrow::Cow;

use super::{Fields, Key};

/// Arrays and objects that lie in one another at most, where an envelope is plain.
const DEEPEST: u32 = 64;

/// Reads a plain envelope in one pass: no escape in a key or in the name of the event, no value
/// nested too deeply. What it gives is what serde_json would give; of anything else, what is no
/// envelope included, it gives nothing.
pub(super) fn plain(text: &str) -> Option<Fields<'_>> {
    let mut scan = Scan::new(text);
    let mut fields = Fields::default();
    scan.expect(b'{')?;
    if scan.eat(b'}') {
        return scan.is_over().then_some(fields);
    }
    loop {
        match scan.key()? {
            Key::Event => once(&mut fields.event, Cow::Borrowed(scan.name()?))?,
            Key::Args => once(&mut fields.args, scan.value()?)?,
            Key::Id => once(&mut fields.id, scan.value()?.parse().ok()?)?,
            Key::Other => drop(scan.value()?),
        }
        match scan.token()? {
            b',' => {}
            b'}' => return scan.is_over().then_some(fields),
            _ => return None,
        }
    }
}

/// Whether a text is a JSON string as it stands.
pub(super) fn is_plain(text: &str) -> bool {
    let mut scan = Scan::new(text);
    scan.skip_long_plain();
    scan.skip_plain();
    scan.rest.is_empty()
}

/// The lowest bit that is set tells of the first byte that is no plain part of a string.
#[inline]
const fn special(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // With this bit turned the quote is the first behind the control characters.
    let quote_or_control = (word ^ (ONES * 2)).wrapping_sub(ONES * 0x21);
    let escape = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    // A borrow reaches only the bytes above one that was found.
    (quote_or_control | escape) & !word & HIGH
}

fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

struct Scan<'a> {
    text: &'a str,
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    const fn new(text: &'a str) -> Self {
        Self {
            text,
            rest: text.as_bytes(),
        }
    }

    #[inline]
    fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    #[inline]
    fn skip_space(&mut self) {
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.skip_spaces();
        }
    }

    #[cold]
    fn skip_spaces(&mut self) {
        while let [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// The next byte that is no space.
    #[inline]
    fn token(&mut self) -> Option<u8> {
        self.skip_space();
        self.next()
    }

    #[inline]
    fn expect(&mut self, token: u8) -> Option<()> {
        self.eat(token).then_some(())
    }

    /// Whether that is the next byte which is no space; if so it is taken.
    #[inline]
    fn eat(&mut self, token: u8) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(&[token]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn is_over(&mut self) -> bool {
        self.skip_space();
        self.rest.is_empty()
    }

    #[inline]
    fn key(&mut self) -> Option<Key> {
        self.skip_space();
        // As everybody writes them.
        for (written, key) in [
            (&br#""event":"#[..], Key::Event),
            (br#""args":"#, Key::Args),
            (br#""id":"#, Key::Id),
        ] {
            if let Some(rest) = self.rest.strip_prefix(written) {
                self.rest = rest;
                return Some(key);
            }
        }
        let key = Key::of(self.name()?);
        self.expect(b':')?;
        Some(key)
    }

    /// A string without escapes.
    fn name(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at();
        self.skip_plain();
        let name = &self.text[start..self.at()];
        (self.next()? == b'"').then_some(name)
    }

    /// Any value, as it stands there.
    fn value(&mut self) -> Option<&'a str> {
        self.skip_space();
        let start = self.at();
        let mut within = Within::default();
        loop {
            match self.token()? {
                b'"' => self.finish_string()?,
                b'[' if self.eat(b']') => {}
                b'{' if self.eat(b'}') => {}
                b'[' => {
                    within.enter(false)?;
                    continue;
                }
                b'{' => {
                    within.enter(true)?;
                    self.finish_key()?;
                    continue;
                }
                b't' => self.finish_word(b"rue")?,
                b'f' => self.finish_word(b"alse")?,
                b'n' => self.finish_word(b"ull")?,
                b'-' => {
                    let first = self.next()?;
                    self.finish_number(first)?;
                }
                first => self.finish_number(first)?,
            }
            if self.leave(&mut within)? {
                return Some(&self.text[start..self.at()]);
            }
        }
    }

    /// Behind a value: whether that was all, or else another one follows.
    #[inline]
    fn leave(&mut self, within: &mut Within) -> Option<bool> {
        while let Some(object) = within.innermost() {
            match self.token()? {
                b',' if object => {
                    self.finish_key()?;
                    return Some(false);
                }
                b',' => return Some(false),
                b'}' if object => within.leave(),
                b']' if !object => within.leave(),
                _ => return None,
            }
        }
        Some(true)
    }

    fn finish_key(&mut self) -> Option<()> {
        self.expect(b'"')?;
        self.finish_string()?;
        self.expect(b':')
    }

    #[inline]
    fn finish_string(&mut self) -> Option<()> {
        loop {
            self.skip_long_plain();
            self.skip_plain();
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => self.finish_escape()?,
                _ => return None,
            }
        }
    }

    /// Goes on to the end of a string, to an escape, or to what may not be in it.
    #[inline]
    fn skip_plain(&mut self) {
        while let Some((word, rest)) = self.rest.split_first_chunk() {
            let special = special(u64::from_le_bytes(*word));
            if special != 0 {
                self.rest = &self.rest[special.trailing_zeros() as usize / 8..];
                return;
            }
            self.rest = rest;
        }
        // Behind the text stands what may not be in a string.
        let mut last = [0; 8];
        last[..self.rest.len()].copy_from_slice(self.rest);
        let special = special(u64::from_le_bytes(last));
        self.rest = &self.rest[special.trailing_zeros() as usize / 8..];
    }

    /// As that, and it may stop short of it.
    #[inline]
    fn skip_long_plain(&mut self) {
        let special = |byte: &u8| (*byte ^ 2 < 0x21) | (*byte == b'\\');
        while let Some((chunk, rest)) = self.rest.split_first_chunk::<16>()
            && !chunk.iter().fold(false, |any, byte| any | special(byte))
        {
            self.rest = rest;
        }
    }

    fn finish_escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
            b'u' => {
                for _ in 0..4 {
                    self.next().filter(u8::is_ascii_hexdigit)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn finish_word(&mut self, rest: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(rest)?;
        Some(())
    }

    fn finish_number(&mut self, first: u8) -> Option<()> {
        match first {
            b'0' => {}
            b'1'..=b'9' => drop(self.digits()),
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.next();
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.next();
            if let Some(b'+' | b'-') = self.peek() {
                self.next();
            }
            self.digits()?;
        }
        Some(())
    }

    /// Digits, at least one.
    fn digits(&mut self) -> Option<()> {
        let before = self.rest.len();
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
        (self.rest.len() < before).then_some(())
    }
}

/// The arrays and objects around a value: a bit each, set for an object, the innermost last.
#[derive(Default)]
struct Within {
    objects: u64,
    depth: u32,
}

impl Within {
    fn enter(&mut self, object: bool) -> Option<()> {
        self.objects = self.objects << 1 | u64::from(object);
        self.depth += 1;
        (self.depth <= DEEPEST).then_some(())
    }

    const fn leave(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    /// Whether the innermost is an object.
    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.objects & 1 == 1)
    }
}
