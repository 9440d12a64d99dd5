use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::upgrade::Upgraded;
use tokio::time::Instant as Clock;

use super::{
    super::{Connection, MakeHandler, Scratch, Wire, exchange::LastWord, pipeline::Pipeline},
    Driver, Phase,
};
use crate::{
    config::Settings,
    engine::{CloseReason, Transport},
    notice::Notice,
};

/// How long a client on polling may take to fetch the last word of a server that closes.
const FAREWELL: Duration = Duration::from_secs(30);

/// How long the socket id of a client that closed is remembered, for the GET that it may have
/// sent at the same time.
const TOMBSTONE: Duration = Duration::from_secs(1);

/// The end of a connection.
impl<M, W> Driver<M, W>
where
    M: MakeHandler,
    W: Wire + From<Upgraded>,
{
    pub(super) fn begin_close(self: Pin<&mut Self>, reason: CloseReason) {
        if self.connection.endpoint.registry.is_killed() {
            return self.vanish(reason);
        }
        let this = self.project();
        let transport = this.machine.transport();
        let farewell = Farewell::of(&reason, transport, this.connection.settings());
        let keep_queue = farewell.keep_queue;
        this.connection.begin_close(keep_queue, farewell.last_word);
        this.connection.endpoint.leave(this.connection);
        this.connection.tell_end(transport, &reason);
        *this.post = None;
        *this.phase = Phase::Closing {
            flushed: !keep_queue,
            reason,
            until: Clock::now().into_std() + farewell.patience,
        };
    }

    /// Ends as when the process is killed: the client hears nothing.
    fn vanish(self: Pin<&mut Self>, reason: CloseReason) {
        let this = self.project();
        forget(this.connection);
        this.connection.endpoint.leave(this.connection);
        let user = this.connection.user().clone();
        this.connection.notify(Notice::Disconnect { user, reason });
        (*this.wire, *this.candidate, *this.leaving) = (None, None, None);
        *this.post = None;
        let until = Clock::now().into_std();
        *this.phase = Phase::Gone { until };
    }

    pub(super) fn poll_closing(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Poll<()> {
        let this = self.as_mut().project();
        this.pipeline.poll(cx, this.connection);
        let now = Clock::now().into_std();
        let mut this = self.as_mut().project();
        let (reason, until, flushed) = match this.phase {
            Phase::Closing {
                reason,
                until,
                flushed,
            } => (reason, until, flushed),
            Phase::Gone { until } if now >= *until => {
                this.pipeline.as_mut().give_up();
                return busy(&this.pipeline);
            }
            Phase::Gone { .. } | Phase::Open => return busy(&this.pipeline),
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
        let late = now >= *until;
        if said && left || late {
            *this.wire = None;
            *this.leaving = None;
            if *reason == CloseReason::HandlerTimeout {
                this.pipeline.as_mut().give_up();
            }
            let until = now + this.connection.endpoint.settings.timing().hold_timeout;
            *this.phase = Phase::Gone { until };
            forget(this.connection);
            // A message that waited for room in the queue waits no longer.
            this.pipeline.as_mut().poll(cx, this.connection);
            return busy(&this.pipeline);
        }
        Poll::Pending
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
pub(super) fn forget(connection: &Arc<Connection>) {
    connection.end();
    connection.endpoint.registry.forget_sid(connection);
}

/// How a connection ends.
struct Farewell {
    /// Whether what is queued still goes out.
    keep_queue: bool,
    /// What a client on polling hears last.
    last_word: Option<LastWord>,
    /// How long that may take.
    patience: Duration,
}

impl Farewell {
    /// What follows from why it ends.
    fn of(reason: &CloseReason, transport: Transport, settings: &Settings) -> Self {
        let last_word = match reason {
            _ if transport != Transport::Polling => None,
            CloseReason::TransportClose => Some(LastWord::Closed),
            reason if is_ours(reason) => Some(LastWord::Close),
            _ => None,
        };
        Self {
            keep_queue: !matches!(
                reason,
                CloseReason::TransportClose | CloseReason::PingTimeout | CloseReason::QueueFull
            ),
            patience: match last_word {
                Some(LastWord::Closed) => TOMBSTONE,
                Some(_) => FAREWELL,
                None => settings.timing().ping_timeout,
            },
            last_word,
        }
    }
}

/// Whether the end of a connection is the server's doing, so that the client may hear it.
const fn is_ours(reason: &CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::ForcedClose
            | CloseReason::Application(_)
            | CloseReason::Superseded
            | CloseReason::Fenced
            | CloseReason::QueueFull
            | CloseReason::HandlerTimeout
            | CloseReason::Shutdown
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::Noticeboard;

    #[test]
    fn who_polls_hears_of_every_end_that_is_the_servers_doing() {
        let settings = Settings::new(Noticeboard::new());
        let last_word = |reason| Farewell::of(&reason, Transport::Polling, &settings).last_word;
        for reason in [
            CloseReason::ForcedClose,
            CloseReason::Application("signed out".into()),
            CloseReason::Superseded,
            CloseReason::Fenced,
            CloseReason::QueueFull,
            CloseReason::HandlerTimeout,
            CloseReason::Shutdown,
        ] {
            assert_eq!(last_word(reason.clone()), Some(LastWord::Close), "{reason}");
        }
        for reason in [CloseReason::PingTimeout, CloseReason::TooLarge] {
            assert_eq!(last_word(reason.clone()), None, "{reason}");
        }
    }
}
