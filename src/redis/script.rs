use std::{fmt::Write as _, sync::Arc};

use deadpool_redis::redis::{Cmd, cmd};
use sha1::{Digest, Sha1};

/// One step inside of Redis, in one slot.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    text: Arc<str>,
    /// Its name in Redis.
    sha: Arc<str>,
}

impl Script {
    pub(crate) fn new(text: &str) -> Self {
        let mut sha = String::with_capacity(40);
        for byte in Sha1::digest(text) {
            // Writing into a String does not fail.
            let _ = write!(sha, "{byte:02x}");
        }
        Self {
            text: text.into(),
            sha: sha.into(),
        }
    }

    /// The command that runs it on these keys; arguments may follow.
    pub(crate) fn on(&self, keys: &[String]) -> Cmd {
        let mut eval = cmd("EVALSHA");
        eval.arg(&*self.sha).arg(keys.len()).arg(keys);
        eval
    }

    /// The command that makes it known.
    pub(super) fn load(&self) -> Cmd {
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(&*self.text);
        load
    }
}
