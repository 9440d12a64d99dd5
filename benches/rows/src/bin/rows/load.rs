//! What the loads have in common: warm-up, clients as tasks, numbered messages.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::meter::Meter;
use crate::row::Sample;
use crate::server::Server;

/// How long a load runs before it is measured.
pub(crate) const WARM_UP: Duration = Duration::from_millis(500);

/// The clients of a load.
pub(crate) type Clients = JoinSet<Result<()>>;

/// Lets the clients work for a while; one that ends before its time is an error.
pub(crate) async fn hold(clients: &mut Clients, time: Duration) -> Result<()> {
    tokio::select! {
        () = sleep(time) => Ok(()),
        Some(ended) = clients.join_next() => {
            ended??;
            bail!("a client ended before its time")
        }
    }
}

/// How far the clients of a load are.
#[derive(Default)]
pub(crate) struct Progress {
    done: Cell<u64>,
    over: Cell<bool>,
}

impl Progress {
    /// One more unit of work is done.
    pub(crate) fn count(&self) {
        self.done.set(self.done.get() + 1);
    }

    /// How many units are done.
    pub(crate) fn done(&self) -> u64 {
        self.done.get()
    }

    /// No client begins another unit.
    pub(crate) fn end(&self) {
        self.over.set(true);
    }

    /// Whether clients may begin another unit.
    pub(crate) fn goes_on(&self) -> bool {
        !self.over.get()
    }
}

/// Measures clients that work until told to stop, then waits for what they still expect.
pub(crate) async fn measure(
    servers: &[&Server],
    time: Duration,
    mut clients: Clients,
    progress: &Progress,
) -> Result<Sample> {
    hold(&mut clients, WARM_UP).await?;
    let meter = Meter::start(servers)?;
    let before = progress.done.get();
    hold(&mut clients, time).await?;
    let sample = meter.stop(progress.done.get() - before)?;
    progress.over.set(true);
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(sample)
}

/// How long messages were under way, in microseconds.
#[derive(Default)]
pub(crate) struct Latencies(RefCell<Vec<u32>>);

impl Latencies {
    pub(crate) fn add(&self, since: Instant) {
        let micros = since.elapsed().as_micros();
        self.0
            .borrow_mut()
            .push(micros.try_into().unwrap_or(u32::MAX));
    }

    /// Forgets what was before.
    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    /// The middle one, and the one that a hundredth of all exceed.
    pub(crate) fn p50_p99(&self) -> [f64; 2] {
        let mut all = self.0.borrow_mut();
        all.sort_unstable();
        let at = |part: usize| {
            all.get(all.len() * part / 100)
                .map_or(0.0, |micros| f64::from(*micros))
        };
        [at(50), at(99)]
    }
}

/// Engine.IO messages of one event whose text starts with a running number.
#[derive(Clone)]
pub(crate) struct Numbered {
    packet: Vec<u8>,
    text: usize,
    number: u64,
}

impl Numbered {
    const DIGITS: usize = 12;

    /// Messages whose only argument is `length` bytes long.
    pub(crate) fn with_text(event: &str, length: usize) -> Self {
        Self::after(format!(r#"4{{"event":"{event}","args":[""#), length)
    }

    /// Messages of the event `forward` to a session, with a text of `length` bytes.
    pub(crate) fn to(account: &str, session: &str, length: usize) -> Self {
        let start = format!(r#"4{{"event":"forward","args":["{account}","{session}",""#);
        Self::after(start, length)
    }

    fn after(start: String, length: usize) -> Self {
        let text = start.len();
        let mut packet = start.into_bytes();
        packet.resize(text + length.max(Self::DIGITS), b'x');
        packet.extend_from_slice(br#""]}"#);
        Self {
            packet,
            text,
            number: 0,
        }
    }

    /// Messages that are `length` bytes long in all, without the packet type.
    pub(crate) fn with_length(event: &str, length: usize) -> Self {
        let around = Self::with_text(event, Self::DIGITS).packet.len() - 1 - Self::DIGITS;
        Self::with_text(event, length.saturating_sub(around))
    }

    /// The next message, as a packet.
    pub(crate) fn advance(&mut self) -> &[u8] {
        self.number += 1;
        let mut rest = self.number;
        for digit in self.packet[self.text..][..Self::DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        &self.packet
    }

    /// The message that [`advance`](Self::advance) gave last.
    pub(crate) fn current(&self) -> &[u8] {
        &self.packet
    }

    /// How many messages there were.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_length_asked_for_and_its_number() {
        let mut messages = Numbered::with_length("echo", 64);
        messages.advance();

        let second = messages.advance();

        assert_eq!(second.len(), 1 + 64);
        assert_eq!(
            second,
            br#"4{"event":"echo","args":["000000000002xxxxxxxxxxxxxxxxxxxxxxxx"]}"#
        );
    }
}
