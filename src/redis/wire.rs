use std::{sync::Arc, time::Duration};

use deadpool_redis::redis::RedisResult;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use tokio::time::timeout;

/// Makes a connection, some day.
pub(super) type Make<C> = Arc<dyn Fn() -> BoxFuture<'static, RedisResult<C>> + Send + Sync>;

/// A connection, and which one it is of all that there were. Clones share it.
#[derive(Clone)]
pub(super) struct Numbered<C> {
    pub(super) connection: C,
    #[cfg_attr(
        not(feature = "redis-cluster"),
        expect(dead_code, reason = "a connection to one server is given up at once")
    )]
    number: u64,
}

/// One connection, taken out of a pool, and made anew when it breaks.
pub(super) struct Wire<C> {
    make: Make<C>,
    /// How long that may take.
    patience: Duration,
    state: Mutex<State<C>>,
}

struct State<C> {
    phase: Phase<C>,
    number: u64,
    /// Calls in a row that were not answered.
    #[cfg(feature = "redis-cluster")]
    unanswered: u32,
}

enum Phase<C> {
    Idle,
    Connecting(Connecting<C>),
    Ready(C),
}

type Connecting<C> = Shared<BoxFuture<'static, RedisResult<C>>>;

/// After more calls in a row without an answer, a connection to a Cluster is given up.
#[cfg(feature = "redis-cluster")]
const MAX_UNANSWERED: u32 = 2;

/// A connection may take longer than a call: with a Cluster it waits for servers that hang.
const MAX_CONNECT: Duration = Duration::from_secs(5);

impl<C: Clone + Send + Sync + 'static> Wire<C> {
    /// Nothing is connected yet. Calls are given up after so long.
    pub(super) fn new(make: Make<C>, timeout: Duration) -> Self {
        let state = State {
            phase: Phase::Idle,
            number: 0,
            #[cfg(feature = "redis-cluster")]
            unanswered: 0,
        };
        Self {
            make,
            patience: timeout.max(MAX_CONNECT),
            state: Mutex::new(state),
        }
    }

    /// The connection, made if there is none.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the next call goes on with the same attempt.
    pub(super) async fn connect(&self) -> RedisResult<Numbered<C>> {
        let (connecting, number) = {
            let mut state = self.state.lock();
            if let Some(ready) = state.ready() {
                return Ok(ready);
            }
            (state.begin(&self.make, self.patience), state.number)
        };
        let connected = connecting.await;
        let mut state = self.state.lock();
        if state.number == number && matches!(state.phase, Phase::Connecting(_)) {
            state.phase = match &connected {
                Ok(connection) => Phase::Ready(connection.clone()),
                Err(_) => Phase::Idle,
            };
        }
        drop(state);
        connected.map(|connection| Numbered { connection, number })
    }

    /// The connection, if it is made.
    #[cfg(feature = "redis-cluster")]
    pub(super) fn ready(&self) -> Option<Numbered<C>> {
        self.state.lock().ready()
    }

    /// The next call makes a new connection. One that is being made is waited for.
    pub(super) fn reconnect(&self) {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Ready(_)) {
            state.phase = Phase::Idle;
        }
    }

    /// The same if the last call was not answered.
    #[cfg(feature = "redis-cluster")]
    pub(super) fn reconnect_if_silent(&self) {
        if self.state.lock().unanswered > 0 {
            self.reconnect();
        }
    }

    /// On one connection to a Cluster a lost server can come to stall all others: then a new one
    /// helps.
    #[cfg(feature = "redis-cluster")]
    pub(super) fn note(&self, over: &Numbered<C>, answered: bool) {
        let mut state = self.state.lock();
        if state.number != over.number {
            return;
        }
        state.unanswered = if answered { 0 } else { state.unanswered + 1 };
        if state.unanswered > MAX_UNANSWERED {
            state.phase = Phase::Idle;
        }
    }
}

impl<C: Clone + Send + Sync + 'static> State<C> {
    fn ready(&self) -> Option<Numbered<C>> {
        let Phase::Ready(connection) = &self.phase else {
            return None;
        };
        Some(Numbered {
            connection: connection.clone(),
            number: self.number,
        })
    }

    /// The attempt to connect that is under way, or a new one.
    fn begin(&mut self, make: &Make<C>, patience: Duration) -> Connecting<C> {
        if let Phase::Connecting(connecting) = &self.phase {
            return connecting.clone();
        }
        let made = make();
        let made = async move {
            let late = |_| std::io::Error::other("no connection in time");
            timeout(patience, made).await.map_err(late)?
        };
        let connecting = made.boxed().shared();
        self.phase = Phase::Connecting(connecting.clone());
        self.number += 1;
        #[cfg(feature = "redis-cluster")]
        {
            self.unanswered = 0;
        }
        connecting
    }
}
