use std::{sync::Arc, time::Duration};

use deadpool_redis::redis::{Cmd, Value, cmd};

use super::{
    answers::answers,
    parse,
    scripts::Scripts,
    write::{Writer, steps},
};
use crate::{
    error::StoreError,
    ids::random_id,
    presence::{
        core::CHECKS,
        job::{Beat, Job, Lookup, Table, Terms},
        keys::{Keys, bucket, parse_member},
        liveness::Corpse,
        store::{Later, Reaped, Store, Written},
        value::Lease,
    },
    redis::{Link, Redis, Script},
};

/// How long one node's claim to clear up after another one lasts, in milliseconds.
const CLAIM: u64 = 10_000;

/// Evictions wait no longer than this for a node to fetch them, in seconds.
const EVICTIONS: u64 = 60;

/// So long it is remembered who follows whom, in seconds, unless it is said again.
const FOLLOWS: u64 = 120;

/// Sessions that are removed in one step.
const REAP: u64 = 200;

/// Buckets that are looked at with each heartbeat where one server has them all: that it lost
/// everything, the heartbeat itself finds out.
const TOGETHER: u8 = 4;

/// This part of the command timeout is left for clocks that do not run alike.
const DRIFT: u32 = 16;

/// The directory in Redis.
struct RedisStore {
    link: Link,
    /// On a Cluster heartbeats have a connection of their own, and so has what is asked of a lost
    /// master, because that can come to stall everything on the same connection.
    beating: Option<Link>,
    probing: Link,
    scripts: Scripts,
    keys: Keys,
    writer: Writer,
}

impl RedisStore {
    fn new(redis: Redis, namespace: &str, timeout: Duration, terms: Terms) -> Self {
        let scripts = Scripts::new();
        let keys = Keys::new(namespace);
        let latest = timeout - timeout / DRIFT;
        let link = || Link::new(redis.clone(), scripts.all(), timeout);
        let main = link();
        Self {
            beating: main.is_cluster().then(link),
            probing: link(),
            link: main,
            writer: Writer::new(scripts.write.clone(), keys.clone(), latest, terms),
            scripts,
            keys,
        }
    }

    /// What the three keys of an account have to say.
    fn on_account(&self, script: &Script, account: &str) -> Cmd {
        let bucket = bucket(account);
        let keys = [
            self.keys.account(account),
            self.keys.marker(bucket),
            self.keys.written(bucket),
        ];
        script.on(&keys)
    }

    /// After a failover, say, a connection may be bound to a server that is none any more.
    fn reconnect(&self) {
        self.link.reconnect();
        self.beating.as_ref().inspect(|link| link.reconnect());
    }

    async fn write_over(
        &self,
        link: &Link,
        node: &str,
        jobs: &[Job],
    ) -> Result<Written, StoreError> {
        let together = !link.is_cluster();
        let steps = steps(jobs, together);
        let call = |step: &Vec<_>| self.writer.call(node, step, together);
        let calls = steps.iter().map(call);
        let values = link.call_all(calls.collect()).await?;
        if values.len() != steps.len() {
            return Err(parse::nonsense());
        }
        let mut written: Vec<_> = jobs.iter().map(|_| Err(parse::nonsense())).collect();
        for (step, value) in steps.iter().zip(values) {
            for ((place, _), reply) in step.iter().zip(answers(step, value)) {
                written[*place] = reply;
            }
        }
        let lost = written.iter().find_map(|reply| match reply {
            Err(error @ StoreError::Unreachable(_)) => Some(error.clone()),
            _ => None,
        });
        if let Some(error) = lost.filter(|_| together) {
            // A server that says so of one is not to be relied on for the others.
            link.reconnect();
            return Err(error);
        }
        Ok(written)
    }

    async fn replace(&self, node: &str, seen: &str, new: &str) -> Result<bool, StoreError> {
        let mut replace = self.scripts.replace.on(&[self.keys.leases()]);
        replace.arg(node).arg(seen).arg(new);
        Ok(parse::number(self.link.call(replace).await?)? == 1)
    }

    async fn reap_some(
        &self,
        node: &str,
        epoch: u64,
        bucket: u8,
        cursor: u64,
    ) -> Result<Reaped, StoreError> {
        let index = self.keys.index(bucket, node);
        let mut scan = cmd("SSCAN");
        scan.arg(&index).arg(cursor).arg("COUNT").arg(REAP);
        let (next, members) = parse::scan(self.link.call(scan).await?)?;
        let known: Vec<(&str, &str, &String)> = members
            .iter()
            .filter_map(|member| {
                let (account, session) = parse_member(member)?;
                Some((account, session, member))
            })
            .collect();
        let mut keys = vec![index, self.keys.written(bucket)];
        keys.extend(
            known
                .iter()
                .map(|(account, _, _)| self.keys.account(account)),
        );
        let mut reap = self.scripts.reap.on(&keys);
        reap.arg(node).arg(epoch);
        for (_, session, member) in &known {
            reap.arg(session).arg(member);
        }
        let removed = parse::removed(self.link.call(reap).await?)?;
        Ok((removed, next))
    }
}

