use std::{fmt::Write as _, sync::Arc};

use deadpool_redis::redis::{Arg, Cmd, cmd};
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

    /// The same call with the text in place of the name, if it is one of this script.
    pub(super) fn in_full(&self, call: &Cmd) -> Option<Cmd> {
        let mut args = call.args_iter().map(|arg| match arg {
            Arg::Simple(bytes) => bytes,
            _ => b"0",
        });
        if args.next() != Some(b"EVALSHA") || args.next() != Some(self.sha.as_bytes()) {
            return None;
        }
        let mut eval = cmd("EVAL");
        eval.arg(&*self.text);
        for arg in args {
            eval.arg(arg);
        }
        Some(eval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_in_full_has_the_text_and_all_else_as_it_was() {
        let (script, other) = (Script::new("return ARGV[1]"), Script::new("return 1"));
        let mut call = script.on(&["key".to_owned()]);
        call.arg("a b").arg(7);

        let full = script.in_full(&call).expect("a call of this script");

        let mut expected = cmd("EVAL");
        expected
            .arg("return ARGV[1]")
            .arg(1)
            .arg("key")
            .arg("a b")
            .arg(7);
        assert_eq!(full.get_packed_command(), expected.get_packed_command());
        assert!(other.in_full(&call).is_none());
        assert!(script.in_full(&cmd("PING")).is_none());
    }
}
