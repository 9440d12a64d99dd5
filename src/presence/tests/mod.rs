mod chores;
mod core;
mod directory;
mod doubt;
mod expiry;
mod judge;
mod liveness;
mod memory;
mod model;
mod node;
mod odd;
mod raise;
mod running;
mod task;

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "somewhere time has to begin")]
fn start() -> Instant {
    Instant::now()
}
