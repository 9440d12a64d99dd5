use std::{
    pin::Pin,
    task::{Context, Poll},
};

use hyper::upgrade::Upgraded;
use tokio::time::Instant as Clock;

use super::{
    super::{MakeHandler, Received, Scratch, Wire},
    Driver,
};
use crate::{
    engine::{Channel, CloseReason, Control},
    notice::Notice,
};

/// The websocket that wants to take over from long polling.
impl<M, W> Driver<M, W>
where
    M: MakeHandler,
    W: Wire + From<Upgraded>,
{
    /// A websocket wants to take over.
    pub(super) fn meet(
        self: Pin<&mut Self>,
        candidate: Upgraded,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) {
        let this = self.project();
        let timing = this.connection.endpoint.settings.timing();
        let mut candidate = Box::new(W::from(candidate));
        let now = Clock::now().into_std();
        if this.machine.handle_candidate(now, timing).is_ok() {
            *this.candidate = Some(candidate);
            return;
        }
        this.connection.free_candidate();
        let goodbye = candidate.poll_close(cx, scratch, &CloseReason::TransportClose);
        if goodbye.is_pending() {
            *this.leaving = Some(candidate);
        }
    }

    /// Takes the packets of a websocket that wants to take over.
    pub(super) fn poll_candidate(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) {
        loop {
            let this = self.as_mut().project();
            let Some(candidate) = this.candidate else {
                break;
            };
            let Poll::Ready(received) = candidate.poll_receive(cx, scratch, this.connection) else {
                break;
            };
            let now = Clock::now().into_std();
            let timing = this.connection.endpoint.settings.timing();
            let packet = match received {
                Received::Control(packet) => packet,
                Received::Message(_) | Received::Malformed(_) => Control::Message,
                Received::Over(_) => {
                    this.machine.handle_candidate_lost();
                    *this.candidate = None;
                    this.connection.free_candidate();
                    break;
                }
            };
            this.machine
                .handle_control(Channel::Candidate, packet, now, timing);
            candidate.stash(scratch);
            self.as_mut().act();
        }
        let this = self.as_mut().project();
        if let Some(candidate) = this.candidate {
            // Frames of the queue are for the transport in use: the candidate sends its own.
            drop(candidate.poll_flush_first(cx));
        }
    }

    /// Goes on with the goodbye of a websocket that did not take over.
    pub(super) fn poll_leaving(self: Pin<&mut Self>, cx: &mut Context<'_>, scratch: &mut Scratch) {
        let this = self.project();
        if let Some(leaving) = this.leaving
            && leaving
                .poll_close(cx, scratch, &CloseReason::TransportClose)
                .is_ready()
        {
            *this.leaving = None;
        }
    }

    pub(super) fn switch(self: Pin<&mut Self>) {
        let this = self.project();
        *this.wire = this.candidate.take().map(|candidate| *candidate);
        this.connection.switch();
        this.connection.metrics().upgraded();
        this.connection.notify(Notice::Upgrade {
            user: this.connection.user().clone(),
        });
    }
}
