//! A wire between a node and its Redis that a test can cut.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

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
    /// Every connection is cut when it has carried so many bytes of answers.
    Brittle(usize),
    Cut,
}

impl State {
    /// Whether it carries nothing for the connection of this number.
    fn holds(self, number: u64) -> bool {
        match self {
            Self::Held => true,
            Self::Stranded(first) => number < first,
            Self::Open | Self::Brittle(_) | Self::Cut => false,
        }
    }
}

impl Link {
    /// A wire to a server on the loopback address.
    pub(crate) async fn to(port: u16) -> Self {
        Self::slow(port, Duration::ZERO).await
    }

    /// The same, on which everything takes so long, each way.
    pub(crate) async fn slow(port: u16, delay: Duration) -> Self {
        let own = ports::free();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, own)).await;
        let state = Arc::new(watch::Sender::new(State::Open));
        let accepted = Arc::new(AtomicU64::new(0));
        let listener = listener.expect("a free port");
        let far = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let task = serve(
            listener,
            (far, delay),
            Arc::clone(&state),
            Arc::clone(&accepted),
        );
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

    /// Cuts every connection in the middle of an answer, after so many bytes of answers.
    pub(crate) fn fray(&self, bytes: usize) {
        self.state.send_replace(State::Brittle(bytes));
    }

    /// How many connections there were.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
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
    far: (SocketAddr, Duration),
    state: Arc<watch::Sender<State>>,
    accepted: Arc<AtomicU64>,
) {
    let mut wires = tokio::task::JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let number = accepted.fetch_add(1, Ordering::Relaxed);
        wires.spawn(carry(near, far, number, state.subscribe()));
    }
}

async fn carry(
    near: TcpStream,
    (far, delay): (SocketAddr, Duration),
    number: u64,
    mut state: watch::Receiver<State>,
) {
    if *state.borrow() == State::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(far).await else {
        return;
    };
    // One packet a command: a wire adds no delay of its own.
    drop((near.set_nodelay(true), far.set_nodelay(true)));
    let (near, far) = (near.into_split(), far.into_split());
    let (out, outgoing) = mpsc::channel(WINDOW);
    let (back, coming) = mpsc::channel(WINDOW);
    let mut answers = Answers::default();
    tokio::select! {
        _ = take(near.0, out, delay) => {}
        _ = give(outgoing, far.1, number, state.clone(), None) => {}
        _ = take(far.0, back, delay) => {}
        _ = give(coming, near.1, number, state.clone(), Some(&mut answers)) => {}
        _ = state.wait_for(|state| *state == State::Cut) => {}
    }
}

/// So many pieces are under way at most.
const WINDOW: usize = 1024;

/// Bytes of answers that a connection has carried since it may break.
#[derive(Debug, Default)]
struct Answers(usize);

async fn take(
    mut from: OwnedReadHalf,
    to: mpsc::Sender<(Instant, Vec<u8>)>,
    delay: Duration,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        let piece = (Instant::now() + delay, bytes[..length].to_vec());
        if to.send(piece).await.is_err() {
            return Ok(());
        }
        if length == 0 {
            // What is under way still arrives.
            return std::future::pending().await;
        }
    }
}

async fn give(
    mut from: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut to: OwnedWriteHalf,
    number: u64,
    mut state: watch::Receiver<State>,
    mut answers: Option<&mut Answers>,
) -> io::Result<()> {
    while let Some((due, bytes)) = from.recv().await {
        sleep_until(due).await;
        let Ok(now) = state
            .wait_for(|state| !state.holds(number))
            .await
            .map(|now| *now)
        else {
            return Ok(());
        };
        if bytes.is_empty() {
            return Ok(());
        }
        if let (State::Brittle(limit), Some(answers)) = (now, &mut answers) {
            let left = limit.saturating_sub(answers.0);
            answers.0 += bytes.len();
            if left < bytes.len() {
                return to.write_all(&bytes[..left]).await;
            }
        }
        to.write_all(&bytes).await?;
    }
    Ok(())
}
