use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use hyper::upgrade::Upgraded;
use pin_project_lite::pin_project;
use tokio::time::{Instant as Clock, Sleep};

use super::{
    Connection, Endpoint, MakeHandler, Received, Scratch, Wire,
    connection::Errands,
    exchange::LastWord,
    pipeline::{Intake, Pipeline},
};
use crate::{
    engine::{Channel, CloseReason, Control, Machine, Output, Part, Payload, Timing, Transport},
    message::Frame,
    notice::Notice,
};

/// How long a client on polling may take to fetch the last word of a server that closes.
const FAREWELL: Duration = Duration::from_secs(30);

/// How long the socket id of a client that closed is remembered, for the GET that it may have
/// sent at the same time.
const TOMBSTONE: Duration = Duration::from_secs(1);

pin_project! {
    /// The task of one connection: its life from the handshake to the last byte.
    ///
    /// It owns the protocol's state, the websocket and the way into the handler; requests of long
    /// polling, handles and sockets reach it through the [`Connection`].
    #[must_use = "a connection lives only while its task is polled"]
    pub(crate) struct Driver<M: MakeHandler, W> {
        connection: Arc<Connection>,
        machine: Machine,
        phase: Phase,
        wire: Option<W>,
        candidate: Option<Box<W>>,
        // A candidate that was dropped and is saying goodbye.
        leaving: Option<Box<W>>,
        post: Option<Box<Payload>>,
        held: bool,
        #[pin]
        pipeline: Pipeline<M>,
        #[pin]
        sleep: Sleep,
        // Who is woken by `sleep`.
        armed_for: Option<Waker>,
    }

    impl<M: MakeHandler, W> PinnedDrop for Driver<M, W> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if !matches!(this.phase, Phase::Gone) {
                // A runtime that shuts down drops a task before its end.
                this.connection.endpoint.registry.leave_account(this.connection);
                forget(this.connection);
            }
        }
    }
}

enum Phase {
    Open,
    /// Handlers finish, the queue empties, the client hears the last word.
    Closing {
        reason: CloseReason,
        until: Instant,
        flushed: bool,
    },
    /// The client is gone; at most a handler is still at work.
    Gone,
}

