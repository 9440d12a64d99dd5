use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use deadpool_redis::redis::{Cmd, Value, cmd};
use parking_lot::Mutex;

use super::{
    parse::{self, Id, Item, Kept, Kind},
    scripts::Scripts,
};
use crate::{
    bus::inboxes::{Appended, Failed, Inboxes, Later},
    config::Settings,
    error::StoreError,
    ids::random_id,
    redis::{CallError, Link, Redis},
};

/// How long a read waits for something.
const BLOCK: Duration = Duration::from_secs(1);

/// Entries that one read brings at most.
const COUNT: usize = 512;

/// An inbox outlives its node by that time beyond its death: others take it away then.
const OUTLIVES: Duration = Duration::from_secs(60);

/// One node's way to the inboxes in Redis.
struct InRedis {
    /// For all that does not wait.
    link: Link,
    /// For reads alone: who waits on a connection keeps all others waiting.
    reader: Link,
    scripts: Scripts,
    namespace: Box<str>,
    /// Stream and hash of our own.
    keys: [String; 2],
    limits: [u64; 3],
    place: Mutex<Place>,
}

/// How far our inbox is read.
#[derive(Clone, Debug, Default)]
struct Place {
    /// Of the inbox that was met, if any was.
    token: Option<Vec<u8>>,
    last: Id,
    /// Bytes up to there.
    read: u64,
    /// What was read since it was last said.
    news: bool,
    /// Whether the inbox is still the one that was met, as far as is known.
    sure: bool,
}

impl InRedis {
    fn new(redis: Redis, node: &str, settings: &Settings) -> Self {
        let scripts = Scripts::new();
        let timeout = settings.presence.command_timeout;
        let namespace = settings.presence.namespace.clone();
        let life = settings.presence.dead + OUTLIVES;
        let number = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        Self {
            link: Link::new(redis.clone(), scripts.all(), timeout),
            reader: Link::new(redis, scripts.all(), BLOCK + timeout),
            scripts,
            keys: keys(&namespace, node),
            namespace,
            limits: [
                number(settings.bus.inbox_entries),
                number(settings.bus.inbox_bytes),
                u64::try_from(life.as_millis()).unwrap_or(u64::MAX),
            ],
            place: Mutex::default(),
        }
    }

    async fn keep(&self, link: &Link) -> Result<Kept, StoreError> {
        let mut keep = self.scripts.keep.on(&self.keys);
        keep.arg(random_id()).arg(&self.limits);
        parse::kept(link.call(keep).await?)
    }

    async fn try_read(&self) -> Result<Vec<Bytes>, StoreError> {
        let place = self.place.lock().clone();
        if !place.sure {
            let kept = self.keep(&self.reader).await?;
            self.place.lock().meet(kept);
            // That it is reached again is news, even if nothing has come.
            return Ok(Vec::new());
        }
        let calls = self.calls(&place);
        // What is before the last one says how far the inbox is read: the next read says it again.
        let results = self.reader.call_all(calls).await?;
        let result = results.into_iter().next_back();
        let items = parse::read(result.ok_or_else(parse::nonsense)??)?;
        Ok(self.place.lock().take(items))
    }

    async fn close_over(&self, link: &Link) -> Result<Vec<Bytes>, StoreError> {
        let mut close = self.scripts.close.on(&self.keys);
        close.arg(self.place.lock().last.to_string());
        let rest = parse::range(link.call(close).await?)?;
        Ok(self.place.lock().take(rest))
    }

    fn calls(&self, place: &Place) -> Vec<Cmd> {
        let [stream, hash] = &self.keys;
        let mut calls = Vec::with_capacity(3);
        if place.news {
            let mut trim = cmd("XTRIM");
            trim.arg(stream)
                .arg("MINID")
                .arg(place.last.next().to_string());
            let mut say = cmd("HSET");
            say.arg(hash).arg("read").arg(place.read);
            calls.extend([trim, say]);
        }
        let mut read = cmd("XREAD");
        read.arg("BLOCK").arg(BLOCK.as_millis() as u64);
        read.arg("COUNT").arg(COUNT);
        read.arg("STREAMS").arg(stream).arg(place.last.to_string());
        calls.push(read);
        calls
    }
}

fn keys(namespace: &str, node: &str) -> [String; 2] {
    ["in", "count"].map(|name| format!("{{{namespace}:b:{node}}}:{name}"))
}

impl Place {
    /// Compares the inbox that is there with the one that was read.
    fn meet(&mut self, kept: Kept) {
        let same = self.token.as_ref() == Some(&kept.token);
        // A copy that had not got everything has taken over. What is read again is known.
        let complete = kept.last >= self.last;
        if !(same && complete) {
            self.last = Id::default();
            self.read = kept.read;
            self.news = false;
        }
        self.token = Some(kept.token);
        self.sure = true;
    }

    /// Goes on behind what was read.
    fn take(&mut self, items: Vec<Item>) -> Vec<Bytes> {
        // Who hears nothing for a while asks whether his inbox is there.
        self.sure = !items.is_empty();
        self.news = !items.is_empty();
        let mut entries = Vec::with_capacity(items.len());
        for item in items {
            self.last = item.id;
            match item.kind {
                Kind::Entry(entry) => {
                    self.read += entry.len() as u64;
                    entries.push(entry);
                }
                Kind::Hello(token) => {
                    if self.token.as_ref() != Some(&token) {
                        self.token = Some(token);
                        self.read = 0;
                    }
                }
                // It is told as what it is: no entry.
                Kind::Nonsense => entries.push(Bytes::new()),
            }
        }
        entries
    }
}

