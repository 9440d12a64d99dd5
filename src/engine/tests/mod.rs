//! The corners of the protocol, each a test, with the time passed by hand.
//! `E` and `T` numbers are those of the list of corners that the crate is
//! written against.

mod closing;
mod heartbeat;
mod hold;
mod upgrade;

use std::time::{Duration, Instant};

use super::{
    Channel, CloseReason, Control, DecodeError, Machine, Output, Refused, Timing, Transport,
};

const PONG: Control = Control::Pong { probe: false };
const PROBE: Control = Control::Ping { probe: true };

/// A machine and its clock, which shows milliseconds since the handshake.
struct Rig {
    machine: Machine,
    timing: Timing,
    start: Instant,
}

impl Rig {
    fn open(transport: Transport) -> Self {
        let timing = Timing {
            ping_interval: Duration::from_millis(300),
            ping_timeout: Duration::from_millis(200),
            upgrade_timeout: Duration::from_millis(450),
            hold_timeout: Duration::from_millis(2_000),
            allow_upgrades: true,
        };
        let start = start();
        Self {
            machine: Machine::open(transport, start, &timing),
            timing,
            start,
        }
    }

    fn polling() -> Self {
        Self::open(Transport::Polling)
    }

    fn websocket() -> Self {
        Self::open(Transport::WebSocket)
    }

    /// A connection whose candidate arrived at `at`.
    fn upgrading(at: u64) -> Self {
        let mut rig = Self::polling();
        rig.candidate(at).unwrap();
        assert_eq!(rig.drain(), []);
        rig
    }

    fn at(&self, at: u64) -> Instant {
        self.start + Duration::from_millis(at)
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.machine.poll_output()).collect()
    }

    fn timer(&mut self, at: u64) -> Vec<Output> {
        self.machine.handle_timeout(self.at(at), &self.timing);
        self.drain()
    }

    fn receive(&mut self, at: u64, from: Channel, packet: Control) -> Vec<Output> {
        self.machine
            .handle_control(from, packet, self.at(at), &self.timing);
        self.drain()
    }

    fn current(&mut self, at: u64, packet: Control) -> Vec<Output> {
        self.receive(at, Channel::Current, packet)
    }

    fn probed(&mut self, at: u64, packet: Control) -> Vec<Output> {
        self.receive(at, Channel::Candidate, packet)
    }

    fn candidate(&mut self, at: u64) -> Result<(), Refused> {
        self.machine.handle_candidate(self.at(at), &self.timing)
    }

    fn hold(&mut self, at: u64) -> Vec<Output> {
        self.machine.hold(self.at(at), &self.timing);
        self.drain()
    }

    fn release(&mut self, at: u64) -> Vec<Output> {
        self.machine.release(self.at(at), &self.timing);
        self.drain()
    }

    fn close(&mut self, reason: CloseReason) -> Vec<Output> {
        self.machine.close(reason);
        self.drain()
    }

    /// The next deadline in milliseconds since the handshake.
    fn next(&self) -> Option<u128> {
        self.since(self.machine.poll_timeout())
    }

    fn expires(&self) -> Option<u128> {
        self.since(self.machine.expires_at())
    }

    fn since(&self, at: Option<Instant>) -> Option<u128> {
        at.map(|at| at.duration_since(self.start).as_millis())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the machine only ever compares instants; any one will do to begin with"
)]
fn start() -> Instant {
    Instant::now()
}

fn timed_out() -> Vec<Output> {
    vec![Output::Closed(CloseReason::PingTimeout)]
}

fn wrong_direction() -> Vec<Output> {
    vec![Output::Closed(CloseReason::TransportError(
        "invalid heartbeat direction",
    ))]
}
