//! Settings and their defaults.
//!
//! A program sets them on the [`PrimacronLayer`](crate::PrimacronLayer), where one that makes no
//! sense panics. [`Config`] is for settings that come from outside, a file say: what makes no
//! sense there is a [`ConfigError`].
//!
//! ```
//! use primacron::{Config, PrimacronLayer};
//!
//! let config: Config = serde_json::from_str(r#"{"path": "/live/", "ping_interval_ms": 10000}"#)?;
//! let layer = PrimacronLayer::in_memory().configure(&config)?;
//! # drop(layer);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{sync::Arc, time::Duration};

use serde::Deserialize;

use crate::{
    engine::{Timing, Transport},
    message::{Codec, Json},
    notice::Noticeboard,
    websocket::Limits,
};

/// What becomes of a connection whose outgoing queue is full when somebody sends without waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QueuePolicy {
    /// Volatile messages are dropped; if that is not enough, the connection is closed with
    /// [`CloseReason::QueueFull`](crate::CloseReason::QueueFull). A client that gets a message
    /// late finds out by itself; one that misses a message never does.
    #[default]
    Close,
    /// Volatile messages are dropped; if that is not enough, the sender gets
    /// [`SendError::Full`](crate::SendError::Full) and the connection lives on without the
    /// message.
    DropVolatile,
}

/// Settings from outside. Every key may be missing; unknown keys are an error.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// See [`PrimacronLayer::path`](crate::PrimacronLayer::path).
    pub path: Option<String>,
    /// See [`PrimacronLayer::transports`](crate::PrimacronLayer::transports); `"polling"` and
    /// `"websocket"`.
    pub transports: Option<Vec<String>>,
    /// See [`PrimacronLayer::ping_interval`](crate::PrimacronLayer::ping_interval), milliseconds.
    pub ping_interval_ms: Option<u64>,
    /// See [`PrimacronLayer::ping_timeout`](crate::PrimacronLayer::ping_timeout), milliseconds.
    pub ping_timeout_ms: Option<u64>,
    /// See [`PrimacronLayer::upgrade_timeout`](crate::PrimacronLayer::upgrade_timeout),
    /// milliseconds.
    pub upgrade_timeout_ms: Option<u64>,
    /// See [`PrimacronLayer::hold_timeout`](crate::PrimacronLayer::hold_timeout), milliseconds.
    pub hold_timeout_ms: Option<u64>,
    /// See [`PrimacronLayer::max_payload`](crate::PrimacronLayer::max_payload), bytes.
    pub max_payload: Option<usize>,
    /// See [`PrimacronLayer::max_packets`](crate::PrimacronLayer::max_packets).
    pub max_packets: Option<usize>,
    /// See [`PrimacronLayer::allow_upgrades`](crate::PrimacronLayer::allow_upgrades).
    pub allow_upgrades: Option<bool>,
    /// See [`PrimacronLayer::allowed_origins`](crate::PrimacronLayer::allowed_origins).
    pub allowed_origins: Option<Vec<String>>,
    /// See [`PrimacronLayer::queue_limit`](crate::PrimacronLayer::queue_limit), bytes.
    pub queue_limit: Option<usize>,
    /// See [`PrimacronLayer::queue_policy`](crate::PrimacronLayer::queue_policy).
    pub queue_policy: Option<QueuePolicy>,
    /// See [`PrimacronLayer::concurrency`](crate::PrimacronLayer::concurrency).
    pub concurrency: Option<usize>,
    /// See [`PrimacronLayer::report_to_client`](crate::PrimacronLayer::report_to_client).
    pub report_to_client: Option<bool>,
    /// See [`PrimacronLayer::handshake_data`](crate::PrimacronLayer::handshake_data).
    pub handshake_data: Option<bool>,
    /// See [`PrimacronLayer::serve_client`](crate::PrimacronLayer::serve_client).
    pub serve_client: Option<bool>,
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {problem}")]
pub struct ConfigError {
    setting: &'static str,
    problem: &'static str,
}

impl ConfigError {
    /// The name of the setting, as the setter is called.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        self.setting
    }

    /// Panics with this error: in a setter it is the programmer's.
    #[track_caller]
    pub(crate) fn panic(&self) -> ! {
        panic!("{self}")
    }
}

/// What the setters set. Every setter refuses what makes no sense.
#[derive(Clone)]
pub(crate) struct Settings {
    path: Box<str>,
    polling: bool,
    websocket: bool,
    timing: Timing,
    limits: Limits,
    max_packets: usize,
    initial_packet: Option<Arc<str>>,
    cookie: Option<Cookie>,
    origins: Origins,
    queue_limit: usize,
    queue_policy: QueuePolicy,
    concurrency: usize,
    pub(crate) report_to_client: bool,
    pub(crate) handshake_data: bool,
    pub(crate) serve_client: bool,
    pub(crate) codec: Arc<dyn Codec>,
    pub(crate) notices: Noticeboard,
}

/// A cookie that carries the socket id, for balancers that need one.
#[derive(Clone, Debug)]
pub(crate) struct Cookie {
    pub(crate) name: Box<str>,
}

