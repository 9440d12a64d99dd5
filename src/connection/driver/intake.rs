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
        let this = self.as_mut().project();
        let mut intake = this.pipeline.poll(cx, this.connection);
        while intake == Intake::Open && matches!(self.phase, Phase::Open) {
            if self.held {
                // The next message may have to wait anew, with all of its time.
                self.as_mut().note_intake(intake);
            } else if let Some(received) = self.as_mut().next_part() {
                intake = self.as_mut().receive(cx, received);
            } else if let Poll::Ready(received) = self.as_mut().poll_wire(cx, scratch) {
                intake = self.as_mut().receive(cx, received);
            } else {
                break;
            }
        }
        intake
    }

    fn receive(mut self: Pin<&mut Self>, cx: &mut Context<'_>, received: Received) -> Intake {
        let mut this = self.as_mut().project();
        match received {
            Received::Message(data) => {
                let counts = this.machine.handle_message();
                if this.machine.transport() == Transport::Polling {
                    this.connection.set_expiry(this.machine.expires_at());
                }
                if counts {
                    return this.pipeline.as_mut().take(cx, data, this.connection);
                }
                return Intake::Open;
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
        Intake::Open
    }

    /// The next packet of the POST under way.
    fn next_part(self: Pin<&mut Self>) -> Option<Received> {
        let this = self.project();
        let received = match this.post.as_mut()?.next() {
            Some(Part::Message(data)) => Received::Message(data),
            Some(Part::Control(packet)) => Received::Control(packet),
            Some(Part::Fault(error)) => {
                this.connection.blame_post();
                Received::Malformed(error)
            }
            None => {
                *this.post = None;
                this.connection.finish_post();
                return None;
            }
        };
        Some(received)
    }

    /// The next packet of the websocket.
    fn poll_wire(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<Received> {
        let drained = |wire: &W| wire.is_drained(scratch);
        if self.wire.as_ref().is_some_and(drained) {
            // Everything that one read brought is answered by one write.
            self.as_mut().flush(cx, scratch);
        }
        let this = self.project();
        match this.wire {
            Some(wire) => wire.poll_receive(cx, scratch, this.connection),
            None => Poll::Pending,
        }
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
