//! One node's calls to another one, attempt by attempt.

use std::time::Instant;

use tokio::sync::oneshot;

use super::cast::{say, text};
use crate::{
    bus::{
        Answer, Refused, Unreached,
        core::{Core, Step},
        entry::{self, Item},
        inboxes::{Appended, Failed},
    },
    error::StoreError,
    presence::Life,
};

pub(super) const BACKLOG: usize = 2048;

/// A call of this file takes less than a third of it.
pub(super) const ENTRY: usize = 256;

pub(super) const LIVES: fn(&str) -> Life = |_| Life::Live;

/// One node's calls to another one.
pub(super) struct Line {
    pub(super) core: Core,
    pub(super) now: Instant,
}

impl Line {
    pub(super) fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "time has to begin somewhere")]
        let now = Instant::now();
        let core = Core::new("a", BACKLOG).with_entry(ENTRY);
        Self { core, now }
    }

    pub(super) fn post(&mut self, what: &str) -> Result<(), Refused> {
        self.core.post(self.now, "b", &say(what))
    }

    /// A call that somebody waits for.
    pub(super) fn ask(
        &mut self,
        what: &str,
    ) -> (u64, oneshot::Receiver<Result<Answer, Unreached>>) {
        let (waiter, answer) = oneshot::channel();
        let asked = self.core.ask(self.now, "b", &say(what), waiter);
        (asked.unwrap(), answer)
    }

    /// What leaves now.
    pub(super) fn next(&mut self) -> Option<Vec<String>> {
        let entry = self.core.next(self.now, "b", &LIVES)?;
        let (_, rest) = entry::head(&entry).unwrap();
        let calls = entry::items(rest).unwrap().into_iter().map(|item| {
            let Item::Call(_, call) = item else {
                panic!("{item:?}")
            };
            text(&call)
        });
        Some(calls.collect())
    }

    pub(super) fn fail(&mut self, how: fn(StoreError) -> Failed) {
        let failed = Err(how(StoreError::Unreachable("away".into())));
        assert_eq!(self.core.settle("b", &failed, &LIVES), Step::BackOff);
    }

    pub(super) fn done(&mut self) {
        let done = Ok(Appended::Done);
        assert_eq!(self.core.settle("b", &done, &LIVES), Step::Next);
    }
}
