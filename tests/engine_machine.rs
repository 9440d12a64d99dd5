//! Properties of the state of a connection: whatever arrives, in whatever
//! order, at whatever time.

#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the room is taken in whole, its items are private to the crate"
)]
#[path = "../src/engine/mod.rs"]
mod engine;

use std::time::{Duration, Instant};

use engine::{
    Channel, CloseReason, Control, DecodeError, Machine, Output, Refused, Timing, Transport,
};
use proptest::collection::vec;
use proptest::prelude::*;

const PONG: Control = Control::Pong { probe: false };

/// What happens to a machine.
#[derive(Clone, Debug)]
enum Event {
    /// Time passes and no timer fires.
    Pass(u16),
    /// Its timer fires, that many milliseconds late.
    Fire(u16),
    Message,
    Packet(Channel, Control),
    Malformed(Channel),
    Candidate,
    CandidateLost,
    Hold,
    Release,
    Close,
}

/// A machine with what must be true of it.
struct Checked {
    machine: Machine,
    timing: Timing,
    now: Instant,
    /// What the outputs so far say.
    candidate: bool,
    transport: Transport,
    pings_unanswered: u32,
    closed: Option<CloseReason>,
}

impl Checked {
    fn open(transport: Transport, timing: Timing) -> Self {
        Self::open_at(start(), transport, timing)
    }

    fn open_at(now: Instant, transport: Transport, timing: Timing) -> Self {
        Self {
            machine: Machine::open(transport, now, &timing),
            timing,
            now,
            candidate: false,
            transport,
            pings_unanswered: 0,
            closed: None,
        }
    }

    fn run(&mut self, events: &[Event]) {
        for event in events {
            self.apply(event);
        }
    }

    fn apply(&mut self, event: &Event) {
        let (machine, timing) = (&mut self.machine, &self.timing);
        let mut clocked = true;
        match *event {
            Event::Pass(wait) => {
                self.now += millis(wait);
                clocked = false;
            }
            Event::Fire(late) => {
                let due = machine.poll_timeout().unwrap_or(self.now);
                self.now = self.now.max(due) + millis(late);
                machine.handle_timeout(self.now, timing);
            }
            Event::Message => {
                let before = machine.poll_timeout();
                assert_eq!(machine.handle_message(), self.closed.is_none());
                assert_eq!(machine.poll_timeout(), before);
                assert_eq!(machine.poll_output(), None);
                clocked = false;
            }
            Event::Packet(from, packet) => {
                machine.handle_control(from, packet, self.now, timing);
            }
            Event::Malformed(from) => {
                machine.handle_malformed(from, DecodeError::Empty);
                clocked = false;
            }
            Event::Candidate => self.bring_candidate(),
            Event::CandidateLost => {
                machine.handle_candidate_lost();
                self.candidate = false;
                clocked = false;
            }
            Event::Hold => machine.hold(self.now, timing),
            Event::Release => machine.release(self.now, timing),
            Event::Close => {
                machine.close(CloseReason::ForcedClose);
                clocked = false;
            }
        }
        self.drain();
        // Not before the drain: a pong may arrive with the ping's own deadline.
        if matches!(event, Event::Packet(Channel::Current, Control::Pong { .. })) {
            self.pings_unanswered = 0;
        }
        self.check(clocked);
    }

    fn bring_candidate(&mut self) {
        let answer = self.machine.handle_candidate(self.now, &self.timing);
        let expected = if !self.machine.is_open() {
            Err(Refused::Closed)
        } else if self.transport == Transport::WebSocket {
            Err(Refused::OnWebSocket)
        } else if self.candidate {
            Err(Refused::Upgrading)
        } else if !self.timing.allow_upgrades {
            Err(Refused::NotAllowed)
        } else {
            Ok(())
        };
        assert_eq!(answer, expected);
        // What this call dropped was the candidate before it.
        self.drain();
        self.candidate |= answer.is_ok();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            assert_eq!(self.closed, None, "{output:?} after the end");
            match output {
                Output::Ping => {
                    self.pings_unanswered += 1;
                    assert_eq!(self.pings_unanswered, 1, "one ping at a time");
                }
                Output::ProbeReply => assert!(self.candidate),
                Output::Noop => assert_eq!(self.transport, Transport::Polling),
                Output::Switch => {
                    assert!(self.candidate);
                    assert_eq!(self.transport, Transport::Polling, "once at most");
                    self.candidate = false;
                    self.transport = Transport::WebSocket;
                }
                Output::DropCandidate => {
                    assert!(self.candidate);
                    self.candidate = false;
                }
                Output::Closed(reason) => {
                    assert!(!self.candidate, "the candidate is dropped before");
                    self.closed = Some(reason);
                }
            }
        }
    }

    fn check(&self, clocked: bool) {
        assert_eq!(self.machine.is_open(), self.closed.is_none());
        assert_eq!(self.machine.is_upgrading(), self.candidate);
        assert_eq!(self.machine.transport(), self.transport);
        let next = self.machine.poll_timeout();
        assert_eq!(next.is_some(), self.closed.is_none());
        if clocked {
            assert!(next.is_none_or(|next| next > self.now), "a past deadline");
        }
    }

    /// What the machine comes to if nothing arrives any more.
    fn fall_silent(&mut self) {
        for _ in 0..2_000 {
            if self.closed.is_some() {
                return;
            }
            self.apply(&Event::Fire(0));
        }
        panic!("never closed");
    }
}

