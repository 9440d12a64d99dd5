//! A wire between a node and its Redis that a test can cut.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ports;

/// Carries bytes both ways until it is cut, stands still while it is held.
#[derive(Debug)]
pub(crate) struct Link {
    port: u16,
    state: Arc<watch::Sender<State>>,
    accepted: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Held,
    /// Held are only the connections before this one.
    Stranded(u64),
    Cut,
}

impl State {
    /// Whether it carries nothing for the connection of this number.
    fn holds(self, number: u64) -> bool {
        match self {
            Self::Held => true,
            Self::Stranded(first) => number < first,
            Self::Open | Self::Cut => false,
        }
    }
}

impl Link {
    /// A wire to a server on the loopback address.
    pub(crate) async fn to(port: u16) -> Self {
        let own = ports::free();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, own)).await;
        let state = Arc::new(watch::Sender::new(State::Open));
        let accepted = Arc::new(AtomicU64::new(0));
        let listener = listener.expect("a free port");
        let task = serve(listener, port, Arc::clone(&state), Arc::clone(&accepted));
        Self {
            port: own,
            state,
            accepted,
            task: tokio::spawn(task),
        }
    }

    /// What `--redis` of a node takes.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Closes every connection, and every new one at once.
    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Carries nothing further, without a word; what waits is carried after [`mend`](Self::mend).
    pub(crate) fn hold(&self) {
        self.state.send_replace(State::Held);
    }

    /// The same for the connections of now; those to come are not held.
    pub(crate) fn strand(&self) {
        let next = self.accepted.load(Ordering::Relaxed);
        self.state.send_replace(State::Stranded(next));
    }

    /// As new.
    pub(crate) fn mend(&self) {
        self.state.send_replace(State::Open);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    port: u16,
    state: Arc<watch::Sender<State>>,
    accepted: Arc<AtomicU64>,
) {
    let mut wires = tokio::task::JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let far = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let number = accepted.fetch_add(1, Ordering::Relaxed);
        wires.spawn(carry(near, far, number, state.subscribe()));
    }
}

async fn carry(near: TcpStream, far: SocketAddr, number: u64, mut state: watch::Receiver<State>) {
    if *state.borrow() == State::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(far).await else {
        return;
    };
    // One packet a command: a wire adds no delay.
    drop((near.set_nodelay(true), far.set_nodelay(true)));
    let (near, far) = (near.into_split(), far.into_split());
    let there = pump(near.0, far.1, number, state.clone());
    let back = pump(far.0, near.1, number, state.clone());
    tokio::select! {
        _ = there => {}
        _ = back => {}
        _ = state.wait_for(|state| *state == State::Cut) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: u64,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        if length == 0 || state.wait_for(|state| !state.holds(number)).await.is_err() {
            return Ok(());
        }
        to.write_all(&bytes[..length]).await?;
    }
}
