use std::time::Instant;

use bytes::Bytes;

use super::entry;

/// What is to leave for one node with its next entries.
#[derive(Debug)]
pub(super) struct Batch {
    /// Calls that are in it have this number or a later one.
    pub(super) first: u64,
    bytes: Vec<u8>,
    /// Where the first item begins.
    start: usize,
    items: Vec<Waiting>,
    /// Before this there is nothing to be left out.
    stale: Option<Instant>,
    /// Something is not to leave any more.
    dropped: bool,
}

/// An item that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    end: usize,
    kind: Kind,
}

/// What is known of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A call that somebody waits for.
    Asked(u64),
    /// A call that nobody waits for; too late after that time.
    Posted(Instant),
    Answer,
    /// It is not to leave any more.
    Dropped,
}

impl Waiting {
    const fn until(&self) -> Option<Instant> {
        match self.kind {
            Kind::Posted(until) => Some(until),
            Kind::Asked(_) | Kind::Answer | Kind::Dropped => None,
        }
    }
}

/// When the first of them is too late: they came in order.
fn earliest(items: &[Waiting]) -> Option<Instant> {
    items.iter().find_map(Waiting::until)
}

/// The calls among them that somebody may wait for.
fn asked(items: &[Waiting]) -> impl DoubleEndedIterator<Item = u64> {
    items.iter().filter_map(|item| match item.kind {
        Kind::Asked(id) => Some(id),
        _ => None,
    })
}

impl Batch {
    pub(super) fn new(sender: &str, first: u64) -> Self {
        let bytes = entry::begin(sender);
        Self {
            first,
            start: bytes.len(),
            bytes,
            items: Vec::new(),
            stale: None,
            dropped: false,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn add(&mut self, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        let end = self.bytes.len();
        let item = Waiting { end, kind };
        self.stale = self.stale.or_else(|| item.until());
        self.items.push(item);
    }

    /// Takes a call out; whether it was there.
    pub(super) fn withdraw(&mut self, id: u64) -> bool {
        let mut items = self.items.iter_mut();
        let found = items.find(|item| item.kind == Kind::Asked(id));
        found.is_some_and(|item| {
            item.kind = Kind::Dropped;
            self.dropped = true;
            true
        })
    }

    /// Takes out the calls that are not to leave any more.
    pub(super) fn retain_asked(&mut self, keep: impl Fn(u64) -> bool) {
        for item in &mut self.items {
            if let Kind::Asked(id) = item.kind
                && !keep(id)
            {
                item.kind = Kind::Dropped;
                self.dropped = true;
            }
        }
    }

    /// Leaves out what is not to leave, or too late.
    pub(super) fn compact(&mut self, now: Instant) {
        if !self.dropped && self.stale.is_none_or(|until| until >= now) {
            return;
        }
        let over = |item: &Waiting| match item.kind {
            Kind::Dropped => true,
            Kind::Posted(until) => until < now,
            Kind::Asked(_) | Kind::Answer => false,
        };
        let (mut from, mut to) = (self.start, self.start);
        let bytes = &mut self.bytes;
        self.items.retain_mut(|item| {
            let range = from..item.end;
            from = item.end;
            if over(item) {
                return false;
            }
            let len = range.len();
            bytes.copy_within(range, to);
            to += len;
            item.end = to;
            true
        });
        self.bytes.truncate(to);
        self.dropped = false;
        self.stale = earliest(&self.items);
    }

    /// Puts what came later behind it.
    pub(super) fn extend(&mut self, later: &Self) {
        self.put(&later.bytes[later.start..], later.start, &later.items);
        self.stale = self.stale.or(later.stale);
        self.dropped |= later.dropped;
    }

    /// Puts items behind the others that began elsewhere.
    fn put(&mut self, bytes: &[u8], start: usize, items: &[Waiting]) {
        let to = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.items.extend(items.iter().map(|item| Waiting {
            end: item.end - start + to,
            kind: item.kind,
        }));
    }

    /// Takes out what leaves with one entry: so many bytes, or one item if that is larger.
    pub(super) fn take(&mut self, sender: &str, most: usize) -> Self {
        let count = self.items.partition_point(|item| item.end <= most).max(1);
        let items = self.items.split_off(count.min(self.items.len()));
        let cut = self.items.last().map_or(self.start, |item| item.end);
        let newest = asked(&self.items).last();
        let mut rest = Self::new(sender, newest.map_or(self.first, |id| id + 1));
        rest.put(&self.bytes[cut..], cut, &items);
        rest.stale = earliest(&items);
        rest.dropped = self.dropped;
        self.bytes.truncate(cut);
        std::mem::replace(self, rest)
    }

    /// Makes it an entry.
    pub(super) fn seal(&mut self, seq: u64, since: u64) -> Sealed {
        entry::number(&mut self.bytes, seq, since);
        Sealed {
            first: self.first,
            start: self.start,
            bytes: Bytes::from(std::mem::take(&mut self.bytes)),
            items: std::mem::take(&mut self.items),
        }
    }
}

/// A batch that became an entry, and is on its way.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) first: u64,
    start: usize,
    pub(super) bytes: Bytes,
    items: Vec<Waiting>,
}

impl Sealed {
    /// The calls in it that somebody may wait for.
    pub(super) fn asked(&self) -> impl Iterator<Item = u64> {
        asked(&self.items)
    }

    /// Makes it a batch again: it never left.
    pub(super) fn open(self) -> Batch {
        Batch {
            first: self.first,
            start: self.start,
            bytes: self.bytes.into(),
            stale: earliest(&self.items),
            dropped: false,
            items: self.items,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_batch_is_looked_through_only_when_something_in_it_is_over() {
        #[expect(clippy::disallowed_methods, reason = "time has to begin somewhere")]
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut batch = Batch::new("a", 0);
        let (start, item) = (batch.len(), |bytes: &mut Vec<u8>| bytes.push(0));
        let len = |batch: &Batch| batch.len() - start;
        batch.add(Kind::Asked(1), item);
        batch.add(Kind::Posted(now + second), item);
        batch.add(Kind::Posted(now + 3 * second), item);

        // As long as nothing is known to be over, what is over stays.
        batch.items[0].kind = Kind::Dropped;
        batch.compact(now + second);
        assert_eq!(len(&batch), 3);
        batch.compact(now + 2 * second);
        assert_eq!(len(&batch), 1);
        assert_eq!(batch.stale, Some(now + 3 * second));

        batch.add(Kind::Asked(2), item);
        assert!(batch.withdraw(2));
        batch.compact(now);
        assert_eq!(len(&batch), 1);
        batch.compact(now + 4 * second);
        assert!(batch.is_empty());
        assert_eq!(batch.stale, None);
    }
}