proptest! {
    #[test]
    fn whatever_happens_is_in_order(
        transport in transport(),
        timing in timing(),
        events in vec(event(), 0..60),
    ) {
        Checked::open(transport, timing).run(&events);
    }

    #[test]
    fn a_silent_client_is_always_closed(
        transport in transport(),
        timing in timing(),
        events in vec(event(), 0..40),
    ) {
        let bound = (timing.ping_interval + 3 * timing.ping_timeout).max(timing.hold_timeout);
        let mut checked = Checked::open(transport, timing);
        checked.run(&events);
        // What the events left to be done with passed time is done first.
        checked.apply(&Event::Fire(0));
        let since = checked.now;
        checked.fall_silent();
        prop_assert!(checked.now - since <= bound);
    }

    /// Also under hold, also in the middle of an upgrade.
    #[test]
    fn the_end_comes_when_it_was_said_and_not_before(
        transport in transport(),
        timing in timing(),
        events in vec(event(), 0..40),
        wait in 1..2_000_u16,
    ) {
        let start = start();
        let fresh = || {
            let mut checked = Checked::open_at(start, transport, timing.clone());
            checked.run(&events);
            checked
        };
        let mut checked = fresh();
        if let Some(end) = checked.machine.expires_at() {
            checked.machine.handle_timeout(end - Duration::from_nanos(1), &timing);
            prop_assert!(checked.machine.is_open());
            let mut checked = fresh();
            checked.machine.handle_timeout(end, &timing);
            prop_assert!(!checked.machine.is_open());
        } else {
            let open = checked.machine.is_open();
            checked.machine.handle_timeout(checked.now + millis(wait), &timing);
            prop_assert_eq!(checked.machine.is_open(), open);
        }
    }

    /// However late the timers fire, as long as the answers are quick.
    #[test]
    fn a_client_that_answers_pings_is_never_closed(
        transport in transport(),
        timing in timing(),
        rounds in vec((0..500_u16, any::<bool>()), 0..40),
    ) {
        let mut checked = Checked::open(transport, timing);
        for (late, talks) in rounds {
            checked.apply(&Event::Fire(late));
            if talks {
                checked.apply(&Event::Message);
            }
            checked.apply(&Event::Packet(Channel::Current, PONG));
            prop_assert_eq!(&checked.closed, &None);
        }
    }

    /// Whatever the candidate sends, polling goes on or the websocket does.
    #[test]
    fn a_candidate_cannot_end_the_connection(
        timing in timing(),
        packets in vec((control(), any::<bool>()), 0..40),
    ) {
        let mut checked = Checked::open(Transport::Polling, timing);
        for (packet, again) in packets {
            checked.apply(&Event::Packet(Channel::Candidate, packet));
            checked.apply(&Event::Malformed(Channel::Candidate));
            if again {
                checked.apply(&Event::Candidate);
            }
            prop_assert_eq!(&checked.closed, &None);
        }
    }
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        3 => Just(Transport::Polling),
        1 => Just(Transport::WebSocket),
    ]
}

fn timing() -> impl Strategy<Value = Timing> {
    let waits = (1..400_u16, 1..300_u16, 1..500_u16, 1..1_000_u16);
    (waits, prop::bool::weighted(0.9)).prop_map(|(waits, allow_upgrades)| Timing {
        ping_interval: millis(waits.0),
        ping_timeout: millis(waits.1),
        upgrade_timeout: millis(waits.2),
        hold_timeout: millis(waits.3),
        allow_upgrades,
    })
}

fn event() -> impl Strategy<Value = Event> {
    let late = prop_oneof![3 => Just(0), 2 => 0..50_u16, 1 => 0..2_000_u16];
    prop_oneof![
        4 => (0..200_u16).prop_map(Event::Pass),
        8 => late.prop_map(Event::Fire),
        3 => Just(Event::Message),
        5 => Just(Event::Packet(Channel::Current, PONG)),
        3 => Just(Event::Packet(Channel::Candidate, Control::Ping { probe: true })),
        1 => Just(Event::Packet(Channel::Candidate, Control::Upgrade)),
        1 => (channel(), control()).prop_map(|(from, packet)| Event::Packet(from, packet)),
        1 => channel().prop_map(Event::Malformed).prop_filter("rare", |event| {
            !matches!(event, Event::Malformed(Channel::Current))
        }),
        3 => Just(Event::Candidate),
        1 => Just(Event::CandidateLost),
        2 => Just(Event::Hold),
        2 => Just(Event::Release),
        1 => prop_oneof![
            4 => Just(Event::Message),
            1 => Just(Event::Close),
            1 => Just(Event::Malformed(Channel::Current)),
        ],
    ]
}

fn channel() -> impl Strategy<Value = Channel> {
    prop_oneof![Just(Channel::Current), Just(Channel::Candidate)]
}

fn control() -> impl Strategy<Value = Control> {
    prop_oneof![
        Just(Control::Open),
        Just(Control::Close),
        any::<bool>().prop_map(|probe| Control::Ping { probe }),
        any::<bool>().prop_map(|probe| Control::Pong { probe }),
        Just(Control::Upgrade),
        Just(Control::Noop),
        Just(Control::Message),
    ]
}

fn millis(millis: u16) -> Duration {
    Duration::from_millis(millis.into())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the machine only ever compares instants; any one will do to begin with"
)]
fn start() -> Instant {
    Instant::now()
}
