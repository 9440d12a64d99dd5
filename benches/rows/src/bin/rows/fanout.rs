//! Row fanout: one message to everybody, the next when everybody has it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::Notify;

use crate::load::{Clients, Numbered, WARM_UP, hold};
use crate::meter::Meter;
use crate::row::Sample;
use crate::server::Server;
use crate::websocket::{Packet, Socket};

const CONNECTIONS: usize = 2_000;
const TEXT: usize = 64;

/// Longest wait for one message to reach everybody.
const PATIENCE: Duration = Duration::from_secs(10);

struct Crowd {
    message: RefCell<Numbered>,
    missing: Cell<usize>,
    /// Tells the speaker to send the message.
    speak: Notify,
    /// Wakes the measurement when everybody has it.
    delivered: Notify,
}

pub(crate) async fn measure(server: &Server, time: Duration) -> Result<Sample> {
    let crowd = Rc::new(Crowd {
        message: RefCell::new(Numbered::with_text("broadcast", TEXT)),
        missing: Cell::new(0),
        speak: Notify::new(),
        delivered: Notify::new(),
    });
    let mut clients = Clients::new();
    let speaker = Socket::open(server.address).await?;
    clients.spawn_local(speak(speaker, Rc::clone(&crowd)));
    for _ in 1..CONNECTIONS {
        let socket = Socket::open(server.address).await?;
        clients.spawn_local(listen(socket, Rc::clone(&crowd)));
    }
    hold(&mut clients, WARM_UP).await?;
    crowd.broadcast_for(&mut clients, WARM_UP, server).await?;
    crowd.broadcast_for(&mut clients, time, server).await
}

impl Crowd {
    async fn broadcast_for(
        &self,
        clients: &mut Clients,
        time: Duration,
        server: &Server,
    ) -> Result<Sample> {
        let meter = Meter::start(&[server])?;
        let before = self.message.borrow().number();
        while meter.elapsed() < time {
            self.broadcast(clients).await?;
        }
        let broadcasts = self.message.borrow().number() - before;
        meter.stop(broadcasts * CONNECTIONS as u64)
    }

    async fn broadcast(&self, clients: &mut Clients) -> Result<()> {
        self.message.borrow_mut().advance();
        self.missing.set(CONNECTIONS);
        self.speak.notify_one();
        tokio::select! {
            () = self.delivered.notified() => {}
            ended = hold(clients, PATIENCE) => ended?,
        }
        ensure!(
            self.missing.get() == 0,
            "a broadcast did not reach {} sockets",
            self.missing.get()
        );
        Ok(())
    }

    /// Takes what one socket has received; `seen` is the number of its last broadcast.
    fn receive(&self, socket: &mut Socket, seen: &mut u64) -> Result<()> {
        while let Some(packet) = socket.inbox.packet()? {
            let Packet::Message(received) = packet else {
                socket.outbox.pong();
                continue;
            };
            let message = self.message.borrow();
            *seen += 1;
            ensure!(
                received == message.current(),
                "wrong broadcast {}",
                received.escape_ascii()
            );
            ensure!(
                *seen == message.number(),
                "broadcast {} came twice",
                message.number()
            );
            self.missing.set(self.missing.get() - 1);
            if self.missing.get() == 0 {
                self.delivered.notify_one();
            }
        }
        Ok(())
    }
}

async fn listen(mut socket: Socket, crowd: Rc<Crowd>) -> Result<()> {
    let mut seen = 0;
    loop {
        crowd.receive(&mut socket, &mut seen)?;
        socket.flush().await?;
        socket.fill().await?;
    }
}

async fn speak(mut socket: Socket, crowd: Rc<Crowd>) -> Result<()> {
    let mut seen = 0;
    loop {
        crowd.receive(&mut socket, &mut seen)?;
        socket.flush().await?;
        tokio::select! {
            filled = socket.fill() => filled?,
            () = crowd.speak.notified() => socket.outbox.text(crowd.message.borrow().current()),
        }
    }
}