impl Inboxes for InRedis {
    fn renew(&self) -> Later<'_, ()> {
        Box::pin(async {
            let kept = self.keep(&self.link).await;
            if kept.is_err() {
                self.link.reconnect();
            }
            kept.map(drop)
        })
    }

    fn append<'a>(&'a self, to: &'a str, entry: Bytes) -> Later<'a, Appended, Failed> {
        Box::pin(async move {
            let mut append = self.scripts.append.on(&keys(&self.namespace, to));
            append.arg(&*entry);
            match self.link.call_once(&append).await {
                Ok(Value::Int(0)) => Ok(Appended::Gone),
                Ok(Value::Int(1)) => Ok(Appended::Done),
                Ok(Value::Int(2)) => Ok(Appended::Full),
                Ok(_) => Err(Failed::Perhaps(parse::nonsense())),
                Err(CallError::Surely(error)) => Err(Failed::Surely(error)),
                Err(CallError::Perhaps(error)) => Err(Failed::Perhaps(error)),
            }
        })
    }

    fn read(&self) -> Later<'_, Vec<Bytes>> {
        Box::pin(async {
            let read = self.try_read().await;
            if read.is_err() {
                self.place.lock().sure = false;
                self.reader.reconnect();
            }
            read
        })
    }

    fn close(&self) -> Later<'_, Vec<Bytes>> {
        Box::pin(async {
            let sure = self.place.lock().sure;
            let mut rest = self.close_over(&self.link).await?;
            if !sure {
                // A read that nobody waits for any more may be about to make it anew.
                rest.extend(self.close_over(&self.reader).await.unwrap_or_default());
            }
            Ok(rest)
        })
    }
}

/// Inboxes of this kind, for a node.
pub(in crate::bus) fn open(redis: Redis, node: &str, settings: &Settings) -> Arc<dyn Inboxes> {
    Arc::new(InRedis::new(redis, node, settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        let read = Value::Array(vec![
            Value::SimpleString("token".into()),
            Value::Int(0),
            Value::SimpleString(text.into()),
        ]);
        parse::kept(read).unwrap().last
    }

    fn kept(token: &str, read: u64, last: &str) -> Kept {
        Kept {
            token: token.into(),
            read,
            last: id(last),
        }
    }

    fn hello(at: &str, token: &str) -> Item {
        Item {
            id: id(at),
            kind: Kind::Hello(token.into()),
        }
    }

    fn entry(at: &str, entry: &'static str) -> Item {
        Item {
            id: id(at),
            kind: Kind::Entry(entry.into()),
        }
    }

    /// Has read three bytes of an inbox, up to the id `3-0`.
    fn place() -> Place {
        let mut place = Place::default();
        place.meet(kept("one", 0, "1-0"));
        assert_eq!(place.take(vec![hello("1-0", "one")]), [""; 0]);
        assert_eq!(place.take(vec![entry("3-0", "abc")]), ["abc"]);
        assert_eq!((place.last, place.read), (id("3-0"), 3));
        place
    }

    #[test]
    fn an_inbox_that_is_still_there_is_read_on() {
        for last in ["3-0", "9-0"] {
            let mut place = place();
            place.sure = false;
            place.meet(kept("one", 0, last));
            assert_eq!((place.last, place.read), (id("3-0"), 3), "{last}");
            assert!(place.sure && place.news, "it is still to be said");
        }
    }

    #[test]
    fn another_inbox_and_a_copy_that_lacks_something_are_read_from_their_beginning() {
        for met in [kept("two", 2, "9-0"), kept("one", 2, "2-0")] {
            let mut place = place();
            place.meet(met.clone());
            assert_eq!((place.last, place.read), (Id::default(), 2), "{met:?}");
            assert!(place.sure && !place.news);
            assert_eq!(place.token.as_ref(), Some(&met.token));

            // It is the one that was met from now on.
            place.take(vec![entry("5-0", "d")]);
            place.meet(kept(std::str::from_utf8(&met.token).unwrap(), 0, "9-0"));
            assert_eq!((place.last, place.read), (id("5-0"), 3), "{met:?}");
        }
    }

    #[test]
    fn an_inbox_that_begins_under_the_reader_is_counted_from_its_beginning() {
        let mut place = place();
        let items = vec![entry("4-0", "de"), hello("5-0", "two"), entry("6-0", "f")];
        assert_eq!(place.take(items), ["de", "f"]);
        assert_eq!((place.last, place.read), (id("6-0"), 1));
        place.take(vec![hello("7-0", "two")]);
        assert_eq!(place.read, 1, "it is known");
        place.meet(kept("two", 0, "7-0"));
        assert_eq!(place.last, id("7-0"));
    }

    #[test]
    fn who_hears_nothing_is_no_longer_sure() {
        let mut place = place();
        assert!(place.sure && place.news);
        place.take(Vec::new());
        assert!(!place.sure && !place.news);
        place.meet(kept("one", 3, "3-0"));
        assert!(place.sure);
    }
}
