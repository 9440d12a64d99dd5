use std::{
    error::Error,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Connection, MakeHandler,
    calls::{Called, Calls, Outcome},
    report,
};
use crate::{
    engine::Data,
    message::{Admission, Asking, Message, Refused},
    spans::Span,
};

type Fut<M> = <<M as MakeHandler>::Handler as Service<Message>>::Future;
type HandlerError<M> = <<M as MakeHandler>::Handler as Service<Message>>::Error;

pin_project! {
    /// The way of one connection's messages into its handler.
    ///
    /// At most one message waits here. While it does, nothing more is taken, and so nothing more
    /// is read from the client.
    pub(super) struct Pipeline<M: MakeHandler> {
        make: Arc<M>,
        handler: M::Handler,
        waiting: Waiting,
        // That of the message that waits.
        span: Span,
        // Others hear what comes through.
        followed: bool,
        #[pin]
        calls: Calls<Fut<M>>,
    }
}

enum Waiting {
    Nobody,
    /// For its validator, which asks somebody.
    Validation(Asking),
    /// For the handler; whether that was asked already. From then on it may have a place for this
    /// message that nobody else gets.
    Handler {
        message: Message,
        asked: bool,
    },
    /// Refused, for room in the queue: its sender wants an answer.
    Refusal(Refused),
}

/// What a pipeline can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intake {
    /// Take another message.
    Open,
    /// Nothing, until a validator or the handler is ready.
    Held,
    /// Nothing, until the client reads what is queued for it.
    Full,
}

impl<M: MakeHandler> Pipeline<M> {
    pub(super) const fn new(make: Arc<M>, handler: M::Handler) -> Self {
        Self {
            handler,
            make,
            waiting: Waiting::Nobody,
            span: Span::none(),
            followed: false,
            calls: Calls::new(),
        }
    }

    pub(super) fn set_followed(self: Pin<&mut Self>, followed: bool) {
        *self.project().followed = followed;
    }

    /// Takes a message, only when the intake is open, and goes on as far as possible.
    pub(super) fn take(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: Data,
        connection: &Arc<Connection>,
    ) -> Intake {
        let endpoint = connection.endpoint();
        endpoint.settings.metrics.received();
        let codec = &*endpoint.settings.codec;
        let this = self.as_mut().project();
        *this.span = Span::message();
        let admission = {
            let _entered = this.span.enter();
            let validators = &endpoint.validators;
            validators.admit(codec, data.into(), connection.socket())
        };
        match self.as_mut().settle(cx, admission, connection) {
            Some(intake) => intake,
            None => self.poll(cx, connection),
        }
    }

