use std::time::Instant;

use super::heartbeat::{Beat, Heartbeat};
use super::outbox::{Outbox, Signal};
use super::upgrade::{Step, Upgrade};
use super::{CloseReason, Control, DecodeError, Fact, Refused, Timing, Transport};

/// The state of one connection: which transport it is on, whether its client
/// is alive, and how it ends.
///
/// See the [module](super) for the rhythm of calls. Deadlines at or before
/// `now` are applied before whatever else a call brings: what comes too late
/// is too late, even if no timer fired yet.
#[derive(Debug)]
pub(crate) struct Machine {
    life: Life,
    heartbeat: Heartbeat,
    upgrade: Option<Upgrade>,
    transport: Transport,
    outbox: Outbox,
}

/// Where a packet arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// The transport in use.
    Current,
    /// The websocket that is being probed.
    Candidate,
}

/// What is to be done for a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Close the candidate and forget it; the connection goes on without.
    DropCandidate,
    /// Send `3probe` on the candidate.
    ProbeReply,
    /// Send `2`, in turn with what is queued.
    Ping,
    /// End a pending poll with [`NOOP`](super::NOOP); without one do nothing.
    Noop,
    /// The candidate is the transport from now on. A poll still pending is
    /// ended with [`NOOP`](super::NOOP).
    Switch,
    /// The connection is over; comes once, and nothing after it.
    Closed(CloseReason),
}

impl Machine {
    /// A connection whose handshake is answered at `now`.
    pub(crate) fn open(transport: Transport, now: Instant, timing: &Timing) -> Self {
        Self {
            life: Life::Open,
            heartbeat: Heartbeat::start(now, timing),
            upgrade: None,
            transport,
            outbox: Outbox::default(),
        }
    }

    /// A message arrived on the current transport. Whether it counts: if not,
    /// the connection has ended, and it is dropped.
    ///
    /// Produces no output and moves no deadline, so it needs no clock and no
    /// call of any other method.
    #[inline]
    #[must_use = "a message of a closed connection is dropped"]
    pub(crate) fn handle_message(&mut self) -> bool {
        self.heartbeat.hear();
        self.is_open()
    }

    /// A packet arrived that is not a message, or any packet on the candidate.
    ///
    /// On the current transport a client may send a pong, or close;
    /// open, upgrade and noop mean nothing there. A ping closes: in protocol 4
    /// they are the server's. [Engine.IO v4, Heartbeat]
    ///
    /// On the candidate it may probe and upgrade. Anything else drops the
    /// candidate alone; packets of one that is gone already are ignored.
    /// [Engine.IO v4, Upgrade]
    pub(crate) fn handle_control(
        &mut self,
        from: Channel,
        packet: Control,
        now: Instant,
        timing: &Timing,
    ) {
        self.handle_timeout(now, timing);
        if !self.is_open() {
            return;
        }
        match from {
            Channel::Current => self.handle_current(packet, now, timing),
            Channel::Candidate => self.handle_candidate_packet(packet, now),
        }
    }

    /// A websocket arrived that wants to take over. Once accepted it has
    /// [`upgrade_timeout`](Timing) to send its upgrade packet.
    ///
    /// # Errors
    ///
    /// [`Refused`]: that websocket is to be closed. While the candidate before
    /// it has yet to be dropped, even by this very call, that is
    /// [`Refused::Upgrading`]: there is never a doubt which one is meant.
    pub(crate) fn handle_candidate(
        &mut self,
        now: Instant,
        timing: &Timing,
    ) -> Result<(), Refused> {
        let was_upgrading = self.is_upgrading();
        self.handle_timeout(now, timing);
        if !self.is_open() {
            return Err(Refused::Closed);
        }
        if self.transport == Transport::WebSocket {
            return Err(Refused::OnWebSocket);
        }
        if was_upgrading {
            return Err(Refused::Upgrading);
        }
        if !timing.allow_upgrades {
            return Err(Refused::NotAllowed);
        }
        self.upgrade = Some(Upgrade::start(now, timing));
        Ok(())
    }

    /// The candidate is gone by itself; polling goes on.
    pub(crate) fn handle_candidate_lost(&mut self) {
        self.upgrade = None;
        self.outbox.remove(Signal::ProbeReply);
    }

    /// Bytes arrived that are no packet. On the current transport that ends
    /// the connection, on the candidate only the candidate.
    pub(crate) fn handle_malformed(&mut self, from: Channel, error: DecodeError) {
        match from {
            Channel::Current => self.close(Fact::Malformed(error).reason()),
            Channel::Candidate => self.drop_candidate(),
        }
    }

