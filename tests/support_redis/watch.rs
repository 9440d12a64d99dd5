//! Somebody who asks for one session all the time.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::client::Client;
use super::find::Find;
use super::{LOOK, until};

/// One question and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) asked: Instant,
    pub(crate) answered: Instant,
    pub(crate) find: Find,
}

/// Asks until it is dropped or stopped.
#[derive(Debug)]
pub(crate) struct Watch {
    looks: Arc<Mutex<Vec<Look>>>,
    task: JoinHandle<io::Error>,
}

impl Watch {
    /// Starts to ask for a session through a client that does nothing else.
    pub(crate) fn start(observer: Client, account: &str, session: &str) -> Self {
        Self::every(LOOK, observer, account, session)
    }

    /// The same at a pace of its own.
    pub(crate) fn every(pace: Duration, observer: Client, account: &str, session: &str) -> Self {
        let looks = Arc::default();
        let task = ask(
            pace,
            observer,
            account.to_owned(),
            session.to_owned(),
            Arc::clone(&looks),
        );
        Self {
            looks,
            task: tokio::spawn(task),
        }
    }

    /// Waits for an answer to a question that was asked after a moment.
    #[track_caller]
    pub(crate) fn until(
        &self,
        since: Instant,
        find: impl Fn(&Find) -> bool,
    ) -> impl Future<Output = Look> {
        until("an answer of find", async move || {
            assert!(!self.task.is_finished(), "the observer's connection ended");
            let looks = self.lock();
            let after = looks.iter().skip_while(|look| look.asked < since);
            after.into_iter().find(|look| find(&look.find)).cloned()
        })
    }

    /// All answers so far.
    pub(crate) fn looks(&self) -> Vec<Look> {
        self.lock().clone()
    }

    /// Checks that the session was never said to be gone, and every answer came in time.
    #[track_caller]
    pub(crate) fn assert_never_lost(&self, slowest: Duration) {
        let looks = self.lock();
        let (first, last) = (looks.first(), looks.last());
        let began = first.expect("an answer").asked;
        for look in looks.iter() {
            let at = look.asked - began;
            assert_ne!(look.find, Find::NotFound, "a false answer after {at:?}");
            let took = look.answered - look.asked;
            assert!(took <= slowest, "an answer took {took:?}, after {at:?}");
        }
        let silent = last.expect("an answer").answered.elapsed();
        assert!(silent <= slowest, "no answer for {silent:?}");
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Look>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn ask(
    pace: Duration,
    mut observer: Client,
    account: String,
    session: String,
    looks: Arc<Mutex<Vec<Look>>>,
) -> io::Error {
    let mut pace = tokio::time::interval(pace);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let asked = Instant::now();
        match observer.find(&account, &session).await {
            Ok(find) => {
                let answered = Instant::now();
                let look = Look {
                    asked,
                    answered,
                    find,
                };
                looks
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(look);
            }
            Err(error) => return error,
        }
    }
}
