use std::time::Duration;

use super::{
    ConfigError,
    settings::{check, some_time},
};

/// What waits for a node, and what one may hold back for another.
#[derive(Clone, Debug)]
pub(crate) struct BusSettings {
    /// Entries that wait for this node at most.
    pub(crate) inbox_entries: usize,
    /// Bytes of them at most.
    pub(crate) inbox_bytes: usize,
    /// Bytes that wait here for one other node at most.
    pub(crate) backlog: usize,
    /// How long another node may take to answer, where the caller does not say.
    pub(crate) deadline: Duration,
}

/// A backlog that a message of the usual size has room in.
const SMALLEST: usize = 1024;

/// The largest string that Redis stores by default.
const LARGEST: usize = 512 * 1024 * 1024;

impl Default for BusSettings {
    fn default() -> Self {
        Self {
            inbox_entries: 65_536,
            inbox_bytes: 64 * 1024 * 1024,
            backlog: 4 * 1024 * 1024,
            deadline: Duration::from_secs(5),
        }
    }
}

/// The most that is sent in one piece where others can wait for it.
const PIECE: usize = 64 * 1024;

impl BusSettings {
    /// So many bytes are sent in one piece of what others can wait for: there is room left for the
    /// rest.
    pub(crate) fn piece(&self) -> usize {
        let room = self.backlog.min(self.inbox_bytes);
        (room / 2).min(PIECE)
    }

    pub(crate) fn set_inbox(&mut self, entries: usize, bytes: usize) -> Result<(), ConfigError> {
        check(entries > 0, "inbox", "must hold at least an entry")?;
        check(bytes >= SMALLEST, "inbox", "must hold at least 1,024 bytes")?;
        (self.inbox_entries, self.inbox_bytes) = (entries, bytes);
        Ok(())
    }

    pub(crate) fn set_backlog(&mut self, bytes: usize) -> Result<(), ConfigError> {
        let usable = (SMALLEST..=LARGEST).contains(&bytes);
        check(usable, "bus_backlog", "must be 1 KiB to 512 MiB")?;
        self.backlog = bytes;
        Ok(())
    }

    pub(crate) fn set_deadline(&mut self, deadline: Duration) -> Result<(), ConfigError> {
        self.deadline = some_time(deadline, "bus_deadline")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_makes_no_sense_is_refused() {
        let mut settings = BusSettings::default();
        for (entries, bytes) in [(0, 1 << 20), (1, 1023)] {
            let error = settings.set_inbox(entries, bytes).unwrap_err();
            assert_eq!(error.setting(), "inbox");
        }
        for bytes in [0, 1023, LARGEST + 1] {
            let error = settings.set_backlog(bytes).unwrap_err();
            assert_eq!(error.setting(), "bus_backlog");
        }
        assert!(settings.set_inbox(1, 1024).is_ok());
        assert!(settings.set_backlog(1024).is_ok());
    }

    #[test]
    fn a_size_from_outside_is_refused_by_name() {
        let refusal = |json: &str| {
            let config: super::super::Config = serde_json::from_str(json).unwrap();
            let mut settings = super::super::Settings::new(crate::notice::Noticeboard::new());
            settings.apply(&config).map_err(|error| error.setting())
        };
        assert_eq!(refusal(r#"{"bus": {"inbox_entries": 0}}"#), Err("inbox"));
        assert_eq!(refusal(r#"{"bus": {"inbox_bytes": 9}}"#), Err("inbox"));
        assert_eq!(refusal(r#"{"bus": {"backlog": 9}}"#), Err("bus_backlog"));
        assert_eq!(
            refusal(r#"{"bus": {"deadline_ms": 0}}"#),
            Err("bus_deadline")
        );
        assert_eq!(
            refusal(r#"{"bus": {"backlog": 9000, "deadline_ms": 9}}"#),
            Ok(())
        );
    }
}
