//! Who has which slots of a Cluster, as far as was heard. It decides over which connection a call
//! goes, and nothing else: whoever is asked wrongly says who is right.

use std::time::Duration;

use deadpool_redis::redis::{
    Arg, Cmd, Value,
    cluster_routing::{Route, Slot, SlotAddr},
};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Slots of every Cluster.
const SLOTS: u16 = 16_384;

/// No lane.
const NOBODY: u8 = u8::MAX;

/// How often it is asked at most.
const PAUSE: Duration = Duration::from_secs(1);

/// A map of all slots.
pub(super) struct Slots {
    map: Mutex<Map>,
    lanes: u8,
}

struct Map {
    /// By slot.
    lanes: Box<[u8]>,
    /// Some slot of each lane that has any.
    samples: Vec<(usize, u16)>,
    stale: bool,
    asked: Option<Instant>,
}

impl Slots {
    /// Nothing is known yet. Servers are spread over so many lanes.
    pub(super) fn new(lanes: u8) -> Self {
        let map = Map {
            lanes: vec![NOBODY; usize::from(SLOTS)].into(),
            samples: Vec::new(),
            stale: true,
            asked: None,
        };
        Self {
            map: Mutex::new(map),
            lanes,
        }
    }

    /// The lane of a call, if it is known whose it is.
    pub(super) fn lane_of(&self, call: &Cmd) -> Option<usize> {
        let slot = slot(key(call)?);
        let lane = self.map.lock().lanes[usize::from(slot)];
        (lane != NOBODY).then_some(lane.into())
    }

    /// What is known may be wrong.
    pub(super) fn doubt(&self) {
        self.map.lock().stale = true;
    }

    /// Whether it is time to ask; says so once.
    pub(super) fn take_due(&self) -> bool {
        let mut map = self.map.lock();
        let lately = map.asked.is_some_and(|asked| asked.elapsed() < PAUSE);
        if lately || !map.stale {
            return false;
        }
        map.asked = Some(Instant::now());
        true
    }

    /// Lanes, and how their servers are asked.
    pub(super) fn routes(&self) -> Vec<(usize, Route)> {
        let samples = self.map.lock().samples.clone();
        let route = |(lane, slot)| {
            let slot = Slot::new(slot)?;
            Some((lane, Route::with_slot(slot, SlotAddr::Master)))
        };
        samples.into_iter().filter_map(route).collect()
    }

    /// Takes the answer to CLUSTER SLOTS; whether it is one.
    pub(super) fn learn(&self, answer: &Value) -> bool {
        let Value::Array(entries) = answer else {
            return false;
        };
        let mut ranges: Vec<_> = entries.iter().filter_map(range).collect();
        ranges.sort_by_key(|(first, ..)| *first);
        if ranges.is_empty() {
            return false;
        }
        let mut map = self.map.lock();
        map.lanes.fill(NOBODY);
        map.samples.clear();
        map.stale = false;
        let mut masters: Vec<&Value> = Vec::new();
        for (first, last, master) in ranges {
            let known = masters.iter().position(|known| *known == master);
            let index = known.unwrap_or_else(|| {
                masters.push(master);
                masters.len() - 1
            });
            let lane = index % usize::from(self.lanes);
            if known.is_none() {
                map.samples.push((lane, first));
            }
            let lane = u8::try_from(lane).unwrap_or(NOBODY);
            map.lanes[usize::from(first)..=usize::from(last)].fill(lane);
        }
        true
    }
}

/// First and last slot, and who has them.
fn range(entry: &Value) -> Option<(u16, u16, &Value)> {
    let Value::Array(parts) = entry else {
        return None;
    };
    let [Value::Int(first), Value::Int(last), master, ..] = &parts[..] else {
        return None;
    };
    let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
    (first <= last && last < SLOTS).then_some((first, last, master))
}

/// The first key of a call.
fn key(call: &Cmd) -> Option<&[u8]> {
    let mut words = call.args_iter().map(|arg| match arg {
        Arg::Simple(word) => word,
        _ => b"",
    });
    match words.next()? {
        b"EVALSHA" | b"EVAL" => words.nth(2),
        b"XREAD" => {
            words.find(|word| *word == b"STREAMS")?;
            words.next()
        }
        b"INFO" => None,
        _ => words.next(),
    }
}

