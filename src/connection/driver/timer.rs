use std::{pin::Pin, task::Context};

use hyper::upgrade::Upgraded;
use tokio::{task::unconstrained, time::Instant as Clock};

use super::{
    super::{MakeHandler, Wire},
    Driver, Phase,
};

/// The one timer of a connection.
impl<M, W> Driver<M, W>
where
    M: MakeHandler,
    W: Wire + From<Upgraded>,
{
    pub(super) fn apply_deadlines(mut self: Pin<&mut Self>) {
        if self.sleep.is_elapsed() {
            let this = self.as_mut().project();
            let now = Clock::now().into_std();
            this.machine
                .handle_timeout(now, this.connection.endpoint.settings.timing());
            this.armed_for.take();
            self.act();
        }
    }

    /// Sets the timer to the next deadline. One that comes later than before is not moved: the
    /// timer fires early once, and is set anew.
    pub(super) fn arm(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let mut this = self.project();
        let deadline = match this.phase {
            Phase::Open => this.machine.poll_timeout(),
            Phase::Closing { until, .. } => Some(*until),
            Phase::Gone { until } => Some(*until).filter(|_| this.pipeline.is_waiting()),
        };
        let Some(deadline) = deadline.map(Clock::from_std) else {
            return;
        };
        let armed = this
            .armed_for
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        if armed && this.sleep.deadline() <= deadline {
            return;
        }
        if !armed || this.sleep.deadline() > deadline {
            this.sleep.as_mut().reset(deadline);
        }
        *this.armed_for = Some(cx.waker().clone());
        // A task that has used up its budget would not be registered with the timer.
        let mut sleep = unconstrained(this.sleep.as_mut());
        if Pin::new(&mut sleep).poll(cx).is_ready() {
            *this.armed_for = None;
            cx.waker().wake_by_ref();
        }
    }
}
