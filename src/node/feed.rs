//! What all nodes tell one another of their sessions, while somebody watches.
//!
//! A node on which somebody watches asks the others. Each of these tells it, piece by piece, who is
//! there, and from then on who comes and goes. A piece has a number and is sent again until it is
//! taken; the node that watches compares, once in a while, how far it is with who tells it, so that
//! whatever is lost on either side is found out. Where nobody watches nothing is done.

mod all;
mod inflow;
mod outflow;
mod reader;
mod roster;
mod tasks;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

pub(super) use self::all::All;
use self::{inflow::Inflows, outflow::Outflow, roster::Roster};
use super::route::{Reach, Routes};
use crate::{
    bus::{Fed, Held, Piece},
    notice::{Notice, Noticeboard},
    presence::{Life, Movement},
};

/// What a node knows of the sessions of all nodes, and whom it tells of its own.
pub(super) struct Feeds {
    node: Arc<str>,
    routes: Arc<Routes>,
    notices: Noticeboard,
    state: Mutex<State>,
    /// Changes when the node is gone.
    over: watch::Receiver<()>,
}

struct State {
    roster: Roster,
    inflows: Inflows,
    /// By the node that watches.
    outflows: HashMap<Arc<str>, Outflow>,
    /// How many streams there ever were.
    streams: u64,
    /// Somebody takes what comes and goes here to where it belongs.
    pumping: bool,
    /// The roster does not know our own sessions yet.
    own_due: bool,
    /// The directory was away: things may have been lost.
    lost: bool,
    /// The last heartbeat.
    beat: Option<Instant>,
    /// How long it takes from one piece to the next.
    pause: Duration,
}

impl Feeds {
    pub(super) fn new(
        node: &str,
        routes: &Arc<Routes>,
        notices: Noticeboard,
        over: watch::Receiver<()>,
    ) -> Arc<Self> {
        Arc::new(Self {
            node: node.into(),
            routes: Arc::clone(routes),
            notices,
            state: Mutex::new(State {
                roster: Roster::new(),
                inflows: Inflows::default(),
                outflows: HashMap::new(),
                streams: 0,
                pumping: false,
                own_due: false,
                lost: false,
                beat: None,
                pause: tasks::pause(1),
            }),
            over,
        })
    }

    /// One more reader.
    fn attach(self: &Arc<Self>, reach: &Reach) -> (usize, Arc<Notify>) {
        let mut state = self.state.lock();
        state.own_due |= !state.roster.has_readers();
        let attached = state.roster.attach();
        self.pump(&mut state, reach);
        attached
    }

    fn detach(&self, reader: usize) {
        let mut state = self.state.lock();
        let over = state.roster.detach(reader);
        if over.is_some() {
            state.inflows.clear();
        }
        drop(state);
        drop(over);
    }

    fn next(&self, reader: usize) -> Option<Movement> {
        self.state.lock().roster.next(reader)
    }

    fn missed(&self, reader: usize) -> u64 {
        self.state.lock().roster.missed(reader)
    }

    /// Another node watches, and was told so far.
    pub(super) fn asked(self: &Arc<Self>, from: &Arc<str>, held: Held) {
        let Some(reach) = self.reach_of(from) else {
            // It asks again.
            return;
        };
        let mut state = self.state.lock();
        let stream = state.streams + 1;
        match state.outflows.get_mut(from) {
            Some(flow) if flow.knows(held) => return,
            Some(flow) => flow.renew(stream),
            None => {
                state
                    .outflows
                    .insert(Arc::clone(from), Outflow::new(stream));
                self.tell(reach, Arc::clone(from), stream);
            }
        }
        state.streams = stream;
        self.pump(&mut state, reach);
    }

    /// Another node tells something.
    pub(super) fn fed(&self, from: &Arc<str>, piece: &Piece) -> Fed {
        if self.reach_of(from).is_none() {
            return Fed::Later;
        }
        let mut state = self.state.lock();
        if !state.roster.has_readers() {
            return Fed::Unwanted;
        }
        let State {
            roster, inflows, ..
        } = &mut *state;
        let taking = inflows.handle(roster, now(), from, piece);
        drop(state);
        if taking.excess {
            let what = format!("sessions of {from}: more than {}", roster::MOST);
            self.notices.post(Notice::BusInvalid { what });
        }
        taking.fed
    }

    /// What it takes to deal with a node that is there; nothing while it is not known.
    fn reach_of(&self, node: &str) -> Option<&Reach> {
        let reach = self.routes.reach()?;
        match reach.presence.life(node) {
            Life::Live | Life::Suspect if *node != *self.node => Some(reach),
            _ => None,
        }
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

impl std::fmt::Debug for Feeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feeds").finish_non_exhaustive()
    }
}
