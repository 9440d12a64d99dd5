//! Nodes that tell one that watches, over whatever loses, repeats and keeps what they say, against a
//! plain map of what is true.

mod inflow;
mod model;
mod roster;

use std::time::{Duration, Instant};

use crate::{message::User, presence::Move};

#[expect(clippy::disallowed_methods, reason = "somewhere time has to begin")]
fn start() -> Instant {
    Instant::now()
}

fn one(account: &str, session: &str, generation: u64, joined: bool) -> Move {
    Move {
        user: User::new(account, session, ""),
        generation,
        joined,
    }
}

const SECOND: Duration = Duration::from_secs(1);