fn slot(key: &[u8]) -> u16 {
    checksum(tag(key)) % SLOTS
}

/// What is between the first braces, if it is something; else all of it.
fn tag(key: &[u8]) -> &[u8] {
    let between = || {
        let open = key.iter().position(|byte| *byte == b'{')? + 1;
        let length = key[open..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &key[open..open + length])
    };
    between().unwrap_or(key)
}

/// CRC-16/XMODEM.
fn checksum(bytes: &[u8]) -> u16 {
    let shift = |crc: u16, _| {
        let carry = crc & 0x8000 != 0;
        (crc << 1) ^ if carry { 0x1021 } else { 0 }
    };
    let next = |crc: u16, byte: &u8| (0..8).fold(crc ^ (u16::from(*byte) << 8), shift);
    bytes.iter().fold(0, next)
}

#[cfg(test)]
mod tests {
    use deadpool_redis::redis::cmd;

    use super::*;

    fn master(port: i64) -> Value {
        let host = Value::BulkString(b"127.0.0.1".to_vec());
        Value::Array(vec![host, Value::Int(port)])
    }

    fn entry(first: i64, last: i64, port: i64) -> Value {
        Value::Array(vec![Value::Int(first), Value::Int(last), master(port)])
    }

    #[test]
    fn a_slot_is_what_the_client_library_says() {
        for key in ["", "a", "{a}b", "x{a}b", "{}a", "{a", "a}{b}", "{app:17}:w"] {
            assert_eq!(
                Slot::new(slot(key.as_bytes())),
                Some(Slot::for_key(key)),
                "{key}"
            );
        }
    }

    #[test]
    fn calls_of_one_master_have_one_lane() {
        let slots = Slots::new(2);
        let get = |key: &str| slots.lane_of(cmd("GET").arg(key));
        assert_eq!(get("a"), None);
        let all = [
            entry(10_923, 16_383, 3),
            entry(0, 5_460, 1),
            entry(5_461, 10_922, 2),
        ];
        assert!(slots.learn(&Value::Array(all.into())));
        // These are slots 15,495, 3,300 and 7,365.
        assert_eq!([get("a"), get("b"), get("c")], [Some(0), Some(0), Some(1)]);
        assert_eq!(slots.routes().len(), 3);
    }

    #[test]
    fn an_answer_that_makes_no_sense_changes_nothing() {
        let slots = Slots::new(8);
        let odd = [
            entry(-1, 3, 1),
            entry(5, 2, 1),
            entry(0, 16_384, 1),
            Value::Nil,
        ];
        for answer in [Value::Nil, Value::Array(vec![]), Value::Array(odd.into())] {
            assert!(!slots.learn(&answer), "{answer:?}");
        }
        assert!(slots.routes().is_empty());
    }

    #[test]
    fn the_key_of_a_call_is_where_its_command_has_it() {
        let found = |words: &[&str]| {
            let mut call = cmd(words[0]);
            call.arg(&words[1..]);
            key(&call).map(|key| String::from_utf8_lossy(key).into_owned())
        };
        assert_eq!(
            found(&["EVALSHA", "sha", "2", "k", "l"]).as_deref(),
            Some("k")
        );
        let read = ["XREAD", "BLOCK", "1", "STREAMS", "k", "0-0"];
        assert_eq!(found(&read).as_deref(), Some("k"));
        assert_eq!(found(&["HDEL", "k", "f"]).as_deref(), Some("k"));
        assert_eq!(found(&["INFO", "memory"]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_for_once_in_a_while_and_when_in_doubt() {
        let slots = Slots::new(8);
        assert!(slots.take_due());
        assert!(!slots.take_due());
        tokio::time::advance(PAUSE).await;
        assert!(slots.take_due());
        slots.learn(&Value::Array(vec![entry(0, 16_383, 1)]));
        tokio::time::advance(PAUSE).await;
        assert!(!slots.take_due());
        slots.doubt();
        assert!(slots.take_due());
    }
}
