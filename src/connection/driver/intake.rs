use std::{
    pin::Pin,
    task::{Context, Poll},
};

use hyper::upgrade::Upgraded;
use tokio::time::Instant as Clock;

use super::{
    super::{MakeHandler, Received, Scratch, Wire, pipeline::Intake},
    Driver, Phase,
};
use crate::engine::{Channel, Fact, Part, Timing, Transport};

/// What comes from the client, and what goes back on the same occasion.
impl<M, W> Driver<M, W>
where
    M: MakeHandler,
    W: Wire + From<Upgraded>,
{
    /// Takes packets until there is none, or none can be taken.
    pub(super) fn poll_intake(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Intake {
        loop {
            let this = self.as_mut().project();
            let intake = this.pipeline.poll(cx, this.connection);
            if intake != Intake::Open || !matches!(this.phase, Phase::Open) {
                return intake;
            }
            if *this.held {
                // The next message may have to wait anew, with all of its time.
                self.as_mut().note_intake(intake);
                continue;
            }
            if self.as_mut().take_part() {
                continue;
            }
            let drained = self
                .wire
                .as_ref()
                .is_some_and(|wire| wire.is_drained(scratch));
            if drained {
                // Everything that one read brought is answered by one write.
                self.as_mut().flush(cx, scratch);
            }
            let this = self.as_mut().project();
            let Some(wire) = this.wire else {
                return Intake::Open;
            };
            match wire.poll_receive(cx, scratch, this.connection) {
                Poll::Pending => return Intake::Open,
                Poll::Ready(received) => self.as_mut().receive(received),
            }
        }
    }

    pub(super) fn receive(mut self: Pin<&mut Self>, received: Received) {
        let mut this = self.as_mut().project();
        match received {
            Received::Message(data) => {
                if this.machine.handle_message() {
                    this.pipeline.as_mut().take(data, this.connection);
                }
                if this.machine.transport() == Transport::Polling {
                    this.connection.set_expiry(this.machine.expires_at());
                }
                return;
            }
            Received::Control(packet) => {
                let now = Clock::now().into_std();
                let timing = this.connection.endpoint.settings.timing();
                this.machine
                    .handle_control(Channel::Current, packet, now, timing);
            }
            Received::Malformed(error) => this.machine.handle_malformed(Channel::Current, error),
            Received::Over(fact) => this.machine.close(fact.reason()),
        }
        self.act();
    }

    /// Takes the next packet of the POST under way; whether there was one.
    pub(super) fn take_part(mut self: Pin<&mut Self>) -> bool {
        let this = self.as_mut().project();
        let Some(post) = this.post else {
            return false;
        };
        match post.next() {
            Some(Part::Message(data)) => self.receive(Received::Message(data)),
            Some(Part::Control(packet)) => self.receive(Received::Control(packet)),
            Some(Part::Fault(error)) => {
                self.connection.blame_post();
                self.receive(Received::Malformed(error));
            }
            None => {
                *this.post = None;
                this.connection.finish_post();
            }
        }
        true
    }

    pub(super) fn flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>, scratch: &mut Scratch) {
        let this = self.as_mut().project();
        if let Some(wire) = this.wire
            && let Poll::Ready(Err(_)) = wire.poll_flush(cx, scratch, this.connection)
        {
            this.machine.close(Fact::Left.reason());
            self.act();
        }
    }

    /// While nothing is read, the deadline of the heartbeat stands still if that is our doing; if
    /// the client does not read, every byte that it takes is a sign of life.
    pub(super) fn note_intake(mut self: Pin<&mut Self>, intake: Intake) {
        let this = self.as_mut().project();
        let progress = this.wire.as_mut().is_some_and(Wire::take_progress);
        let timing: &Timing = this.connection.endpoint.settings.timing();
        match (intake, *this.held) {
            (Intake::Held, false) => this.machine.hold(Clock::now().into_std(), timing),
            (Intake::Open | Intake::Full, true) => {
                this.machine.release(Clock::now().into_std(), timing);
            }
            (Intake::Full, false) if progress => {
                let now = Clock::now().into_std();
                this.machine.hold(now, timing);
                this.machine.release(now, timing);
            }
            (Intake::Held, true) | (Intake::Open | Intake::Full, false) => return,
        }
        *this.held = intake == Intake::Held;
        self.act();
    }
}
