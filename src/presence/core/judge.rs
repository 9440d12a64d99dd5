use std::{collections::HashMap, sync::Arc, time::Instant};

use super::{
    super::{
        job::{Lookup, commitment},
        keys::bucket,
        liveness::Verdict,
        types::{Census, Find, Located},
        value::Entry,
    },
    Change, Core,
};

/// What to make of what was read.
impl Core {
    /// The answer to `find`, or nothing when more has to be read.
    pub(in crate::presence) fn judge(
        &mut self,
        now: Instant,
        account: &str,
        lookup: &Lookup,
        full: bool,
    ) -> (Option<Find>, Option<Change>) {
        let mut nonsense = None;
        if let Some((session, value)) = lookup.entries.first() {
            match Entry::parse(value) {
                Some(entry) => match self.owner(now, &entry) {
                    Owner::Lives => return (Some(Find::Found((*entry.node).into())), None),
                    Owner::Unknown => return (Some(Find::Uncertain), None),
                    Owner::Gone => self.meet_ghost(account, session, &entry, value),
                },
                None => {
                    let name = format!("entry of {account:?}, session {session:?}");
                    nonsense = Some(Change::Nonsense(name));
                    return (Some(Find::Uncertain), nonsense);
                }
            }
        }
        if !full {
            return (None, nonsense);
        }
        let find = if self.knows_all(now, account, lookup) {
            Find::NotFound
        } else {
            Find::Uncertain
        };
        (Some(find), nonsense)
    }

    pub(in crate::presence) fn judge_account(
        &mut self,
        now: Instant,
        account: &str,
        lookup: &Lookup,
    ) -> (Census, Vec<Change>) {
        let own = self.directory.of_account(account);
        let mut found: HashMap<String, (Arc<str>, Option<u64>)> = HashMap::new();
        let mut complete = self.knows_all(now, account, lookup);
        let mut nonsense = Vec::new();
        for (session, value) in &lookup.entries {
            let Some(entry) = Entry::parse(value) else {
                let name = format!("entry of {account:?}, session {session:?}");
                nonsense.push(Change::Nonsense(name));
                complete = false;
                continue;
            };
            match self.owner(now, &entry) {
                Owner::Lives => {
                    found.insert(session.clone(), (entry.node, Some(entry.generation)));
                }
                Owner::Unknown => complete = false,
                Owner::Gone => self.meet_ghost(account, session, &entry, value),
            }
        }
        for (user, generation) in own {
            let here = (Arc::clone(&self.node), generation);
            found.insert(user.session().to_owned(), here);
        }
        let found = found.into_iter().map(|(session, (node, generation))| {
            let located = Located {
                session: session.into(),
                node: (*node).into(),
            };
            (located, generation)
        });
        let sessions = found.collect();
        (Census { sessions, complete }, nonsense)
    }

    fn meet_ghost(&mut self, account: &str, session: &str, entry: &Entry, value: &str) {
        let ours = entry.node == self.node && entry.epoch < self.epoch;
        if ours || self.liveness.has_left(&entry.node, entry.epoch) {
            self.directory.meet_ghost(account, session, value);
        }
    }

    fn owner(&mut self, now: Instant, entry: &Entry) -> Owner {
        if entry.node == self.node {
            // It would have been found in the directory.
            return Owner::Gone;
        }
        if !self.liveness.is_current(now) {
            return Owner::Unknown;
        }
        match self.liveness.verdict(&entry.node, now) {
            Some(Verdict::Live { epoch }) if entry.epoch >= epoch => Owner::Lives,
            Some(Verdict::Live { .. }) => Owner::Gone,
            Some(Verdict::Dead { epoch }) if entry.epoch <= epoch => Owner::Gone,
            // It came back just now.
            Some(Verdict::Dead { .. }) => {
                self.liveness.handle_rumour(&entry.node, entry.epoch);
                Owner::Unknown
            }
            Some(Verdict::Suspect) => Owner::Unknown,
            None => {
                self.liveness.handle_rumour(&entry.node, entry.epoch);
                self.stranger = true;
                Owner::Unknown
            }
        }
    }

    /// Whether what is not in the store is nowhere.
    fn knows_all(&self, now: Instant, account: &str, lookup: &Lookup) -> bool {
        let Some(marker) = &lookup.marker else {
            return false;
        };
        let own = self.directory.complete_under(bucket(account));
        if !self.is_settled(now) || own.is_none_or(|own| **own != **marker) {
            return false;
        }
        let has_written = |node: &str, epoch: u64| {
            let commitment = commitment(marker, epoch);
            let mut written = lookup.written.iter();
            written.any(|(writer, under)| writer == node && *under == commitment)
        };
        self.liveness
            .present(now)
            .all(|(node, lease, verdict)| match verdict {
                Verdict::Live { epoch } => has_written(node, epoch),
                Verdict::Suspect => false,
                Verdict::Dead { .. } => lease.dead,
            })
    }
}

enum Owner {
    Lives,
    Gone,
    Unknown,
}
