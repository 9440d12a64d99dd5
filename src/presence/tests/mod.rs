mod doubt;
mod expiry;
mod liveness;
mod model;
mod odd;
mod raise;
mod task;

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "somewhere time has to begin")]
fn start() -> Instant {
    Instant::now()
}
