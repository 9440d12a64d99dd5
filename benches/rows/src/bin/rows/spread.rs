//! Row spread: one message to everybody on two nodes, the next when everybody has it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::load::{Clients, Latencies, Numbered, WARM_UP, hold};
use crate::pair::{Pair, PairMeter};
use crate::row::Sample;
use crate::websocket::{Packet, Socket};

const PER_NODE: usize = 500;
const TEXT: usize = 64;

/// Longest wait for one message to reach everybody.
const PATIENCE: Duration = Duration::from_secs(10);

struct Crowd {
    message: RefCell<Numbered>,
    missing: Cell<usize>,
    sent: Cell<Instant>,
    latencies: Latencies,
    /// Tells the speaker to send the message.
    speak: Notify,
    /// Wakes the measurement when everybody has it.
    delivered: Notify,
}

pub(crate) async fn measure(pair: &Pair, time: Duration) -> Result<Sample> {
    let crowd = Rc::new(Crowd {
        message: RefCell::new(Numbered::with_text("broadcast", TEXT)),
        missing: Cell::new(0),
        sent: Cell::new(Instant::now()),
        latencies: Latencies::default(),
        speak: Notify::new(),
        delivered: Notify::new(),
    });
    let mut clients = Clients::new();
    for (index, node) in pair.nodes.iter().enumerate() {
        for number in 0..PER_NODE {
            let socket = Socket::open(node.address).await?;
            let speaks = index == 0 && number == 0;
            clients.spawn_local(attend(socket, speaks, Rc::clone(&crowd)));
        }
    }
    hold(&mut clients, WARM_UP).await?;
    crowd.broadcast_for(&mut clients, WARM_UP, pair).await?;
    crowd.latencies.clear();
    let mut sample = crowd.broadcast_for(&mut clients, time, pair).await?;
    sample.extend(crowd.latencies.p50_p99());
    Ok(sample)
}

impl Crowd {
    async fn broadcast_for(
        &self,
        clients: &mut Clients,
        time: Duration,
        pair: &Pair,
    ) -> Result<Sample> {
        let meter = PairMeter::start(pair)?;
        let began = Instant::now();
        let before = self.message.borrow().number();
        while began.elapsed() < time {
            self.broadcast(clients).await?;
        }
        let broadcasts = self.message.borrow().number() - before;
        meter.stop(broadcasts * 2 * PER_NODE as u64)
    }

    async fn broadcast(&self, clients: &mut Clients) -> Result<()> {
        self.message.borrow_mut().advance();
        self.missing.set(2 * PER_NODE);
        self.sent.set(Instant::now());
        self.speak.notify_one();
        tokio::select! {
            () = self.delivered.notified() => {}
            ended = hold(clients, PATIENCE) => ended?,
        }
        let missing = self.missing.get();
        ensure!(missing == 0, "a broadcast did not reach {missing} sockets");
        Ok(())
    }

    fn receive(&self, socket: &mut Socket) -> Result<()> {
        while let Some(packet) = socket.inbox.packet()? {
            let Packet::Message(received) = packet else {
                socket.outbox.pong();
                continue;
            };
            let message = self.message.borrow();
            ensure!(
                received == message.current(),
                "wrong broadcast {}",
                received.escape_ascii()
            );
            self.latencies.add(self.sent.get());
            self.missing
                .set(self.missing.get().checked_sub(1).unwrap_or(usize::MAX));
            if self.missing.get() == 0 {
                self.delivered.notify_one();
            }
        }
        Ok(())
    }
}

async fn attend(mut socket: Socket, speaks: bool, crowd: Rc<Crowd>) -> Result<()> {
    loop {
        crowd.receive(&mut socket)?;
        socket.flush().await?;
        tokio::select! {
            filled = socket.fill() => filled?,
            () = crowd.speak.notified(), if speaks => {
                socket.outbox.text(crowd.message.borrow().current());
            }
        }
    }
}
