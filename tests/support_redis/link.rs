//! A wire between a node and its Redis that a test can cut.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

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
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Held,
    Cut,
}

impl Link {
    /// A wire to a server on the loopback address.
    pub(crate) async fn to(port: u16) -> Self {
        let own = ports::free();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, own)).await;
        let state = Arc::new(watch::Sender::new(State::Open));
        let task = serve(listener.expect("a free port"), port, Arc::clone(&state));
        Self {
            port: own,
            state,
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

async fn serve(listener: TcpListener, port: u16, state: Arc<watch::Sender<State>>) {
    let mut wires = tokio::task::JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let far = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        wires.spawn(carry(near, far, state.subscribe()));
    }
}

async fn carry(near: TcpStream, far: SocketAddr, mut state: watch::Receiver<State>) {
    if *state.borrow() == State::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(far).await else {
        return;
    };
    // One packet a command: a wire adds no delay.
    drop((near.set_nodelay(true), far.set_nodelay(true)));
    let (near, far) = (near.into_split(), far.into_split());
    let there = pump(near.0, far.1, state.clone());
    let back = pump(far.0, near.1, state.clone());
    tokio::select! {
        _ = there => {}
        _ = back => {}
        _ = state.wait_for(|state| *state == State::Cut) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        if length == 0 || state.wait_for(|state| *state != State::Held).await.is_err() {
            return Ok(());
        }
        to.write_all(&bytes[..length]).await?;
    }
}
