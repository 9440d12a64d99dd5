//! What the loads have in common: warm-up, clients as tasks, numbered messages.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::task::JoinSet;
use tokio::time::sleep;

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

    /// Whether clients may begin another unit.
    pub(crate) fn goes_on(&self) -> bool {
        !self.over.get()
    }
}

/// Measures clients that work until told to stop, then waits for what they still expect.
pub(crate) async fn measure(
    server: &Server,
    time: Duration,
    mut clients: Clients,
    progress: &Progress,
) -> Result<Sample> {
    hold(&mut clients, WARM_UP).await?;
    let meter = Meter::start(server)?;
    let before = progress.done.get();
    hold(&mut clients, time).await?;
    let sample = meter.stop(progress.done.get() - before)?;
    progress.over.set(true);
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(sample)
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
        let start = format!(r#"4{{"event":"{event}","args":[""#);
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
