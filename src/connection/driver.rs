mod candidate;
mod closing;
mod intake;
mod timer;

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use hyper::upgrade::Upgraded;
use pin_project_lite::pin_project;
use tokio::time::{Instant as Clock, Sleep};

use self::closing::forget;
use super::{
    Connection, MakeHandler, Scratch, Wire,
    exchange::Errands,
    pipeline::{Intake, Pipeline},
};
use crate::{
    engine::{Channel, CloseReason, Control, Fact, Machine, Output, Payload, Transport},
    message::Frame,
    notice::Notice,
    spans::Span,
};

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
        span: Span,
    }

    impl<M: MakeHandler, W> PinnedDrop for Driver<M, W> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let _entered = this.span.enter();
            if !matches!(this.phase, Phase::Gone { .. }) {
                // A runtime that shuts down drops a task before its end, and so does a panic.
                if matches!(this.phase, Phase::Open) {
                    let transport = this.connection.transport();
                    this.connection.tell_end(transport, &Fact::Dropped.reason());
                }
                this.connection.endpoint.leave(this.connection);
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
    /// The client is gone. A call under way is left to its end, a message that waits for one only
    /// until a moment.
    Gone {
        until: Instant,
    },
}

impl<M, W> Driver<M, W>
where
    M: MakeHandler,
    W: Wire + From<Upgraded>,
{
    /// The task of a connection that is in the registry; `wire` is its websocket unless it
    /// begins with polling. The handler is made before, because that may panic.
    pub(crate) fn new(
        connection: Arc<Connection>,
        make: Arc<M>,
        handler: M::Handler,
        wire: Option<W>,
    ) -> Self {
        let now = Clock::now();
        let transport = connection.transport();
        let machine = Machine::open(
            transport,
            now.into_std(),
            connection.endpoint.settings.timing(),
        );
        let span = Span::connection(connection.user(), transport);
        {
            let _entered = span.enter();
            connection.notify(Notice::Connect {
                user: connection.user().clone(),
                transport,
            });
        }
        connection.metrics().connected(transport);
        Self {
            span,
            pipeline: Pipeline::new(make, handler),
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
        let pipeline = self.as_mut().project().pipeline;
        pipeline.set_followed(errands.followed);
        self.as_mut().apply_deadlines();
        self.as_mut().run(errands, cx, scratch);
        if self.candidate.is_some() {
            self.as_mut().poll_candidate(cx, scratch);
        }
        while matches!(self.phase, Phase::Open) {
            if self.as_mut().poll_open(cx, scratch).is_pending() {
                self.as_mut().poll_leaving(cx, scratch);
                self.as_mut().arm(cx);
                return Poll::Pending;
            }
        }
        self.as_mut().poll_leaving(cx, scratch);
        let ended = self.as_mut().poll_closing(cx, scratch);
        if ended.is_pending() {
            self.as_mut().arm(cx);
        }
        ended
    }

    /// One round of an open connection: pending when there is nothing to do but to wait, ready
    /// when the phase is to be looked at again.
    fn poll_open(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<()> {
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

    /// Does what others left for the task.
    fn run(
        mut self: Pin<&mut Self>,
        errands: Errands,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) {
        if errands.is_empty() {
            return;
        }
        let this = self.as_mut().project();
        let timing = this.connection.endpoint.settings.timing();
        if let Some(post) = errands.post {
            if post.has_pong() {
                // Before the messages: a handler may be busy for longer than the ping timeout.
                let now = Clock::now().into_std();
                let pong = Control::Pong { probe: false };
                this.machine
                    .handle_control(Channel::Current, pong, now, timing);
            }
            *this.post = Some(Box::new(post));
        }
        if let Some(candidate) = errands.candidate {
            self.as_mut().meet(candidate, cx, scratch);
        }
        if let Some(reason) = errands.close {
            self.as_mut().project().machine.close(reason);
        }
        self.act();
    }

    /// Does what the protocol's state asks for.
    fn act(mut self: Pin<&mut Self>) {
        while let Some(output) = self.as_mut().project().machine.poll_output() {
            let this = self.as_mut().project();
            match output {
                Output::Ping => this.connection.push_control(Frame::PING),
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
        if this.machine.transport() == Transport::Polling {
            this.connection.set_expiry(this.machine.expires_at());
        }
    }
}

impl<M, W> Future for Driver<M, W>
where
    M: MakeHandler,
    W: Wire + From<Upgraded>,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = Scratch::take();
        // Nobody else looks at it meanwhile.
        let span = mem::replace(self.as_mut().project().span, Span::none());
        let ended = {
            let _entered = span.enter();
            self.as_mut().drive(cx, &mut scratch)
        };
        *self.project().span = span;
        scratch.put_back();
        ended
    }
}
