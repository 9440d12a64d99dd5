use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{
    bus::{Level, Outcome, Refused},
    connection::{Connection, Fate, Watcher},
    message::{Frame, Outlet as _, SendError},
};

/// Queues a frame for one connection, now or not at all, and says how far it got: at once, or when
/// it is written.
pub(super) fn place(
    connection: &Connection,
    frame: Frame,
    level: Level,
    answer: impl FnOnce(Outcome) + Send + 'static,
) {
    let mut answer = Some(answer);
    let pushed = match level {
        Level::Enqueued => connection.try_push(frame),
        Level::Written => connection.try_push_watched(frame, || {
            let answer = answer.take();
            Watcher::new(move |fate| {
                if let Some(answer) = answer {
                    answer(outcome_of(fate));
                }
            })
        }),
    };
    if let Some(answer) = answer {
        answer(match pushed {
            Ok(()) => Outcome::Enqueued,
            Err(error) => Outcome::Refused(refused_for(&error)),
        });
    }
}

/// The same; the future is how far it got by `until`.
pub(super) fn place_and_wait(
    connection: &Connection,
    frame: Frame,
    level: Level,
    until: Instant,
) -> impl Future<Output = Outcome> + Send + 'static + use<> {
    let (tell, told) = oneshot::channel();
    // Who waits may have gone away.
    place(connection, frame, level, |outcome| {
        let _ = tell.send(outcome);
    });
    async move {
        match timeout_at(until, told).await {
            Ok(outcome) => outcome.unwrap_or(Outcome::Unknown),
            // In its queue it is: otherwise it would have been answered at once.
            Err(_) => Outcome::Enqueued,
        }
    }
}

const fn outcome_of(fate: Fate) -> Outcome {
    match fate {
        Fate::Written => Outcome::Written,
        Fate::Lost => Outcome::Refused(Refused::Closing),
        Fate::Unknown => Outcome::Unknown,
    }
}

const fn refused_for(error: &SendError) -> Refused {
    match error {
        SendError::Closed => Refused::Closing,
        SendError::Separator => Refused::Unsendable,
        _ => Refused::QueueFull,
    }
}
