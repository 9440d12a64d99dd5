use std::sync::Arc;

use crate::reach::Reach;

/// The version of entries and leases. What carries another one is not read.
const VERSION: &str = "1";

/// The longest id that is taken over from Redis, in bytes.
const LONGEST_ID: usize = 256;

/// Who has a session, as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) node: Arc<str>,
    pub(super) epoch: u64,
    pub(super) generation: u64,
    pub(super) sid: Box<str>,
}

impl Entry {
    pub(super) fn encode(&self) -> String {
        let Self {
            node,
            epoch,
            generation,
            sid,
        } = self;
        entry(node, *epoch, *generation, sid)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '|');
        let version = parts.next()?;
        let node = id(parts.next()?)?;
        let epoch = number(parts.next()?)?;
        let generation = number(parts.next()?)?;
        let sid = id(parts.next()?)?;
        (version == VERSION).then(|| Self {
            node: node.into(),
            epoch,
            generation,
            sid: sid.into(),
        })
    }
}

/// An entry as it is stored.
pub(super) fn entry(node: &str, epoch: u64, generation: u64, sid: &str) -> String {
    format!("{VERSION}|{node}|{epoch}|{generation}|{sid}")
}

/// The sid is a credential.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("node", &self.node)
            .field("epoch", &self.epoch)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// The row of a node in the lease table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) epoch: u64,
    /// Raised with every heartbeat.
    pub(super) seq: u64,
    /// Declared dead by a survivor, up to this epoch.
    pub(super) dead: bool,
    /// It takes no more clients, and lets go of those that it has.
    pub(super) draining: bool,
    /// How many sessions the node has.
    pub(super) sessions: u64,
    /// How other nodes reach it, if it says so.
    pub(super) reach: Option<Arc<Reach>>,
    /// What else stands in the row, and nobody here understands.
    pub(super) rest: Option<Rest>,
}

/// The end of a row that is not understood: kept, because a row is known by all of its text.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Rest(Box<str>);

/// It may hold a key.
impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Rest").finish_non_exhaustive()
    }
}

impl Lease {
    pub(super) fn encode(&self) -> String {
        let Self {
            epoch,
            seq,
            dead,
            draining,
            sessions,
            reach,
            rest,
        } = self;
        let state = match (dead, draining) {
            (true, _) => "dead",
            (false, true) => "drain",
            (false, false) => "up",
        };
        let row = format!("{VERSION}|{epoch}|{seq}|{state}|{sessions}");
        match (reach, rest) {
            (Some(reach), _) => format!("{row}|{}", reach.encode()),
            (None, Some(Rest(rest))) => format!("{row}|{rest}"),
            (None, None) => row,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, '|');
        let version = parts.next()?;
        let epoch = number(parts.next()?)?;
        let seq = number(parts.next()?)?;
        let (dead, draining) = match parts.next()? {
            "up" => (false, false),
            "drain" => (false, true),
            "dead" => (true, false),
            _ => return None,
        };
        let sessions = number(parts.next()?)?;
        let rest = parts.next();
        // Whose address is bad cannot be dialled, but lives.
        let reach = rest.and_then(|rest| rest.split_once('|'));
        let reach = reach.and_then(|(uri, key)| Reach::parse(uri, key));
        let rest = rest.filter(|_| reach.is_none());
        (version == VERSION).then(|| Self {
            epoch,
            seq,
            dead,
            draining,
            sessions,
            reach: reach.map(Arc::new),
            rest: rest.map(|rest| Rest(rest.into())),
        })
    }
}

/// The largest number that Redis' scripts do not round.
const LARGEST: u64 = 1 << 53;

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())?
        .filter(|number| *number < LARGEST)
}

fn id(text: &str) -> Option<&str> {
    let usable = (1..=LONGEST_ID).contains(&text.len()) && !text.contains('|');
    usable.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_as_written() {
        let entry = Entry {
            node: "n-1".into(),
            epoch: 3,
            generation: 1_700_000_000_000_000,
            sid: "sid_".into(),
        };
        assert_eq!(Entry::parse(&entry.encode()), Some(entry));
    }

    #[test]
    fn a_lease_comes_back_as_written() {
        let reach = Arc::new(Reach::new("http://10.0.0.1:3000/stream".to_owned()));
        let (up, drain, dead) = ((false, false), (false, true), (true, false));
        let all = [(up, None), (drain, None), (dead, None), (up, Some(reach))];
        for ((dead, draining), reach) in all {
            let lease = Lease {
                epoch: 3,
                seq: 9,
                dead,
                draining,
                sessions: 100,
                reach,
                rest: None,
            };
            assert_eq!(Lease::parse(&lease.encode()), Some(lease));
        }
    }

    #[test]
    fn what_is_no_entry_is_not_read() {
        for bad in [
            "",
            "1",
            "2|n|1|2|s",
            "1|n|1|2",
            "1||1|2|s",
            "1|n|-1|2|s",
            "1|n|1|x|s",
            "1|n|1|2|",
            "1|n|1|2|s|t",
            "1|n|+1|2|s",
            "1|n|1|9007199254740992|s",
            "|||||||",
            "\u{0}",
        ] {
            assert_eq!(Entry::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_lease_is_not_read() {
        for bad in ["", "1|1|1|up", "2|1|1|up|0", "1|1|1|well|0", "1|x|1|up|0"] {
            assert_eq!(Lease::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn who_advertises_nonsense_lives_all_the_same() {
        for odd in [
            "1|1|1|up|0|",
            "1|1|1|up|0|http://a",
            "1|1|1|up|0|http://a|AAAAAAAAAAAAAAAAAAAAA",
            "1|1|1|up|0|https://a|AAAAAAAAAAAAAAAAAAAAAA",
            "1|1|1|up|0|http://a|AAAAAAAAAAAAAAAAAAAAAA|",
        ] {
            let lease = Lease::parse(odd).unwrap();
            assert_eq!(lease.reach, None, "{odd}");
            assert_eq!(lease.encode(), odd, "it is known by its row");
            assert!(!format!("{lease:?}").contains("AAA"));
        }
    }

    #[test]
    fn debug_does_not_show_the_sid() {
        let entry = Entry::parse("1|n|1|2|secret").unwrap();
        assert!(!format!("{entry:?}").contains("secret"));
    }
}
