use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    task::yield_now,
    time::{Instant, sleep},
};

use super::{Feeds, State, now, outflow::Step, roster::Roster};
use crate::{
    bus::{Answer, Call, Fed, Held, Piece, Refused, Unreached},
    node::route::Reach,
    presence::{Life, Moves, Presence},
};

/// What comes right behind goes along.
const GATHER: Duration = Duration::from_millis(10);

/// After a piece a node pauses so long for each node of the cluster: all of them together send one
/// that watches no more than one in that time.
const SHARE: Duration = Duration::from_millis(2);

/// After so many leases without a heartbeat others may have taken this node for dead.
const AWAY: u32 = 4;

/// How long it may take until a piece is said to be taken.
const PATIENCE: Duration = Duration::from_secs(2);

/// From the first failure to the next attempt.
const MIN_BACKOFF: Duration = Duration::from_millis(100);

/// The longest time between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

impl Feeds {
    /// Lets what comes and goes here go to where it belongs, as long as somebody watches.
    pub(super) fn pump(self: &Arc<Self>, state: &mut State, reach: &Reach) {
        let moved = reach.presence.moved();
        moved.notify_one();
        if std::mem::replace(&mut state.pumping, true) {
            return;
        }
        reach.presence.want_moves(true);
        let (feeds, over) = (Arc::downgrade(self), self.over.clone());
        let beats = reach.presence.beats();
        reach.runtime.spawn(pump(feeds, moved, beats, over));
    }

    /// Tells another node what there is to be told, as long as it watches.
    pub(super) fn tell(self: &Arc<Self>, reach: &Reach, to: Arc<str>, task: u64) {
        let teller = Teller {
            feeds: Arc::downgrade(self),
            to,
            task,
        };
        let mut over = self.over.clone();
        reach.runtime.spawn(async move {
            tokio::select! {
                () = teller.run() => {}
                _ = over.changed() => {}
            }
        });
    }

    /// Looks after what has come and gone; whether to go on.
    fn turn(&self, beat: bool) -> bool {
        let Some(reach) = self.routes.reach() else {
            return false;
        };
        let mut state = self.state.lock();
        if beat {
            let nodes = reach.presence.peers().0.len() + 1;
            state.pause = pause(nodes);
            let long_ago = |beat: Instant| beat.elapsed() > reach.presence.lease() * AWAY;
            let away = state.beat.replace(Instant::now()).is_some_and(long_ago);
            state.lost |= !state.look_around(reach) || away;
        }
        let moves = reach.presence.take_moves();
        state.spread(&self.node, &moves);
        let goes_on = state.roster.has_readers() || !state.outflows.is_empty();
        if !goes_on {
            (state.pumping, state.beat) = (false, None);
            reach.presence.want_moves(false);
        }
        goes_on
    }

    /// Tells whoever watches here who is here, part by part, if that is due. What happens meanwhile
    /// is told behind it, and some of it twice.
    async fn take_own(&self) {
        let Some(reach) = self.routes.reach() else {
            return;
        };
        if !std::mem::take(&mut self.state.lock().own_due) {
            return;
        }
        self.take(|roster| roster.begin(&self.node));
        for part in 0..Presence::PARTS {
            let there = reach.presence.told_in(part);
            self.take(|roster| {
                roster.handle(now(), &self.node, &there);
            });
            yield_now().await;
        }
        self.take(|roster| roster.end(now(), &self.node));
    }

    /// Tells whoever watches here, if somebody does.
    fn take(&self, tell: impl FnOnce(&mut Roster)) {
        let mut state = self.state.lock();
        if state.roster.has_readers() {
            tell(&mut state.roster);
        }
    }

    /// Asks the nodes that have not told everything, or may have been misunderstood.
    fn ask(&self) {
        let Some(reach) = self.routes.reach() else {
            return;
        };
        let due = {
            let mut state = self.state.lock();
            if !state.roster.has_readers() || reach.presence.is_offline() {
                return;
            }
            let (peers, _) = reach.presence.peers();
            let lost = std::mem::take(&mut state.lost);
            state.inflows.due(now(), &peers, lost)
        };
        for (node, held) in due {
            // If it does not get there, it is asked again.
            let _ = reach.bus.post(&node, &Call::Watch(held));
        }
    }
}