    /// Goes on as far as possible.
    pub(super) fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        connection: &Arc<Connection>,
    ) -> Intake {
        loop {
            self.as_mut().poll_calls(cx, connection);
            let this = self.as_mut().project();
            let intake = match this.waiting {
                Waiting::Nobody => return Intake::Open,
                Waiting::Validation(asking) => {
                    let polled = {
                        let _entered = this.span.enter();
                        asking.poll(cx)
                    };
                    let Poll::Ready(admission) = polled else {
                        return Intake::Held;
                    };
                    *this.waiting = Waiting::Nobody;
                    admission.and_then(|it| self.as_mut().settle(cx, it, connection))
                }
                Waiting::Refusal(_) if !connection.has_room() => return Intake::Full,
                Waiting::Refusal(_) | Waiting::Handler { .. } => match take(this.waiting) {
                    Waiting::Handler { message, asked } => {
                        self.as_mut().offer(cx, message, asked, connection)
                    }
                    Waiting::Refusal(refused) => {
                        self.as_mut().refuse(refused, connection);
                        None
                    }
                    Waiting::Nobody | Waiting::Validation(_) => None,
                },
            };
            if let Some(intake) = intake {
                return intake;
            }
        }
    }

    /// Whether a message waits for its validator or for the handler.
    pub(super) const fn is_waiting(&self) -> bool {
        !matches!(self.waiting, Waiting::Nobody)
    }

    /// Lets go of the message that waits.
    pub(super) fn give_up(self: Pin<&mut Self>) {
        let this = self.project();
        *this.waiting = Waiting::Nobody;
        *this.span = Span::none();
    }

    /// Whether a message waits or is being handled.
    pub(super) fn is_busy(&self) -> bool {
        self.is_waiting() || self.calls.len() > 0
    }

    /// Does what an admission asks for; why nothing more is taken, if that is known then.
    fn settle(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        admission: Admission,
        connection: &Arc<Connection>,
    ) -> Option<Intake> {
        let this = self.as_mut().project();
        match admission {
            Admission::Passed(message) => {
                if *this.followed {
                    tell_followers(connection, &message);
                }
                this.span.name_event(message.event());
                return self.offer(cx, message, false, connection);
            }
            Admission::Asking(asking) => *this.waiting = Waiting::Validation(asking),
            Admission::Refused(refused) if refused.id.is_some() => {
                *this.waiting = Waiting::Refusal(refused);
            }
            Admission::Refused(refused) => self.refuse(refused, connection),
        }
        None
    }

    fn refuse(self: Pin<&mut Self>, refused: Refused, connection: &Connection) {
        let span = mem::replace(self.project().span, Span::none());
        let _entered = span.enter();
        report::refused(connection, refused);
    }

    /// Calls the handler with a message; or keeps that, and says why.
    fn offer(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        message: Message,
        mut asked: bool,
        connection: &Arc<Connection>,
    ) -> Option<Intake> {
        let ready = self.as_mut().ask(cx, &message, &mut asked, connection);
        match ready {
            Ok(ready) => {
                self.dispatch(message, ready, connection);
                None
            }
            Err(intake) => {
                *self.project().waiting = Waiting::Handler { message, asked };
                Some(intake)
            }
        }
    }

    /// Asks the handler whether it is ready, with a message in hand.
    ///
    /// # Errors
    ///
    /// Why it is not asked, or not ready.
    fn ask(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        message: &Message,
        asked: &mut bool,
        connection: &Connection,
    ) -> Result<Outcome<Result<(), HandlerError<M>>>, Intake> {
        let this = self.project();
        if this.calls.len() >= connection.endpoint().settings.concurrency() {
            return Err(Intake::Held);
        }
        if !*asked && !connection.has_room() {
            return Err(Intake::Full);
        }
        if !mem::replace(asked, true) {
            M::prepare(this.handler, message);
        }
        let _entered = this.span.enter();
        match catch_unwind(AssertUnwindSafe(|| this.handler.poll_ready(cx))) {
            Ok(Poll::Pending) => Err(Intake::Held),
            Ok(Poll::Ready(ready)) => Ok(Ok(ready)),
            Err(panic) => Ok(Err(panic)),
        }
    }

    /// Calls a handler that said it is ready, or failed to say so.
    fn dispatch(
        self: Pin<&mut Self>,
        message: Message,
        ready: Outcome<Result<(), HandlerError<M>>>,
        connection: &Connection,
    ) {
        let this = self.project();
        let called = Called::of(&message, mem::replace(this.span, Span::none()));
        let outcome = {
            let _entered = called.span.enter();
            match ready {
                Ok(Err(error)) => Err(error.into()),
                Ok(Ok(())) => catch_unwind(AssertUnwindSafe(|| this.handler.call(message)))
                    .map_err(|_| report::panicked()),
                Err(_) => Err(report::panicked()),
            }
        };
        match outcome {
            Ok(future) => this.calls.push(future, called),
            Err(error) => {
                let _entered = called.span.enter();
                renew(this.handler, &**this.make, connection);
                report::failed(connection, &called, error);
            }
        }
    }

    fn poll_calls(self: Pin<&mut Self>, cx: &mut Context<'_>, connection: &Connection) {
        let mut this = self.project();
        while let Poll::Ready((called, outcome)) = this.calls.as_mut().poll_next(cx) {
            connection.metrics().handled(&called.since);
            let _entered = called.span.enter();
            match outcome {
                Ok(Ok(reply)) => {
                    let answer = || report::answered(connection, &called, reply.into());
                    if catch_unwind(AssertUnwindSafe(answer)).is_err() {
                        report::failed(connection, &called, report::panicked());
                    }
                }
                Ok(Err(error)) => {
                    if !matches!(this.waiting, Waiting::Handler { asked: true, .. }) {
                        remake(this.handler, &**this.make);
                    }
                    let error: Box<dyn Error + Send + Sync> = error.into();
                    report::failed(connection, &called, error);
                }
                Err(_) => {
                    renew(this.handler, &**this.make, connection);
                    report::failed(connection, &called, report::panicked());
                }
            }
        }
    }
}

fn tell_followers(connection: &Connection, message: &Message) {
    let user = connection.user();
    let tails = &connection.endpoint().tails;
    if let Some(tail) = tails.get(user.account(), user.session()) {
        tail.hear(message);
    }
}

fn take(waiting: &mut Waiting) -> Waiting {
    mem::replace(waiting, Waiting::Nobody)
}

/// A service that failed or panicked is not to be used again, if another one can be had.
fn renew<M: MakeHandler>(handler: &mut M::Handler, make: &M, connection: &Connection) {
    if let Ok(fresh) = catch_unwind(AssertUnwindSafe(|| make.make(connection.user()))) {
        *handler = fresh;
    }
}

/// An idle connection holds no place that others wait for.
fn remake<M: MakeHandler>(handler: &mut M::Handler, make: &M) {
    if let Ok(Some(fresh)) = catch_unwind(AssertUnwindSafe(|| make.remake())) {
        *handler = fresh;
    }
}