    /// From `now` on we do not read what the client sends, because a handler
    /// is busy: the pong deadline stands still. Pings go on. Repeated calls
    /// change nothing.
    ///
    /// After [`hold_timeout`](Timing) the connection is closed.
    pub(crate) fn hold(&mut self, now: Instant, timing: &Timing) {
        self.handle_timeout(now, timing);
        self.heartbeat.hold(now, timing);
    }

    /// From `now` on we read again: if a pong is due, the client has the whole
    /// ping timeout for it. Without a [`hold`](Self::hold) before it changes
    /// nothing.
    pub(crate) fn release(&mut self, now: Instant, timing: &Timing) {
        self.handle_timeout(now, timing);
        self.heartbeat.release(now, timing);
    }

    /// Ends the connection. The first reason counts, later ones are ignored.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        if self.is_open() {
            self.drop_candidate();
            self.outbox.remove(Signal::Ping);
            self.outbox.remove(Signal::Noop);
            self.life = Life::Closing(reason);
        }
    }

    /// Applies every deadline at or before `now`; an early call is a no-op.
    pub(crate) fn handle_timeout(&mut self, now: Instant, timing: &Timing) {
        while let Some(upgrade) = &mut self.upgrade
            && let Some(step) = upgrade.handle_timeout(now)
        {
            match step {
                Step::Noop => self.outbox.add(Signal::Noop),
                Step::GiveUp => self.drop_candidate(),
            }
        }
        while self.is_open()
            && let Some(beat) = self.heartbeat.handle_timeout(now, timing)
        {
            match beat {
                Beat::Ping => self.outbox.add(Signal::Ping),
                Beat::Patience => {}
                Beat::Silence => self.close(Fact::Silent.reason()),
                Beat::HeldTooLong => self.close(Fact::HeldTooLong.reason()),
            }
        }
    }

    /// What is to be done next. To be called after every mutation until it
    /// gives `None`; extra calls are no-ops.
    #[must_use = "an output that is not acted upon is lost"]
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outbox
            .take()
            .or_else(|| self.life.take_reason().map(Output::Closed))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` once the
    /// connection has ended. Changes with every mutation but
    /// [`handle_message`](Self::handle_message).
    #[must_use = "without its timer a dead client is never noticed"]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if !self.is_open() {
            return None;
        }
        let upgrade = self.upgrade.as_ref().map(Upgrade::poll_timeout);
        self.heartbeat
            .poll_timeout()
            .into_iter()
            .chain(upgrade)
            .min()
    }

    /// From when on the connection is over if nothing arrives before:
    /// [`handle_timeout`](Self::handle_timeout) closes at that instant and not
    /// before. `None` while some other deadline comes first, and once the
    /// connection has ended.
    pub(crate) fn expires_at(&self) -> Option<Instant> {
        self.heartbeat.expires_at().filter(|_| self.is_open())
    }

    /// The transport in use.
    pub(crate) const fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether the connection has not ended.
    #[inline]
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.life, Life::Open)
    }

    /// Whether there is a candidate.
    pub(crate) const fn is_upgrading(&self) -> bool {
        self.upgrade.is_some()
    }

    fn handle_current(&mut self, packet: Control, now: Instant, timing: &Timing) {
        match packet {
            Control::Pong { .. } => self.heartbeat.handle_pong(now, timing),
            Control::Close => self.close(Fact::Left.reason()),
            Control::Ping { .. } => self.close(Fact::Pinged.reason()),
            Control::Open | Control::Upgrade | Control::Noop | Control::Message => {
                self.heartbeat.hear();
            }
        }
    }

    fn handle_candidate_packet(&mut self, packet: Control, now: Instant) {
        let Some(upgrade) = &mut self.upgrade else {
            return;
        };
        match packet {
            Control::Ping { probe: true } => {
                upgrade.handle_probe(now);
                self.heartbeat.hear();
                self.outbox.add(Signal::ProbeReply);
                self.outbox.add(Signal::Noop);
            }
            Control::Upgrade => self.switch(),
            _ => self.drop_candidate(),
        }
    }

    fn switch(&mut self) {
        self.heartbeat.hear();
        self.upgrade = None;
        self.transport = Transport::WebSocket;
        self.outbox.add(Signal::Switch);
    }

    fn drop_candidate(&mut self) {
        if self.is_upgrading() {
            self.handle_candidate_lost();
            self.outbox.add(Signal::DropCandidate);
        }
    }
}

#[derive(Debug)]
enum Life {
    Open,
    /// Ended, and nobody has been told.
    Closing(CloseReason),
    Closed,
}

impl Life {
    fn take_reason(&mut self) -> Option<CloseReason> {
        match std::mem::replace(self, Self::Closed) {
            Self::Closing(reason) => Some(reason),
            other => {
                *self = other;
                None
            }
        }
    }
}
