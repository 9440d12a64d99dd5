use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Follows, Head};
use crate::{
    bus::{Level, Outcome, Wait},
    message::{FOLLOW_GAP, Frame, IntoArgs as _, Outgoing},
    node::{place::place, route::Letter},
    notice::Notice,
};

/// So many copies may be on their way to a follower on another node.
const UNDER_WAY: usize = 256;

/// A session that follows another one.
pub(super) struct Follower {
    session: Box<str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Copies that it surely or perhaps did not get.
    missed: u64,
    under_way: usize,
    gone_since: Option<Instant>,
}

impl Follower {
    pub(super) fn new(session: &str) -> Arc<Self> {
        Arc::new(Self {
            session: session.into(),
            state: Mutex::default(),
        })
    }

    pub(super) fn is(&self, session: &str) -> bool {
        *self.session == *session
    }

    pub(super) const fn session(&self) -> &str {
        &self.session
    }

    /// How many copies it missed, to be told once.
    pub(super) fn take_missed(&self) -> u64 {
        std::mem::take(&mut self.state.lock().missed)
    }

    /// Notes whether it is connected anywhere; since when it is not.
    pub(super) fn note_presence(&self, is_there: bool, now: Instant) -> Option<Instant> {
        let gone_since = &mut self.state.lock().gone_since;
        if is_there {
            *gone_since = None;
        } else {
            gone_since.get_or_insert(now);
        }
        *gone_since
    }

    /// Sends it a copy of a message, and before it what it missed.
    pub(super) fn copy(self: &Arc<Self>, follows: &Follows, head: &Head, frame: &Frame) {
        let mut state = self.state.lock();
        if state.under_way >= UNDER_WAY {
            state.missed += 1;
            return;
        }
        let missed = std::mem::take(&mut state.missed);
        drop(state);
        if missed > 0 {
            self.tell_gap(follows, head, missed);
        }
        let follower = Arc::clone(self);
        self.send(follows, head, frame.clone(), move |outcome| {
            follower.note(outcome, 1);
        });
    }

    fn tell_gap(self: &Arc<Self>, follows: &Follows, head: &Head, missed: u64) {
        let args = (&*head.session, missed);
        let gap = Outgoing::new(FOLLOW_GAP, args.as_args());
        // A codec that has no such events cannot tell it.
        let Ok(frame) = Frame::encode(follows.codec(), &gap) else {
            return;
        };
        let (notices, notice) = (follows.notices.clone(), self.gap(head, missed));
        let follower = Arc::clone(self);
        self.send(follows, head, frame, move |outcome| {
            if follower.note(outcome, missed) {
                notices.post(notice);
            }
        });
    }

    /// The notice of a gap.
    pub(super) fn gap(&self, head: &Head, missed: u64) -> Notice {
        Notice::FollowGap {
            account: head.account.clone(),
            followed: head.session.clone(),
            follower: self.session.clone(),
            missed,
        }
    }

    fn send(
        &self,
        follows: &Follows,
        head: &Head,
        frame: Frame,
        note: impl FnOnce(Outcome) + Send + 'static,
    ) {
        self.state.lock().under_way += 1;
        let session = &*self.session;
        if let Some(here) = follows.registry.session(&head.account, session) {
            return place(&here, frame, Level::Enqueued, note);
        }
        let Some(reach) = follows.reach() else {
            return note(Outcome::NoSession);
        };
        let letter = Letter::new(&head.account, session, frame);
        let wait = Wait::enqueued(reach.deadline);
        let outcome = follows.routes.forward(reach, letter, wait);
        reach.runtime.spawn(async move { note(outcome.await) });
    }

    /// Notes what became of something that stands for so many copies; whether it got it.
    fn note(&self, outcome: Outcome, copies: u64) -> bool {
        let mut state = self.state.lock();
        state.under_way -= 1;
        let got = matches!(outcome, Outcome::Enqueued | Outcome::Written);
        if got {
            state.gone_since = None;
        } else {
            state.missed += copies;
        }
        got
    }
}
