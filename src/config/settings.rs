use std::{sync::Arc, time::Duration};

use http::uri::PathAndQuery;
use serde::Deserialize;

use super::{BusSettings, ConfigError, PresenceSettings, Secret, Secrets};
use crate::{
    engine::{Timing, Transport},
    message::{Codec, Json},
    metrics::Metrics,
    notice::Noticeboard,
    reach::{Reach, is_address},
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
    /// The name of a cookie that carries the socket id, for balancers that need one.
    cookie: Option<Box<str>>,
    origins: Origins,
    queue_limit: usize,
    queue_policy: QueuePolicy,
    concurrency: usize,
    pub(crate) report_to_client: bool,
    pub(crate) handshake_data: bool,
    pub(crate) serve_client: bool,
    pub(crate) codec: Arc<dyn Codec>,
    pub(crate) notices: Noticeboard,
    pub(crate) metrics: Metrics,
    pub(crate) presence: PresenceSettings,
    /// Who may publish; nobody without.
    publish_secrets: Option<Secrets>,
    /// Where other nodes reach what is around the endpoint; nowhere without.
    advertised: Option<Box<str>>,
    pub(crate) bus: BusSettings,
}

/// Which pages of other origins may connect with the browser's cookies.
#[derive(Clone, Debug)]
pub(crate) enum Origins {
    Any,
    SameAnd(Box<[Box<str>]>),
}

const MIN_PAYLOAD: usize = 16;

/// Bytes of the largest message, unless somebody says otherwise.
pub(crate) const MAX_PAYLOAD: usize = 1_000_000;

/// What is wrong with an address of which other nodes could not read the lease.
const UNREACHABLE: &str =
    "must be ASCII without |, and with what is advertised and the path at most 512 bytes";

/// Where events are published, below the endpoint.
const PUBLISH: &str = "/broadcast";

/// Where other nodes relay to, below the endpoint.
pub(crate) const RELAY: &str = "/relay";

impl Settings {
    pub(crate) fn new(notices: Noticeboard) -> Self {
        let metrics = Metrics::default();
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
                max_message: MAX_PAYLOAD,
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
            notices: metrics.counting(notices),
            presence: PresenceSettings {
                metrics: metrics.clone(),
                ..PresenceSettings::default()
            },
            metrics,
            publish_secrets: None,
            advertised: None,
            bus: BusSettings::default(),
        }
    }

    pub(crate) fn set_path(&mut self, path: &str) -> Result<(), ConfigError> {
        let bare = path.strip_suffix('/').unwrap_or(path);
        let is_path = |path: &PathAndQuery| path.query().is_none() && path.path() == bare;
        let usable = bare.len() > 1
            && bare.starts_with('/')
            && !bare.ends_with('/')
            && bare.parse().is_ok_and(|path| is_path(&path));
        check(usable, "path", "must begin with a slash and name something")?;
        let advertised = self.advertised.as_deref();
        let reached = advertised.is_none_or(|uri| is_address(&endpoint_at(uri, bare)));
        check(reached, "path", UNREACHABLE)?;
        self.path = bare.into();
        Ok(())
    }

    pub(crate) fn set_transports(&mut self, given: &[Transport]) -> Result<(), ConfigError> {
        check(!given.is_empty(), "transports", "must not be empty")?;
        self.polling = given.contains(&Transport::Polling);
        self.websocket = given.contains(&Transport::WebSocket);
        Ok(())
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
        check(
            bytes >= MIN_PAYLOAD,
            "max_payload",
            "must be at least 16 bytes",
        )?;
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
        self.cookie = Some(name.into());
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
            check(
                usable,
                "allowed_origins",
                "must be origins like https://example.com, or *",
            )?;
            Ok(without_default_port(&origin.to_ascii_lowercase()).into())
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

    pub(crate) fn set_advertise(&mut self, uri: &str) -> Result<(), ConfigError> {
        let uri = uri.strip_suffix('/').unwrap_or(uri);
        let usable = is_address(uri) && !uri.ends_with('/');
        check(usable, "advertise", "must be like http://10.0.0.1:3000")?;
        let reached = is_address(&endpoint_at(uri, &self.path));
        check(reached, "advertise", UNREACHABLE)?;
        self.advertised = Some(uri.into());
        Ok(())
    }

    pub(crate) fn add_publish_secret(&mut self, secret: &Secret) -> Result<(), ConfigError> {
        let secrets = self.publish_secrets.get_or_insert_with(Secrets::new);
        secrets.add(secret)
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

    /// How other nodes reach the endpoint, if they may, with a new key.
    pub(crate) fn reach(&self) -> Option<Arc<Reach>> {
        let uri = endpoint_at(self.advertised.as_deref()?, &self.path);
        Some(Arc::new(Reach::new(uri)))
    }

    /// Whether other nodes relay to `path`.
    pub(crate) fn is_relay_path(&self, path: &str) -> bool {
        self.advertised.is_some() && path.strip_prefix(&*self.path) == Some(RELAY)
    }

    /// Who may publish at `path`, if that is where one does.
    pub(crate) fn publishers_at(&self, path: &str) -> Option<&Secrets> {
        let secrets = self.publish_secrets.as_ref()?;
        (path.strip_prefix(&*self.path) == Some(PUBLISH)).then_some(secrets)
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

    pub(crate) fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
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

/// Browsers leave out the port that the scheme implies.
fn without_default_port(origin: &str) -> &str {
    let port = match origin.split_once("://") {
        Some(("http", _)) => ":80",
        Some(("https", _)) => ":443",
        _ => return origin,
    };
    origin.strip_suffix(port).unwrap_or(origin)
}

/// Where other nodes find the endpoint.
fn endpoint_at(advertised: &str, path: &str) -> String {
    [advertised, path].concat()
}

fn is_authority(host: &str) -> bool {
    !host.is_empty() && !host.contains(['/', '?', '#', ' '])
}

pub(super) fn check(
    usable: bool,
    setting: &'static str,
    problem: &'static str,
) -> Result<(), ConfigError> {
    if usable {
        Ok(())
    } else {
        Err(ConfigError { setting, problem })
    }
}

/// A year: beyond it, adding to a point in time could overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) fn some_time(time: Duration, setting: &'static str) -> Result<Duration, ConfigError> {
    check(
        time >= Duration::from_millis(1),
        setting,
        "must be at least a millisecond",
    )?;
    check(time <= LONGEST, setting, "must be at most a year")?;
    Ok(time)
}