impl Store for RedisStore {
    fn beat<'a>(&'a self, node: &'a str, beat: &'a Beat) -> Later<'a, Table> {
        Box::pin(async move {
            let keys = [self.keys.leases(), self.keys.evictions(node)];
            let mut call = self.scripts.beat.on(&keys);
            call.arg(node)
                .arg(beat.lease.encode())
                .arg(beat.lease.epoch);
            call.arg(u8::from(beat.register));
            let link = self.beating.as_ref().unwrap_or(&self.link);
            let called = link.call(call).await;
            parse::table(called.inspect_err(|_| self.reconnect())?)
        })
    }

    fn write<'a>(&'a self, node: &'a str, jobs: &'a [Job]) -> Later<'a, Written> {
        Box::pin(self.write_over(&self.link, node, jobs))
    }

    fn probe<'a>(&'a self, node: &'a str, jobs: &'a [Job]) -> Later<'a, Written> {
        Box::pin(async move {
            let written = self.write_over(&self.probing, node, jobs).await;
            // It is not needed any more, or is not bound to where it should be.
            self.probing.disconnect();
            written
        })
    }

    fn find<'a>(&'a self, account: &'a str, session: &'a str, full: bool) -> Later<'a, Lookup> {
        Box::pin(async move {
            let mut find = self.on_account(&self.scripts.find, account);
            find.arg(session).arg(u8::from(full));
            parse::found(session, self.link.call(find).await?)
        })
    }

    fn sessions<'a>(&'a self, account: &'a str) -> Later<'a, Lookup> {
        Box::pin(async move {
            let read = self.on_account(&self.scripts.sessions, account);
            parse::sessions(self.link.call(read).await?)
        })
    }

    fn checks(&self) -> u8 {
        if self.link.is_cluster() {
            CHECKS
        } else {
            TOGETHER
        }
    }

    fn lossy_setting(&self) -> Later<'_, Option<String>> {
        Box::pin(async move {
            // It says the same as CONFIG, which not everybody may ask.
            let mut info = cmd("INFO");
            info.arg("memory");
            Ok(parse::lossy_setting(&self.link.call(info).await?))
        })
    }

    fn evict<'a>(&'a self, node: &'a str, evictions: &'a [String]) -> Later<'a, ()> {
        Box::pin(async move {
            let key = self.keys.evictions(node);
            let mut push = cmd("RPUSH");
            push.arg(&key).arg(evictions);
            let mut expire = cmd("EXPIRE");
            expire.arg(&key).arg(EVICTIONS);
            for done in self.link.call_all(vec![push, expire]).await? {
                done?;
            }
            Ok(())
        })
    }

    fn claim<'a>(&'a self, by: &'a str, node: &'a str) -> Later<'a, bool> {
        Box::pin(async move {
            let mut claim = cmd("SET");
            claim.arg(self.keys.claim(node)).arg(by);
            claim.arg("NX").arg("PX").arg(CLAIM);
            Ok(self.link.call(claim).await? != Value::Nil)
        })
    }

    fn bury<'a>(&'a self, corpse: &'a Corpse) -> Later<'a, bool> {
        Box::pin(async move {
            let (seen, new) = (corpse.row(), corpse.tombstone());
            self.replace(&corpse.node, &seen, &new).await
        })
    }

    fn reap<'a>(&'a self, node: &'a str, epoch: u64, bucket: u8, cursor: u64) -> Later<'a, Reaped> {
        Box::pin(self.reap_some(node, epoch, bucket, cursor))
    }

    fn forget<'a>(&'a self, corpse: &'a Corpse) -> Later<'a, ()> {
        Box::pin(async move {
            let seen = corpse.tombstone();
            self.replace(&corpse.node, &seen, "").await.map(drop)
        })
    }

    fn follow<'a>(&'a self, account: &'a str, pairs: &'a [String], on: bool) -> Later<'a, ()> {
        Box::pin(async move {
            let keys = [
                self.keys.follows(account),
                self.keys.marker(bucket(account)),
            ];
            let mut follow = self.scripts.follow.on(&keys);
            follow.arg(u8::from(on)).arg(FOLLOWS);
            follow.arg(random_id()).arg(pairs);
            self.link.call(follow).await.map(drop)
        })
    }

    fn leave<'a>(&'a self, node: &'a str, last: &'a Lease) -> Later<'a, ()> {
        Box::pin(async move {
            let mut leave = cmd("HSET");
            leave.arg(self.keys.leases()).arg(node).arg(last.encode());
            self.link.call(leave).await?;
            Ok(())
        })
    }
}

/// A store of this kind, for a node.
pub(in crate::presence) fn open(
    redis: Redis,
    namespace: &str,
    timeout: Duration,
    terms: Terms,
) -> Arc<dyn Store> {
    Arc::new(RedisStore::new(redis, namespace, timeout, terms))
}
