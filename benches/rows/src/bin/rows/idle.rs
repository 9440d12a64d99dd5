//! Row idle: what an open connection costs in memory.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::{Notify, Semaphore};

use crate::load::{Clients, Numbered, hold};
use crate::meter::Memory;
use crate::row::Sample;
use crate::server::Server;
use crate::websocket::{Packet, Socket};

const CONNECTIONS: usize = 5_000;

/// Handshakes under way at a time.
const AT_A_TIME: usize = 32;

/// How long the connections are left alone before memory is read.
const SETTLE: Duration = Duration::from_secs(1);

/// Longest wait for all connections to open, and for all to be answered.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Crowd {
    opened: Cell<usize>,
    answered: Cell<usize>,
    /// Wakes the measurement when a count is full.
    full: Notify,
    /// Tells everybody to send one message.
    speak: Notify,
}

pub(crate) async fn measure(server: &Server) -> Result<Sample> {
    // What only the first connection allocates is not the price of a connection.
    Socket::open(server.address).await?.close().await?;
    let before = Memory::of(server)?;

    let crowd = Rc::new(Crowd::default());
    let gate = Rc::new(Semaphore::new(AT_A_TIME));
    let mut clients = Clients::new();
    for _ in 0..CONNECTIONS {
        clients.spawn_local(client(server.address, Rc::clone(&crowd), Rc::clone(&gate)));
    }
    crowd.wait(&mut clients, &crowd.opened).await?;
    hold(&mut clients, SETTLE).await?;
    let idle = Memory::of(server)?;

    crowd.speak.notify_waiters();
    crowd.wait(&mut clients, &crowd.answered).await?;
    hold(&mut clients, SETTLE).await?;
    let used = Memory::of(server)?;

    let each = |now: u64, then: u64| (now as f64 - then as f64) / CONNECTIONS as f64;
    Ok(vec![
        each(idle.resident, before.resident),
        each(used.resident, before.resident),
        each(used.anonymous, before.anonymous),
    ])
}

impl Crowd {
    async fn wait(&self, clients: &mut Clients, count: &Cell<usize>) -> Result<()> {
        tokio::select! {
            () = self.full.notified() => {}
            ended = hold(clients, PATIENCE) => ended?,
        }
        ensure!(
            count.get() == CONNECTIONS,
            "{} of {CONNECTIONS} connections",
            count.get()
        );
        Ok(())
    }

    fn count(&self, count: &Cell<usize>) {
        count.set(count.get() + 1);
        if count.get() == CONNECTIONS {
            self.full.notify_one();
        }
    }
}

/// Answers pings for ever, and sends one message when told to.
async fn client(server: SocketAddr, crowd: Rc<Crowd>, gate: Rc<Semaphore>) -> Result<()> {
    let turn = gate.acquire().await?;
    let mut socket = Socket::open(server).await?;
    drop(turn);
    let mut message = Numbered::with_length("echo", 64);
    let mut answers = 0;
    let speak = crowd.speak.notified();
    tokio::pin!(speak);
    speak.as_mut().enable();
    crowd.count(&crowd.opened);
    loop {
        tokio::select! {
            filled = socket.fill() => filled?,
            () = &mut speak, if message.number() == 0 => socket.outbox.text(message.advance()),
        }
        while let Some(packet) = socket.inbox.packet()? {
            let Packet::Message(answer) = packet else {
                socket.outbox.pong();
                continue;
            };
            answers += 1;
            ensure!(
                answer == message.current(),
                "wrong answer {}",
                answer.escape_ascii()
            );
            ensure!(
                answers == message.number(),
                "{answers} answers to a message"
            );
            crowd.count(&crowd.answered);
        }
        socket.flush().await?;
    }
}
