use std::{sync::Arc, time::Duration};

use super::{ConfigError, settings::check};
use crate::metrics::Metrics;
use crate::reach::Reach;

/// The longest namespace, in bytes.
const LONGEST_NAMESPACE: usize = 64;

/// The shortest period that makes sense over a network.
const SHORTEST: Duration = Duration::from_millis(10);

/// The longest one: a cluster that takes longer to notice a death is none.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The shortest time after which entries expire.
const SHORTEST_EXPIRY: Duration = Duration::from_secs(1);

/// What becomes of the clients of a node that the others have given up, or must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FencedPolicy {
    /// They stay, and are found again as soon as the node is back. Until then a session may be
    /// connected here and, newer, elsewhere.
    #[default]
    Keep,
    /// They are closed with the reason [`Fenced`](crate::CloseReason::Fenced): once others declared
    /// the node dead, and as soon as it did not reach Redis for so long that they must be about to.
    /// What [`liveness`](crate::PrimacronLayer::liveness) says of dead nodes counts, less one lease.
    Close,
}

/// How the directory is kept.
#[derive(Clone, Debug)]
pub(crate) struct PresenceSettings {
    pub(crate) namespace: Box<str>,
    pub(crate) lease: Duration,
    pub(crate) suspect: Duration,
    pub(crate) dead: Duration,
    pub(crate) wait: Duration,
    pub(crate) required: bool,
    pub(crate) batch: usize,
    pub(crate) rate: u32,
    pub(crate) backlog: usize,
    pub(crate) command_timeout: Duration,
    pub(crate) fenced: FencedPolicy,
    pub(crate) leave_feed: bool,
    pub(crate) expiry: Duration,
    /// How other nodes reach this one, once it is known.
    pub(crate) reach: Option<Arc<Reach>>,
    pub(crate) metrics: Metrics,
}

impl Default for PresenceSettings {
    fn default() -> Self {
        Self {
            namespace: "primacron".into(),
            lease: Duration::from_millis(500),
            suspect: Duration::from_millis(2500),
            dead: Duration::from_secs(4),
            wait: Duration::from_millis(100),
            required: false,
            batch: 512,
            rate: 50_000,
            backlog: 100_000,
            command_timeout: Duration::from_secs(1),
            fenced: FencedPolicy::Keep,
            leave_feed: true,
            expiry: Duration::from_secs(3600),
            reach: None,
            metrics: Metrics::default(),
        }
    }
}

impl PresenceSettings {
    pub(crate) fn set_namespace(&mut self, namespace: &str) -> Result<(), ConfigError> {
        let fits = (1..=LONGEST_NAMESPACE).contains(&namespace.len());
        let plain = namespace.bytes().all(|byte| byte.is_ascii_graphic());
        check(
            fits && plain && !namespace.contains(['{', '}']),
            "namespace",
            "must be 1 to 64 printable ASCII characters without braces",
        )?;
        self.namespace = namespace.into();
        Ok(())
    }

    pub(crate) fn set_liveness(
        &mut self,
        lease: Duration,
        suspect: Duration,
        dead: Duration,
    ) -> Result<(), ConfigError> {
        let name = "liveness";
        check(lease >= SHORTEST, name, "must renew at least 10 ms apart")?;
        check(dead <= LONGEST, name, "must give up within a day")?;
        check(
            suspect >= lease * 2,
            name,
            "must suspect no sooner than after two leases",
        )?;
        check(
            dead >= lease * 2,
            name,
            "must give up no sooner than after two leases",
        )?;
        check(dead >= suspect, name, "must suspect before it gives up")?;
        (self.lease, self.suspect, self.dead) = (lease, suspect, dead);
        Ok(())
    }

    pub(crate) fn set_wait(&mut self, wait: Duration) -> Result<(), ConfigError> {
        check(wait <= LONGEST, "presence_wait", "must be at most a day")?;
        self.wait = wait;
        Ok(())
    }

    pub(crate) fn set_batch(&mut self, commands: usize) -> Result<(), ConfigError> {
        check(
            (1..=100_000).contains(&commands),
            "presence_batch",
            "must be 1 to 100,000",
        )?;
        self.batch = commands;
        Ok(())
    }

    pub(crate) fn set_rate(&mut self, entries: u32) -> Result<(), ConfigError> {
        check(entries > 0, "presence_rate", "must not be zero")?;
        self.rate = entries;
        Ok(())
    }

    pub(crate) fn set_backlog(&mut self, entries: usize) -> Result<(), ConfigError> {
        check(entries > 0, "presence_backlog", "must not be zero")?;
        self.backlog = entries;
        Ok(())
    }

    pub(crate) fn set_expiry(&mut self, expiry: Duration) -> Result<(), ConfigError> {
        let name = "presence_expiry";
        check(expiry >= SHORTEST_EXPIRY, name, "must be at least a second")?;
        check(expiry <= LONGEST, name, "must be at most a day")?;
        self.expiry = expiry;
        Ok(())
    }

    pub(crate) fn set_command_timeout(&mut self, timeout: Duration) -> Result<(), ConfigError> {
        check(
            timeout >= SHORTEST,
            "command_timeout",
            "must be at least 10 ms",
        )?;
        check(
            timeout <= LONGEST,
            "command_timeout",
            "must be at most a day",
        )?;
        self.command_timeout = timeout;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_makes_no_sense_is_refused() {
        let mut settings = PresenceSettings::default();
        for bad in ["", "a{b", "a}", "a b", "é", &"x".repeat(65)] {
            let error = settings.set_namespace(bad).unwrap_err();
            assert_eq!(error.setting(), "namespace", "{bad}");
        }
        assert!(settings.set_namespace("app:1").is_ok());
    }

    #[test]
    fn a_setting_from_outside_is_refused_by_name() {
        let refusal = |json: &str| {
            let config: super::super::Config = serde_json::from_str(json).unwrap();
            let mut settings = super::super::Settings::new(crate::notice::Noticeboard::new());
            settings.apply(&config).map_err(|error| error.setting())
        };
        assert_eq!(
            refusal(r#"{"presence": {"namespace": ""}}"#),
            Err("namespace")
        );
        assert_eq!(
            refusal(r#"{"presence": {"dead_ms": 900}}"#),
            Err("liveness")
        );
        assert_eq!(
            refusal(r#"{"presence": {"command_timeout_ms": 0}}"#),
            Err("command_timeout")
        );
        assert_eq!(
            refusal(r#"{"presence": {"batch": 0}}"#),
            Err("presence_batch")
        );
        assert_eq!(
            refusal(r#"{"presence": {"expiry_ms": 999}}"#),
            Err("presence_expiry")
        );
        assert_eq!(
            refusal(r#"{"presence": {"dead_ms": 9000, "namespace": "x", "leave_feed": false}}"#),
            Ok(())
        );
    }

    #[test]
    fn periods_that_make_no_sense_are_refused() {
        let ms = Duration::from_millis;
        for (lease, suspect, dead) in [
            (0, 10, 20),
            (500, 900, 4000),
            (500, 1000, 900),
            (500, 5000, 4000),
        ] {
            let refused =
                PresenceSettings::default().set_liveness(ms(lease), ms(suspect), ms(dead));
            assert_eq!(refused.unwrap_err().setting(), "liveness");
        }
        let usable = PresenceSettings::default().set_liveness(ms(100), ms(200), ms(200));
        assert!(usable.is_ok());
    }
}
