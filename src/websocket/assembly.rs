//! A message pieced together.

use super::{Incoming, Limits, Payload, ProtocolError};

/// The least room that is made for a message, unless it is known to be shorter.
const LEAST_ROOM: usize = 4096;

/// What has come of a message that is partial or fragmented.
#[derive(Debug)]
pub(super) struct Assembly {
    text: bool,
    data: Vec<u8>,
    /// How much of a text is known to be UTF-8; less than a character may lie behind it.
    checked: usize,
    /// How many of its frames are whole.
    fragments: usize,
}

impl Assembly {
    /// A message of which nothing has come.
    pub(super) const fn new(text: bool) -> Self {
        Self {
            text,
            data: Vec::new(),
            checked: 0,
            fragments: 0,
        }
    }

    /// How many bytes have come.
    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    /// How many of its frames are whole.
    pub(super) const fn fragments(&self) -> usize {
        self.fragments
    }

    /// How many bytes of memory it owns.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.data.capacity()
    }

    /// Adds what came of a frame, `left` bytes of which are still to come. `fin` tells whether it
    /// is the last frame.
    pub(super) fn push(
        &mut self,
        piece: &[u8],
        left: usize,
        fin: bool,
        limits: &Limits,
    ) -> Result<(), ProtocolError> {
        let need = self.data.len() + piece.len();
        // Of a last frame the end is known; of others only what the limit allows.
        let most = if fin {
            need.saturating_add(left)
        } else {
            limits.max_message
        };
        self.make_room(need, most);
        self.data.extend_from_slice(piece);
        if left == 0 {
            self.fragments += 1;
        }
        self.check(fin && left == 0)
    }

    /// The message, when its last frame is whole.
    pub(super) fn finish(self) -> Incoming {
        let payload = Payload::Owned(self.data.into());
        if self.text {
            Incoming::Text(payload)
        } else {
            Incoming::Binary(payload)
        }
    }

    /// Makes room for `need` bytes, and for twice as many up to `most`: what a client announces
    /// takes no memory, what it sends is seldom moved.
    fn make_room(&mut self, need: usize, most: usize) {
        if need > self.data.capacity() {
            let room = need.saturating_mul(2).max(LEAST_ROOM).min(most).max(need);
            self.data.reserve_exact(room - self.data.len());
        }
    }

    /// Checks what is new of a text. Only at its end must no character be unfinished.
    fn check(&mut self, end: bool) -> Result<(), ProtocolError> {
        if !self.text {
            return Ok(());
        }
        match simdutf8::compat::from_utf8(&self.data[self.checked..]) {
            Ok(_) => self.checked = self.data.len(),
            Err(error) if error.error_len().is_none() && !end => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(ProtocolError::TextNotUtf8),
        }
        Ok(())
    }
}
