//! Rows echo16, echo1 and echo1k: every connection keeps some messages in flight.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::load::{self, Clients, Numbered, Progress};
use crate::row::Sample;
use crate::server::Server;
use crate::websocket::{Packet, Socket};

const CONNECTIONS: usize = 64;

/// How many messages are in flight on a connection, and how long they are.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    in_flight: usize,
    length: usize,
}

impl Shape {
    pub(crate) const SMALL_16: Self = Self::new(16, 64);
    pub(crate) const SMALL_1: Self = Self::new(1, 64);
    pub(crate) const LARGE_1: Self = Self::new(1, 1024);

    const fn new(in_flight: usize, length: usize) -> Self {
        Self { in_flight, length }
    }
}

pub(crate) async fn measure(server: &Server, time: Duration, shape: Shape) -> Result<Sample> {
    let progress = Rc::new(Progress::default());
    let mut clients = Clients::new();
    for _ in 0..CONNECTIONS {
        let socket = Socket::open(server.address).await?;
        clients.spawn_local(client(socket, shape, Rc::clone(&progress)));
    }
    load::measure(&[server], time, clients, &progress).await
}

/// Answers found in one read are followed by as many messages in one write.
async fn client(mut socket: Socket, shape: Shape, progress: Rc<Progress>) -> Result<()> {
    let mut sent = Numbered::with_length("echo", shape.length);
    let mut answered = sent.clone();
    for _ in 0..shape.in_flight {
        socket.outbox.text(sent.advance());
    }
    while answered.number() < sent.number() {
        socket.flush().await?;
        socket.fill().await?;
        while let Some(packet) = socket.inbox.packet()? {
            let Packet::Message(message) = packet else {
                socket.outbox.pong();
                continue;
            };
            ensure!(
                message == answered.advance(),
                "wrong answer {}",
                message.escape_ascii()
            );
            progress.count();
            if progress.goes_on() {
                socket.outbox.text(sent.advance());
            }
        }
    }
    Ok(())
}
