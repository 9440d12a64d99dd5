use std::{fmt, panic::Location, time::Duration};

use serde_json::Value;
use tokio::time::timeout;

use super::{Client, Disconnected, Received, Report};

/// Where an expectation was written.
pub(super) type Caller = &'static Location<'static>;

/// What a client expects to receive.
impl Client {
    /// Whatever comes next.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, nothing is lost; so it is with all expectations but [`ask`](Self::ask).
    #[track_caller]
    pub fn receive(&mut self) -> impl Future<Output = Received> {
        let caller = Location::caller();
        async move { self.following("anything", caller).await }
    }

    /// Expects an event of that name and gives back its arguments, an array.
    #[track_caller]
    pub fn expect_event(&mut self, event: &str) -> impl Future<Output = Value> {
        let caller = Location::caller();
        self.expect_event_at(event, caller)
    }

    /// Expects to be told of a refused message: `error::json`, `error::invalid`,
    /// `error::validation` or `error::handler`.
    #[track_caller]
    pub fn expect_refusal(&mut self, name: &str) -> impl Future<Output = Report> {
        let caller = Location::caller();
        async move {
            let args = self.expect_event_at(name, caller).await;
            Report::new(name.to_owned(), &args)
        }
    }

    /// Expects that nothing comes for so long. Under a paused clock that is over at once.
    #[track_caller]
    pub fn expect_nothing(&mut self, during: Duration) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            let received = match self.aside.pop_front() {
                Some(received) => Ok(received),
                None => timeout(during, self.arrival()).await,
            };
            if let Ok(received) = received {
                fail("nothing", received, caller);
            }
        }
    }

    /// Expects that the connection ends, without another message before.
    #[track_caller]
    pub fn disconnected(&mut self) -> impl Future<Output = Disconnected> {
        let caller = Location::caller();
        async move {
            match self.following("the end of the connection", caller).await {
                Received::Disconnected(how) => how,
                other => fail("the end of the connection", other, caller),
            }
        }
    }

    async fn expect_event_at(&mut self, event: &str, caller: Caller) -> Value {
        let what = format!("the event `{event}`");
        match self.following(&what, caller).await {
            Received::Event { name, args } if name == event => args,
            other => fail(&what, other, caller),
        }
    }

    /// The oldest that nobody asked for.
    async fn following(&mut self, what: &str, caller: Caller) -> Received {
        match self.aside.pop_front() {
            Some(received) => received,
            None => self.arrival_in_time(what, caller).await,
        }
    }

    pub(super) async fn arrival_in_time(&mut self, what: &str, caller: Caller) -> Received {
        let patience = self.dial.patience;
        let Ok(received) = timeout(patience, self.arrival()).await else {
            panic!("expected {what}, and nothing came within {patience:?} (at {caller})");
        };
        received
    }

    /// What comes next from the server, however long that takes.
    async fn arrival(&mut self) -> Received {
        if let Some(how) = &self.ended {
            return Received::Disconnected(how.clone());
        }
        let received = self.incoming.recv().await;
        let received = received.unwrap_or(Received::Disconnected(Disconnected::Lost));
        if let Received::Disconnected(how) = &received {
            self.ended = Some(how.clone());
        }
        received
    }
}

pub(super) fn fail(what: &str, received: impl fmt::Display, caller: Caller) -> ! {
    panic!("expected {what}, received {received} (at {caller})")
}