impl State {
    /// Looks who is gone; not while nobody can tell, which it says.
    fn look_around(&mut self, reach: &Reach) -> bool {
        if reach.presence.is_offline() {
            return false;
        }
        let gone = |node: &str| {
            let life = reach.presence.life(node);
            matches!(life, Life::Dead | Life::Unknown)
        };
        for node in self.roster.nodes() {
            if gone(&node) {
                self.roster.gone(now(), &node);
            }
        }
        self.inflows.forget(gone);
        self.roster.forget_old(now());
        let over = self.outflows.extract_if(|node, _| gone(node));
        over.for_each(|(_, flow)| flow.news.notify_one());
        true
    }

    /// Takes what came and went here to where it belongs.
    fn spread(&mut self, node: &str, moves: &Moves) {
        if moves.overflowed {
            self.own_due = true;
            for flow in self.outflows.values_mut() {
                flow.start_over();
            }
        }
        for flow in self.outflows.values_mut() {
            flow.push(&moves.moves);
        }
        if self.roster.has_readers() {
            self.roster.handle(now(), node, &moves.moves);
        }
    }
}

/// How long a node waits between two pieces in a cluster of so many.
pub(super) fn pause(nodes: usize) -> Duration {
    let share = SHARE.saturating_mul(u32::try_from(nodes).unwrap_or(u32::MAX));
    share.clamp(GATHER, MAX_BACKOFF)
}

async fn pump(
    feeds: Weak<Feeds>,
    moved: Arc<Notify>,
    mut beats: watch::Receiver<u64>,
    mut over: watch::Receiver<()>,
) {
    loop {
        let beat = tokio::select! {
            beat = beats.changed() => match beat {
                Ok(()) => true,
                Err(_) => return,
            },
            () = moved.notified() => false,
            _ = over.changed() => return,
        };
        if !beat {
            sleep(GATHER).await;
        }
        let Some(feeds) = feeds.upgrade() else {
            return;
        };
        feeds.take_own().await;
        if !feeds.turn(beat) {
            return;
        }
        feeds.ask();
    }
}

/// Who tells one node.
struct Teller {
    feeds: Weak<Feeds>,
    to: Arc<str>,
    task: u64,
}

/// What a teller does next.
enum Next {
    Send(Piece),
    Wait(Arc<Notify>),
    End,
}

impl Teller {
    async fn run(self) {
        let mut backoff = MIN_BACKOFF;
        loop {
            let piece = match self.next() {
                Next::Send(piece) => piece,
                Next::Wait(news) => {
                    news.notified().await;
                    continue;
                }
                Next::End => return,
            };
            let at = piece.at;
            let fed = self.send(piece).await;
            match self.settle(at, fed) {
                Step::Next => backoff = MIN_BACKOFF,
                Step::BackOff | Step::Anew => {
                    sleep(backoff).await;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                }
                Step::End => return,
            }
            sleep(self.pause()).await;
        }
    }

    fn pause(&self) -> Duration {
        let feeds = self.feeds.upgrade();
        feeds.map_or(GATHER, |feeds| feeds.state.lock().pause)
    }

    fn next(&self) -> Next {
        let Some(feeds) = self.feeds.upgrade() else {
            return Next::End;
        };
        let Some(reach) = feeds.routes.reach() else {
            return Next::End;
        };
        let mut state = feeds.state.lock();
        let flow = state.outflows.get_mut(&self.to);
        let Some(flow) = flow.filter(|flow| flow.task == self.task) else {
            return Next::End;
        };
        match flow.next(reach.piece, |part| reach.presence.told_in(part)) {
            Some(piece) => Next::Send(piece),
            None => Next::Wait(Arc::clone(&flow.news)),
        }
    }

    async fn send(&self, piece: Piece) -> Option<Fed> {
        let asked = {
            let feeds = self.feeds.upgrade()?;
            let reach = feeds.routes.reach()?;
            reach.bus.ask(&self.to, &Call::Feed(piece), PATIENCE)
        };
        match asked.await {
            Ok(Answer::Fed(fed)) => Some(fed),
            // One of both goes away.
            Err(Unreached::Refused(Refused::Closing)) => Some(Fed::Unwanted),
            Ok(_) | Err(_) => None,
        }
    }

    fn settle(&self, at: Held, fed: Option<Fed>) -> Step {
        let Some(feeds) = self.feeds.upgrade() else {
            return Step::End;
        };
        let mut state = feeds.state.lock();
        let stream = state.streams + 1;
        let flow = state.outflows.get_mut(&self.to);
        let Some(flow) = flow.filter(|flow| flow.task == self.task) else {
            return Step::End;
        };
        let step = flow.settle(at, fed);
        match step {
            Step::Anew => {
                flow.renew(stream);
                state.streams = stream;
            }
            Step::End => {
                state.outflows.remove(&self.to);
            }
            Step::Next | Step::BackOff => {}
        }
        step
    }
}