/// Which pages of other origins may connect with the browser's cookies.
#[derive(Clone, Debug)]
pub(crate) enum Origins {
    Any,
    SameAnd(Box<[Box<str>]>),
}

const MIN_PAYLOAD: usize = 16;

impl Settings {
    pub(crate) fn new(notices: Noticeboard) -> Self {
        Self {
            path: "/stream".into(),
            polling: true,
            websocket: true,
            timing: Timing {
                ping_interval: Duration::from_secs(25),
                ping_timeout: Duration::from_secs(20),
                upgrade_timeout: Duration::from_secs(10),
                hold_timeout: Duration::from_secs(60),
                allow_upgrades: true,
            },
            limits: Limits {
                max_message: 1_000_000,
                max_fragments: 1024,
            },
            max_packets: 1024,
            initial_packet: None,
            cookie: None,
            origins: Origins::SameAnd(Box::new([])),
            queue_limit: 4 * 1024 * 1024,
            queue_policy: QueuePolicy::default(),
            concurrency: 1,
            report_to_client: true,
            handshake_data: true,
            serve_client: false,
            codec: Arc::new(Json),
            notices,
        }
    }

    /// Applies what a [`Config`] sets.
    pub(crate) fn apply(&mut self, config: &Config) -> Result<(), ConfigError> {
        let Config {
            path,
            transports,
            ping_interval_ms,
            ping_timeout_ms,
            upgrade_timeout_ms,
            hold_timeout_ms,
            max_payload,
            max_packets,
            allow_upgrades,
            allowed_origins,
            queue_limit,
            queue_policy,
            concurrency,
            report_to_client,
            handshake_data,
            serve_client,
        } = config;
        let millis = |given: &Option<u64>| given.map(Duration::from_millis);
        each(path.as_deref(), |path| self.set_path(path))?;
        each(transports.as_deref(), |names| self.set_transport_names(names))?;
        each(millis(ping_interval_ms), |it| self.set_ping_interval(it))?;
        each(millis(ping_timeout_ms), |it| self.set_ping_timeout(it))?;
        each(millis(upgrade_timeout_ms), |it| self.set_upgrade_timeout(it))?;
        each(millis(hold_timeout_ms), |it| self.set_hold_timeout(it))?;
        each(*max_payload, |it| self.set_max_payload(it))?;
        each(*max_packets, |it| self.set_max_packets(it))?;
        each(allowed_origins.as_deref(), |it| self.set_allowed_origins(it))?;
        each(*queue_limit, |it| self.set_queue_limit(it))?;
        each(*concurrency, |it| self.set_concurrency(it))?;
        self.timing.allow_upgrades = allow_upgrades.unwrap_or(self.timing.allow_upgrades);
        self.queue_policy = queue_policy.unwrap_or(self.queue_policy);
        self.report_to_client = report_to_client.unwrap_or(self.report_to_client);
        self.handshake_data = handshake_data.unwrap_or(self.handshake_data);
        self.serve_client = serve_client.unwrap_or(self.serve_client);
        Ok(())
    }

    pub(crate) fn set_path(&mut self, path: &str) -> Result<(), ConfigError> {
        let bare = path.strip_suffix('/').unwrap_or(path);
        let usable = bare.len() > 1 && bare.starts_with('/') && !bare.contains(['?', '#']);
        check(usable, "path", "must begin with a slash and name something")?;
        self.path = bare.into();
        Ok(())
    }

    pub(crate) fn set_transports(&mut self, given: &[Transport]) -> Result<(), ConfigError> {
        check(!given.is_empty(), "transports", "must not be empty")?;
        self.polling = given.contains(&Transport::Polling);
        self.websocket = given.contains(&Transport::WebSocket);
        Ok(())
    }

    fn set_transport_names(&mut self, names: &[String]) -> Result<(), ConfigError> {
        let all: Option<Vec<_>> = names.iter().map(|name| Transport::from_name(name)).collect();
        let all = all.ok_or(ConfigError {
            setting: "transports",
            problem: "knows only polling and websocket",
        })?;
        self.set_transports(&all)
    }

    pub(crate) fn set_ping_interval(&mut self, interval: Duration) -> Result<(), ConfigError> {
        self.timing.ping_interval = some_time(interval, "ping_interval")?;
        Ok(())
    }

    pub(crate) fn set_ping_timeout(&mut self, timeout: Duration) -> Result<(), ConfigError> {
        self.timing.ping_timeout = some_time(timeout, "ping_timeout")?;
        Ok(())
    }

    pub(crate) fn set_upgrade_timeout(&mut self, timeout: Duration) -> Result<(), ConfigError> {
        self.timing.upgrade_timeout = some_time(timeout, "upgrade_timeout")?;
        Ok(())
    }

    pub(crate) fn set_hold_timeout(&mut self, timeout: Duration) -> Result<(), ConfigError> {
        self.timing.hold_timeout = some_time(timeout, "hold_timeout")?;
        Ok(())
    }

