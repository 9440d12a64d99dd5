//! Rows forward8 and forward1: clients of one node send to clients of the other.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::load::{Clients, Latencies, Numbered, Progress, WARM_UP, hold};
use crate::pair::{Pair, PairMeter};
use crate::row::Sample;
use crate::websocket::{Packet, Socket};

const PAIRS: usize = 32;
const TEXT: usize = 24;

/// What the two ends of a pair share.
struct Line {
    /// When the messages that are under way were sent, oldest first.
    sent: RefCell<VecDeque<Instant>>,
    /// One more may be sent.
    arrived: Notify,
    latencies: Rc<Latencies>,
    progress: Rc<Progress>,
}

pub(crate) async fn measure(pair: &Pair, time: Duration, in_flight: usize) -> Result<Sample> {
    let latencies = Rc::new(Latencies::default());
    let progress = Rc::new(Progress::default());
    let mut clients = Clients::new();
    for _ in 0..PAIRS {
        let line = Rc::new(Line {
            sent: RefCell::default(),
            arrived: Notify::new(),
            latencies: Rc::clone(&latencies),
            progress: Rc::clone(&progress),
        });
        let speaker = Socket::open(pair.nodes[0].address).await?;
        let listener = Socket::open(pair.nodes[1].address).await?;
        let messages = Numbered::to(&listener.account, &listener.session, TEXT);
        clients.spawn_local(speak(speaker, messages, in_flight, Rc::clone(&line)));
        clients.spawn_local(listen(listener, line));
    }
    hold(&mut clients, WARM_UP).await?;
    latencies.clear();
    let meter = PairMeter::start(pair)?;
    let before = progress.done();
    hold(&mut clients, time).await?;
    let mut sample = meter.stop(progress.done() - before)?;
    sample.extend(latencies.p50_p99());
    Ok(sample)
}

async fn speak(
    mut socket: Socket,
    mut messages: Numbered,
    in_flight: usize,
    line: Rc<Line>,
) -> Result<()> {
    loop {
        let mut under_way = line.sent.borrow().len();
        while under_way < in_flight {
            socket.outbox.text(messages.advance());
            line.sent.borrow_mut().push_back(Instant::now());
            under_way += 1;
        }
        socket.flush().await?;
        tokio::select! {
            () = line.arrived.notified() => {}
            filled = socket.fill() => filled?,
        }
        while let Some(packet) = socket.inbox.packet()? {
            ensure!(matches!(packet, Packet::Ping), "refused: {packet:?}");
            socket.outbox.pong();
        }
    }
}

async fn listen(mut socket: Socket, line: Rc<Line>) -> Result<()> {
    let mut expected = Numbered::with_text("forward", TEXT);
    loop {
        socket.flush().await?;
        socket.fill().await?;
        while let Some(packet) = socket.inbox.packet()? {
            let Packet::Message(message) = packet else {
                socket.outbox.pong();
                continue;
            };
            let wanted = expected.advance();
            ensure!(
                message == wanted,
                "wrong message {}",
                message.escape_ascii()
            );
            if let Some(sent) = line.sent.borrow_mut().pop_front() {
                line.latencies.add(sent);
            }
            line.progress.count();
        }
        line.arrived.notify_one();
    }
}
