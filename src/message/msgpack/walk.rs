use std::str;

/// How deep arrays and maps may be in one another, in any value of the envelope.
pub(super) const MAX_DEPTH: usize = 128;

/// Why bytes are not MessagePack, or not any that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("ends too early")]
    Truncated,
    #[error("a byte that means nothing")]
    Reserved,
    #[error("text that is not UTF-8")]
    Text,
    #[error("nested too deeply")]
    Depth,
}

/// What a value begins with. Of arrays and maps that is all; of others it is the whole value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Head<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    /// Below zero.
    Negative(i64),
    F32(f32),
    F64(f64),
    Text(&'a str),
    Binary(&'a [u8]),
    Extension,
    Array(u32),
    /// So many keys with their values.
    Map(u32),
}

impl Head<'_> {
    /// How many values are to come inside of it.
    fn inside(&self) -> u64 {
        match self {
            Self::Array(values) => u64::from(*values),
            Self::Map(pairs) => 2 * u64::from(*pairs),
            _ => 0,
        }
    }
}

/// Reads values from the first byte on; it never recurses and keeps nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<'a> {
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads up to the first value inside, or to the end of a value that has none inside.
    pub(crate) fn head(&mut self) -> Result<Head<'a>, Fault> {
        let marker = self.number::<1>()?[0];
        Ok(match marker {
            0x00..=0x7f => Head::Unsigned(marker.into()),
            0x80..=0x8f => Head::Map((marker & 0x0f).into()),
            0x90..=0x9f => Head::Array((marker & 0x0f).into()),
            0xa0..=0xbf => self.text((marker & 0x1f).into())?,
            0xc0 => Head::Nil,
            0xc1 => return Err(Fault::Reserved),
            0xc2 => Head::Bool(false),
            0xc3 => Head::Bool(true),
            0xc4..=0xc6 => {
                let length = self.length(marker - 0xc4)?;
                Head::Binary(self.take(length)?)
            }
            0xc7..=0xc9 => {
                let length = self.length(marker - 0xc7)?;
                self.extension(length)?
            }
            0xca => Head::F32(f32::from_be_bytes(self.number()?)),
            0xcb => Head::F64(f64::from_be_bytes(self.number()?)),
            0xcc..=0xd3 => self.integer(marker)?,
            0xd4..=0xd8 => self.extension(1 << (marker - 0xd4))?,
            0xd9..=0xdb => {
                let length = self.length(marker - 0xd9)?;
                self.text(length)?
            }
            0xdc | 0xdd => Head::Array(self.length(marker - 0xdc + 1)?),
            0xde | 0xdf => Head::Map(self.length(marker - 0xde + 1)?),
            0xe0..=0xff => Head::Negative((marker as i8).into()),
        })
    }

    /// Reads a whole value and gives back its bytes.
    pub(crate) fn value(&mut self) -> Result<&'a [u8], Fault> {
        let before = self.rest;
        let inside = self.head()?.inside();
        if inside > 0 {
            self.skip(inside)?;
        }
        Ok(&before[..before.len() - self.rest.len()])
    }

    /// Reads so many values, at least one, and all that is in them.
    fn skip(&mut self, values: u64) -> Result<(), Fault> {
        // How many values are still to come in each array or map that is open.
        let mut open = [0_u64; MAX_DEPTH];
        open[0] = values;
        let mut depth = 1;
        while depth > 0 {
            let inside = self.head()?.inside();
            if inside > 0 {
                *open.get_mut(depth).ok_or(Fault::Depth)? = inside;
                depth += 1;
                continue;
            }
            while let Some(last) = open[..depth].last_mut() {
                *last -= 1;
                if *last > 0 {
                    break;
                }
                depth -= 1;
            }
        }
        Ok(())
    }

    fn integer(&mut self, marker: u8) -> Result<Head<'a>, Fault> {
        let signed = match marker {
            0xcc => return Ok(Head::Unsigned(u8::from_be_bytes(self.number()?).into())),
            0xcd => return Ok(Head::Unsigned(u16::from_be_bytes(self.number()?).into())),
            0xce => return Ok(Head::Unsigned(u32::from_be_bytes(self.number()?).into())),
            0xcf => return Ok(Head::Unsigned(u64::from_be_bytes(self.number()?))),
            0xd0 => i8::from_be_bytes(self.number()?).into(),
            0xd1 => i16::from_be_bytes(self.number()?).into(),
            0xd2 => i32::from_be_bytes(self.number()?).into(),
            _ => i64::from_be_bytes(self.number()?),
        };
        Ok(u64::try_from(signed).map_or(Head::Negative(signed), Head::Unsigned))
    }

    /// A length of one byte, of two or of four, by its power.
    fn length(&mut self, power: u8) -> Result<u32, Fault> {
        Ok(match power {
            0 => u8::from_be_bytes(self.number()?).into(),
            1 => u16::from_be_bytes(self.number()?).into(),
            _ => u32::from_be_bytes(self.number()?),
        })
    }

    fn text(&mut self, length: u32) -> Result<Head<'a>, Fault> {
        let text = str::from_utf8(self.take(length)?).map_err(|_| Fault::Text)?;
        Ok(Head::Text(text))
    }

    /// The type stands before the bytes.
    fn extension(&mut self, length: u32) -> Result<Head<'a>, Fault> {
        self.number::<1>()?;
        self.take(length)?;
        Ok(Head::Extension)
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], Fault> {
        let length = usize::try_from(length).map_err(|_| Fault::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (number, rest) = self.rest.split_first_chunk().ok_or(Fault::Truncated)?;
        self.rest = rest;
        Ok(*number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_has_its_length() {
        for (bytes, head) in [
            (&[0x07][..], Head::Unsigned(7)),
            (&[0xff], Head::Negative(-1)),
            (&[0xc0], Head::Nil),
            (&[0xc3], Head::Bool(true)),
            (&[0xc4, 2, 1, 2], Head::Binary(&[1, 2])),
            (&[0xc5, 0, 1, 9], Head::Binary(&[9])),
            (&[0xc6, 0, 0, 0, 1, 9], Head::Binary(&[9])),
            (&[0xc7, 2, 5, 1, 2], Head::Extension),
            (&[0xca, 0x3f, 0x80, 0, 0], Head::F32(1.0)),
            (&[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0], Head::F64(1.0)),
            (&[0xcc, 200], Head::Unsigned(200)),
            (&[0xcd, 1, 0], Head::Unsigned(256)),
            (&[0xce, 0, 1, 0, 0], Head::Unsigned(65536)),
            (&[0xcf, 0, 0, 0, 1, 0, 0, 0, 0], Head::Unsigned(1 << 32)),
            (&[0xd0, 0x80], Head::Negative(-128)),
            (&[0xd0, 5], Head::Unsigned(5)),
            (&[0xd1, 0xff, 0], Head::Negative(-256)),
            (&[0xd2, 0xff, 0xff, 0xff, 0xfe], Head::Negative(-2)),
            (&[0xd3, 0, 0, 0, 0, 0, 0, 0, 1], Head::Unsigned(1)),
            (&[0xd4, 5, 1], Head::Extension),
            (&[0xd6, 5, 1, 2, 3, 4], Head::Extension),
            (&[0xa1, b'a'], Head::Text("a")),
            (&[0xd9, 1, b'a'], Head::Text("a")),
            (&[0xda, 0, 1, b'a'], Head::Text("a")),
            (&[0xdb, 0, 0, 0, 1, b'a'], Head::Text("a")),
            (&[0x90], Head::Array(0)),
            (&[0xdc, 0, 0], Head::Array(0)),
            (&[0xdd, 0, 0, 0, 0], Head::Array(0)),
            (&[0x80], Head::Map(0)),
            (&[0xde, 0, 0], Head::Map(0)),
            (&[0xdf, 0, 0, 0, 0], Head::Map(0)),
        ] {
            assert_eq!(Walk::new(bytes).head(), Ok(head), "{bytes:x?}");
            assert_eq!(Walk::new(bytes).value(), Ok(bytes));
            for end in 0..bytes.len() {
                assert_eq!(Walk::new(&bytes[..end]).value(), Err(Fault::Truncated));
            }
        }
    }

    #[test]
    fn a_value_ends_where_the_last_value_in_it_does() {
        let bytes = [0x92, 0x81, 0xa1, b'k', 0x92, 1, 0x90, 0x80, 7];
        let mut walk = Walk::new(&bytes);
        assert_eq!(walk.value(), Ok(&bytes[..8]));
        assert_eq!(walk.rest(), [7]);
    }

    #[test]
    fn what_is_wrong_is_found() {
        assert_eq!(Walk::new(&[0xc1]).value(), Err(Fault::Reserved));
        assert_eq!(Walk::new(&[0xa1, 0xff]).value(), Err(Fault::Text));
        let huge = [0xdd, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Walk::new(&huge).value(), Err(Fault::Truncated));
    }

    #[test]
    fn depth_has_an_end() {
        let nested = |depth: usize| {
            let mut bytes = vec![0x91; depth];
            bytes.push(0xc0);
            Walk::new(&bytes).value().map(<[u8]>::len)
        };
        assert_eq!(nested(MAX_DEPTH), Ok(MAX_DEPTH + 1));
        assert_eq!(nested(MAX_DEPTH + 1), Err(Fault::Depth));
        assert_eq!(nested(1_000_000), Err(Fault::Depth));
    }
}