    pub(crate) fn set_max_payload(&mut self, bytes: usize) -> Result<(), ConfigError> {
        check(bytes >= MIN_PAYLOAD, "max_payload", "must be at least 16 bytes")?;
        self.limits.max_message = bytes;
        Ok(())
    }

    pub(crate) fn set_max_packets(&mut self, packets: usize) -> Result<(), ConfigError> {
        check(packets > 0, "max_packets", "must not be zero")?;
        self.max_packets = packets;
        Ok(())
    }

    pub(crate) fn set_initial_packet(&mut self, text: &str) -> Result<(), ConfigError> {
        let usable = !text.contains('\u{1e}');
        check(usable, "initial_packet", "must not contain U+001E")?;
        self.initial_packet = Some(text.into());
        Ok(())
    }

    pub(crate) fn set_cookie(&mut self, name: &str) -> Result<(), ConfigError> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let usable = !name.is_empty() && name.bytes().all(token);
        check(usable, "cookie", "must be a cookie name")?;
        self.cookie = Some(Cookie { name: name.into() });
        Ok(())
    }

    pub(crate) fn set_allowed_origins(
        &mut self,
        origins: &[impl AsRef<str>],
    ) -> Result<(), ConfigError> {
        let all = origins.iter().map(|origin| {
            let origin = origin.as_ref();
            let usable = origin == "*"
                || origin
                    .split_once("://")
                    .is_some_and(|(scheme, host)| !scheme.is_empty() && is_authority(host));
            check(usable, "allowed_origins", "must be origins like https://example.com, or *")?;
            Ok(origin.to_ascii_lowercase().into_boxed_str())
        });
        let all = all.collect::<Result<Box<[Box<str>]>, _>>()?;
        self.origins = if all.iter().any(|origin| &**origin == "*") {
            Origins::Any
        } else {
            Origins::SameAnd(all)
        };
        Ok(())
    }

    pub(crate) fn set_queue_limit(&mut self, bytes: usize) -> Result<(), ConfigError> {
        check(bytes >= 1024, "queue_limit", "must be at least 1024 bytes")?;
        self.queue_limit = bytes;
        Ok(())
    }

    pub(crate) fn set_concurrency(&mut self, messages: usize) -> Result<(), ConfigError> {
        check(messages > 0, "concurrency", "must not be zero")?;
        self.concurrency = messages;
        Ok(())
    }

    pub(crate) fn set_queue_policy(&mut self, policy: QueuePolicy) {
        self.queue_policy = policy;
    }

    pub(crate) fn set_allow_upgrades(&mut self, allow: bool) {
        self.timing.allow_upgrades = allow;
    }

    /// Whether a request is for the endpoint: its path exactly, with or without a slash at the
    /// end.
    pub(crate) fn is_path(&self, path: &str) -> bool {
        path.strip_suffix('/').unwrap_or(path) == &*self.path
    }

    /// Where the endpoint is, without the slash at its end.
    pub(crate) const fn path(&self) -> &str {
        &self.path
    }

    pub(crate) const fn offers(&self, transport: Transport) -> bool {
        match transport {
            Transport::Polling => self.polling,
            Transport::WebSocket => self.websocket,
        }
    }

    /// What a connection on `transport` may go over to.
    pub(crate) fn upgrades(&self, transport: Transport) -> &'static [Transport] {
        let upgradable = transport == Transport::Polling && self.websocket;
        if upgradable && self.timing.allow_upgrades {
            &[Transport::WebSocket]
        } else {
            &[]
        }
    }

    pub(crate) const fn timing(&self) -> &Timing {
        &self.timing
    }

    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Bytes of a POST body, and of a message.
    pub(crate) const fn max_payload(&self) -> usize {
        self.limits.max_message
    }

    pub(crate) const fn max_packets(&self) -> usize {
        self.max_packets
    }

    pub(crate) fn initial_packet(&self) -> Option<&str> {
        self.initial_packet.as_deref()
    }

    pub(crate) const fn cookie(&self) -> Option<&Cookie> {
        self.cookie.as_ref()
    }

    pub(crate) const fn origins(&self) -> &Origins {
        &self.origins
    }

    pub(crate) const fn queue_limit(&self) -> usize {
        self.queue_limit
    }

    pub(crate) const fn queue_policy(&self) -> QueuePolicy {
        self.queue_policy
    }

    pub(crate) const fn concurrency(&self) -> usize {
        self.concurrency
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("path", &self.path)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

fn is_authority(host: &str) -> bool {
    !host.is_empty() && !host.contains(['/', '?', '#', ' '])
}

fn each<T>(
    given: Option<T>,
    set: impl FnOnce(T) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    given.map_or(Ok(()), set)
}

fn check(usable: bool, setting: &'static str, problem: &'static str) -> Result<(), ConfigError> {
    if usable {
        Ok(())
    } else {
        Err(ConfigError { setting, problem })
    }
}

/// A year: beyond it, adding to a point in time could overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

fn some_time(time: Duration, setting: &'static str) -> Result<Duration, ConfigError> {
    check(time >= Duration::from_millis(1), setting, "must be at least a millisecond")?;
    check(time <= LONGEST, setting, "must be at most a year")?;
    Ok(time)
}
