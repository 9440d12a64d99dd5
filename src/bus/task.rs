use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::{sleep, timeout};

use super::{
    Asker, Deliver, Refused,
    core::Step,
    entry::{self, Item},
    handle::{Shared, now},
    line::Use,
    marks::Verdict,
};
use crate::notice::Notice;

/// From the first failure to the next attempt.
const MIN_BACKOFF: Duration = Duration::from_millis(50);

/// The longest time between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// The task that carries one node's calls to the others, and theirs to it.
///
/// It never ends because of the transport; it ends when the last handle is gone, or
/// [`finish`](super::Bus::finish) is called, after it has answered what was left in the inbox.
#[must_use = "nothing comes or goes until `run` is polled"]
pub(crate) struct BusTask {
    shared: Arc<Shared>,
}

impl BusTask {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) async fn run(self, deliver: Arc<dyn Deliver>) {
        let mut ending = self.shared.ending.subscribe();
        let mut writes = pin!(self.writes());
        // What one read brings is delivered before its answers leave.
        tokio::select! {
            biased;
            _ = ending.wait_for(|ending| *ending) => {}
            () = self.reads(&*deliver) => {}
            () = &mut writes => {}
            () = self.keeps() => {}
        }
        self.shared.core.lock().begin_close();
        let leave = timeout(self.shared.patience, self.leave());
        tokio::select! {
            // Who hears nothing knows by its deadline that it does not know.
            _ = leave => {}
            () = writes => {}
        }
    }

    /// Keeps the inbox, and looks for who has died.
    async fn keeps(&self) {
        let mut backoff = MIN_BACKOFF;
        loop {
            let kept = self.shared.inboxes.renew().await;
            self.look_around();
            let wait = match kept {
                Ok(()) => {
                    backoff = MIN_BACKOFF;
                    self.shared.regain(Use::Keeping);
                    self.shared.lease
                }
                Err(error) => {
                    self.shared.lose(Use::Keeping, &error);
                    next(&mut backoff)
                }
            };
            sleep(wait).await;
        }
    }

    fn look_around(&self) {
        let lives = &*self.shared.lives;
        self.shared.core.lock().look_around(now(), &lives);
        self.shared.marks.lock().look_around(now(), &lives);
    }

    async fn reads(&self, deliver: &dyn Deliver) {
        let mut backoff = MIN_BACKOFF;
        loop {
            match self.shared.inboxes.read().await {
                Ok(entries) => {
                    backoff = MIN_BACKOFF;
                    self.shared.regain(Use::Reading);
                    for entry in &entries {
                        self.receive(entry, Some(deliver));
                    }
                }
                Err(error) => {
                    self.shared.lose(Use::Reading, &error);
                    sleep(next(&mut backoff)).await;
                }
            }
        }
    }

    /// Takes an entry; without anybody to deliver it to, it is refused.
    fn receive(&self, entry: &Bytes, deliver: Option<&dyn Deliver>) {
        let (head, rest) = match entry::head(entry) {
            Ok(entry) => entry,
            Err(error) => return self.invalid(format!("an entry: {error}")),
        };
        let verdict = self.shared.marks.lock().handle(now(), &head);
        let Verdict::New { from, missed } = verdict else {
            return;
        };
        self.shared.metrics.entry_received(entry.len());
        if missed > 0 {
            let node = (*from).into();
            self.shared.notices.post(Notice::BusGap { node, missed });
        }
        match entry::items(rest) {
            Ok(items) => {
                for item in items {
                    self.take(&from, item, deliver);
                }
            }
            Err(error) => self.invalid(format!("an entry of {from}: {error}")),
        }
    }

    fn take(&self, from: &Arc<str>, item: Item, deliver: Option<&dyn Deliver>) {
        match item {
            Item::Call(id, call) => {
                let asker = Asker::new(Arc::clone(&self.shared), Arc::clone(from), id);
                match deliver {
                    Some(deliver) => deliver.deliver(from, call, asker),
                    None => asker.refuse(Refused::Closing),
                }
            }
            Item::Answer(id, answer) => {
                self.shared.core.lock().handle_answer(from, id, answer);
            }
        }
    }

    fn invalid(&self, what: String) {
        self.shared.notices.post(Notice::BusInvalid { what });
    }

    async fn writes(&self) {
        let mut flushes = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = self.shared.news.notified() => {}
                Some(()) = flushes.next() => {}
            }
            let ready = self.shared.core.lock().take_ready();
            flushes.extend(ready.into_iter().map(|to| self.flush(to)));
        }
    }

    /// Writes to one node until nothing is left for it.
    async fn flush(&self, to: Arc<str>) {
        let shared = &*self.shared;
        let lives = &*shared.lives;
        let mut backoff = MIN_BACKOFF;
        loop {
            let next_entry = shared.core.lock().next(now(), &to, &lives);
            let Some(entry) = next_entry else {
                break;
            };
            let bytes = entry.len();
            let result = shared.inboxes.append(&to, entry).await;
            let step = shared.core.lock().settle(&to, &result, &lives);
            match &result {
                Ok(_) => {
                    shared.metrics.entry_sent(bytes);
                    shared.regain(Use::Writing);
                }
                Err(failed) => shared.lose(Use::Writing, failed),
            }
            match step {
                Step::Next => backoff = MIN_BACKOFF,
                Step::Full => {
                    let node = (*to).into();
                    shared.notices.post(Notice::BusFull { node });
                }
                Step::BackOff => sleep(next(&mut backoff)).await,
            }
        }
        shared.sent.notify_one();
    }

    /// Answers what is left, and sends the last answers.
    async fn leave(&self) {
        // What cannot be read any more is lost with this node.
        let rest = self.shared.inboxes.close().await.unwrap_or_default();
        for entry in &rest {
            self.receive(entry, None);
        }
        while !self.shared.core.lock().is_sent() {
            self.shared.sent.notified().await;
        }
    }
}

impl Shared {
    fn lose(&self, by: Use, error: &dyn std::error::Error) {
        let news = self.line.lock().lose(by);
        if news {
            let error = error.to_string();
            self.notices.post(Notice::BusOffline { error });
        }
    }

    fn regain(&self, by: Use) {
        let failing = || self.core.lock().is_failing();
        let news = self.line.lock().regain(by, failing);
        if news {
            self.notices.post(Notice::BusOnline);
        }
    }
}

/// How long to wait now; the next time longer.
fn next(backoff: &mut Duration) -> Duration {
    let wait = *backoff;
    *backoff = (*backoff * 2).min(MAX_BACKOFF);
    wait
}

impl Drop for BusTask {
    /// It is gone, however it went, and even if it never ran.
    fn drop(&mut self) {
        self.shared.core.lock().end();
        self.shared.ended.send_replace(true);
    }
}

impl std::fmt::Debug for BusTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BusTask").finish_non_exhaustive()
    }
}