impl<M, W> Driver<M, W>
where
    M: MakeHandler,
    W: Wire + From<Upgraded>,
{
    /// The task of a connection that is in the registry; `wire` is its websocket unless it
    /// begins with polling.
    pub(crate) fn new(connection: Arc<Connection>, make: Arc<M>, wire: Option<W>) -> Self {
        let now = Clock::now();
        let transport = connection.transport();
        let machine = Machine::open(transport, now.into_std(), connection.endpoint.settings.timing());
        connection.endpoint.settings.notices.post(Notice::Connect {
            user: connection.user().clone(),
            transport,
        });
        Self {
            pipeline: Pipeline::new(make, &connection),
            sleep: tokio::time::sleep_until(now),
            armed_for: None,
            connection,
            machine,
            phase: Phase::Open,
            wire,
            candidate: None,
            leaving: None,
            post: None,
            held: false,
        }
    }

    fn drive(mut self: Pin<&mut Self>, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        let errands = self.connection.attend(cx.waker());
        self.as_mut().apply_deadlines();
        self.as_mut().run(errands, cx, scratch);
        self.as_mut().poll_candidate(cx, scratch);
        while matches!(self.phase, Phase::Open) {
            if self.as_mut().poll_open(cx, scratch).is_pending() {
                self.as_mut().arm(cx);
                return Poll::Pending;
            }
        }
        let ended = self.as_mut().poll_closing(cx, scratch);
        if ended.is_pending() {
            self.as_mut().arm(cx);
        }
        ended
    }

    /// One round of an open connection: pending when there is nothing to do but to wait, ready
    /// when the phase is to be looked at again.
    fn poll_open(mut self: Pin<&mut Self>, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        let intake = self.as_mut().poll_intake(cx, scratch);
        if !matches!(self.phase, Phase::Open) {
            return Poll::Ready(());
        }
        self.as_mut().note_intake(intake);
        self.as_mut().flush(cx, scratch);
        let this = self.as_mut().project();
        if let Some(wire) = this.wire {
            wire.stash(scratch);
        }
        let has_room_again = intake == Intake::Full && this.connection.has_room();
        if matches!(this.phase, Phase::Open) && !has_room_again {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Takes packets until there is none, or none can be taken.
    fn poll_intake(mut self: Pin<&mut Self>, cx: &mut Context<'_>, scratch: &mut Scratch) -> Intake {
        loop {
            let this = self.as_mut().project();
            let intake = this.pipeline.poll(cx, this.connection);
            if intake != Intake::Open || !matches!(this.phase, Phase::Open) {
                return intake;
            }
            if self.as_mut().take_part() {
                continue;
            }
            let drained = self.wire.as_ref().is_some_and(|wire| wire.is_drained(scratch));
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

    fn receive(mut self: Pin<&mut Self>, received: Received) {
        let mut this = self.as_mut().project();
        match received {
            Received::Message(data) => {
                if this.machine.handle_message() {
                    this.pipeline.as_mut().take(data, this.connection);
                }
                return;
            }
            Received::Control(packet) => {
                let now = Clock::now().into_std();
                let timing = this.connection.endpoint.settings.timing();
                this.machine.handle_control(Channel::Current, packet, now, timing);
            }
            Received::Malformed(error) => this.machine.handle_malformed(Channel::Current, error),
            Received::Over(reason) => this.machine.close(reason),
        }
        self.act();
    }

    /// Takes the next packet of the POST under way; whether there was one.
    fn take_part(mut self: Pin<&mut Self>) -> bool {
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

    fn apply_deadlines(mut self: Pin<&mut Self>) {
        if self.sleep.is_elapsed() {
            let this = self.as_mut().project();
            let now = Clock::now().into_std();
            this.machine.handle_timeout(now, this.connection.endpoint.settings.timing());
            this.armed_for.take();
            self.act();
        }
    }

    /// Does what others left for the task.
    fn run(
        mut self: Pin<&mut Self>,
        errands: Errands,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) {
        let this = self.as_mut().project();
        let timing = this.connection.endpoint.settings.timing();
        if let Some(post) = errands.post {
            if post.has_pong() {
                // Before the messages: a handler may be busy for longer than the ping timeout.
                let now = Clock::now().into_std();
                let pong = Control::Pong { probe: false };
                this.machine.handle_control(Channel::Current, pong, now, timing);
            }
            *this.post = Some(Box::new(post));
        }
        if let Some(candidate) = errands.candidate {
            let mut candidate = Box::new(W::from(candidate));
            match this.machine.handle_candidate(Clock::now().into_std(), timing) {
                Ok(()) => *this.candidate = Some(candidate),
                Err(_) => {
                    let reason = CloseReason::TransportClose;
                    if candidate.poll_close(cx, scratch, &reason).is_pending() {
                        *this.leaving = Some(candidate);
                    }
                    this.connection.free_candidate();
                }
            }
        }
        if let Some(reason) = errands.close {
            this.machine.close(reason);
        }
        self.act();
    }

    /// Takes the packets of a websocket that wants to take over.
    fn poll_candidate(mut self: Pin<&mut Self>, cx: &mut Context<'_>, scratch: &mut Scratch) {
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
            this.machine.handle_control(Channel::Candidate, packet, now, timing);
            candidate.stash(scratch);
            self.as_mut().act();
        }
        let this = self.as_mut().project();
        if let Some(candidate) = this.candidate {
            // Frames of the queue are for the transport in use: the candidate sends its own.
            drop(candidate.poll_flush_first(cx));
        }
        if let Some(leaving) = this.leaving
            && leaving.poll_close(cx, scratch, &CloseReason::TransportClose).is_ready()
        {
            *this.leaving = None;
        }
    }

    /// Does what the protocol's state asks for.
    fn act(mut self: Pin<&mut Self>) {
        while let Some(output) = self.as_mut().project().machine.poll_output() {
            let this = self.as_mut().project();
            match output {
                Output::Ping => this.connection.push_unbounded(Frame::PING),
                Output::ProbeReply => {
                    if let Some(candidate) = this.candidate {
                        candidate.send_first(Frame::PROBE_REPLY);
                    }
                }
                Output::Noop => this.connection.release_poll(),
                Output::Switch => self.as_mut().switch(),
                Output::DropCandidate => {
                    *this.leaving = this.candidate.take();
                    this.connection.free_candidate();
                }
                Output::Closed(reason) => self.as_mut().begin_close(reason),
            }
        }
        let this = self.project();
        this.connection.set_expiry(this.machine);
    }

    fn switch(self: Pin<&mut Self>) {
        let this = self.project();
        *this.wire = this.candidate.take().map(|candidate| *candidate);
        this.connection.switch();
        this.connection.endpoint.settings.notices.post(Notice::Upgrade {
            user: this.connection.user().clone(),
        });
    }

    fn begin_close(self: Pin<&mut Self>, reason: CloseReason) {
        let this = self.project();
        let endpoint: &Endpoint = &this.connection.endpoint;
        let on_polling = this.machine.transport() == Transport::Polling;
        let last_word = match &reason {
            _ if !on_polling => None,
            CloseReason::TransportClose => Some(LastWord::Closed),
            reason if is_ours(reason) => Some(LastWord::Close),
            _ => None,
        };
        let patience = match last_word {
            Some(LastWord::Closed) => TOMBSTONE,
            Some(_) => FAREWELL,
            None => endpoint.settings.timing().ping_timeout,
        };
        this.connection.begin_close(keeps_queue(&reason), last_word);
        endpoint.registry.leave_account(this.connection);
        endpoint.settings.notices.post(Notice::Disconnect {
            user: this.connection.user().clone(),
            reason: reason.clone(),
        });
        *this.post = None;
        *this.phase = Phase::Closing {
            flushed: !keeps_queue(&reason),
            reason,
            until: Clock::now().into_std() + patience,
        };
    }

    fn poll_closing(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<()> {
        let this = self.as_mut().project();
        this.pipeline.poll(cx, this.connection);
        let this = self.as_mut().project();
        let Phase::Closing {
            reason,
            until,
            flushed,
        } = this.phase
        else {
            return busy(&this.pipeline);
        };
        let mut said = this.connection.said_goodbye();
        if let Some(wire) = this.wire {
            wire.stash(scratch);
            if !*flushed {
                *flushed = wire.poll_flush(cx, scratch, this.connection).is_ready();
            }
            said = *flushed && wire.poll_close(cx, scratch, reason).is_ready();
        }
        let left = this.leaving.is_none();
        let late = Clock::now().into_std() >= *until;
        if said && left || late {
            *this.wire = None;
            *this.leaving = None;
            *this.phase = Phase::Gone;
            forget(this.connection);
            return busy(&this.pipeline);
        }
        Poll::Pending
    }

    fn flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>, scratch: &mut Scratch) {
        let this = self.as_mut().project();
        if let Some(wire) = this.wire
            && let Poll::Ready(Err(_)) = wire.poll_flush(cx, scratch, this.connection)
        {
            this.machine.close(CloseReason::TransportClose);
            self.act();
        }
    }

    /// While nothing is read, the deadline of the heartbeat stands still if that is our doing; if
    /// the client does not read, every byte that it takes is a sign of life.
    fn note_intake(mut self: Pin<&mut Self>, intake: Intake) {
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

    /// Sets the timer to the next deadline. One that comes later than before is not moved: the
    /// timer fires early once, and is set anew.
    fn arm(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let mut this = self.project();
        let deadline = match this.phase {
            Phase::Open => this.machine.poll_timeout(),
            Phase::Closing { until, .. } => Some(*until),
            Phase::Gone => None,
        };
        let Some(deadline) = deadline.map(Clock::from_std) else {
            return;
        };
        let armed = this.armed_for.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if armed && this.sleep.deadline() <= deadline {
            return;
        }
        if !armed || this.sleep.deadline() > deadline {
            this.sleep.as_mut().reset(deadline);
        }
        *this.armed_for = Some(cx.waker().clone());
        if this.sleep.poll(cx).is_ready() {
            *this.armed_for = None;
            cx.waker().wake_by_ref();
        }
    }
}

/// Pending while a handler is at work.
fn busy<M: MakeHandler>(pipeline: &Pipeline<M>) -> Poll<()> {
    if pipeline.is_busy() {
        Poll::Pending
    } else {
        Poll::Ready(())
    }
}

/// From now on requests and handles do not find the connection.
fn forget(connection: &Arc<Connection>) {
    connection.end();
    connection.endpoint.registry.forget_sid(connection);
}

/// Whether the end of a connection is the server's doing, so that the client may hear it.
const fn is_ours(reason: &CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::ForcedClose
            | CloseReason::Application(_)
            | CloseReason::Superseded
            | CloseReason::QueueFull
            | CloseReason::HandlerTimeout
            | CloseReason::Shutdown
    )
}

/// Whether what is queued still goes out.
const fn keeps_queue(reason: &CloseReason) -> bool {
    !matches!(
        reason,
        CloseReason::TransportClose | CloseReason::PingTimeout | CloseReason::QueueFull
    )
}

impl<M, W> Future for Driver<M, W>
where
    M: MakeHandler,
    W: Wire + From<Upgraded>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = Scratch::take();
        let ended = self.drive(cx, &mut scratch);
        scratch.put_back();
        ready!(ended);
        Poll::Ready(())
    }
}
