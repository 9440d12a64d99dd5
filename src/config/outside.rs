use std::time::Duration;

use serde::Deserialize;

use super::{
    BusSettings, ConfigError, FencedPolicy, PresenceSettings, QueuePolicy, Secret, Settings,
};
use crate::engine::Transport;

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
    /// See [`PrimacronLayer::initial_packet`](crate::PrimacronLayer::initial_packet).
    pub initial_packet: Option<String>,
    /// See [`PrimacronLayer::cookie`](crate::PrimacronLayer::cookie).
    pub cookie: Option<String>,
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
    /// See [`PrimacronLayer::publish_secret`](crate::PrimacronLayer::publish_secret); any of them
    /// counts.
    pub publish_secrets: Option<Vec<Secret>>,
    /// See [`PrimacronLayer::advertise`](crate::PrimacronLayer::advertise).
    pub advertise: Option<String>,
    /// How presence is kept in Redis.
    pub presence: PresenceConfig,
    /// How messages go from node to node.
    pub bus: BusConfig,
}

/// Settings of what goes from node to node, from outside; on a node of its own none of them
/// matters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct BusConfig {
    /// See [`PrimacronLayer::inbox`](crate::PrimacronLayer::inbox).
    pub inbox_entries: Option<usize>,
    /// See [`PrimacronLayer::inbox`](crate::PrimacronLayer::inbox), bytes.
    pub inbox_bytes: Option<usize>,
    /// See [`PrimacronLayer::bus_backlog`](crate::PrimacronLayer::bus_backlog), bytes.
    pub backlog: Option<usize>,
    /// See [`PrimacronLayer::bus_deadline`](crate::PrimacronLayer::bus_deadline), milliseconds.
    pub deadline_ms: Option<u64>,
}

impl BusSettings {
    fn apply(&mut self, config: &BusConfig) -> Result<(), ConfigError> {
        self.set_inbox(
            config.inbox_entries.unwrap_or(self.inbox_entries),
            config.inbox_bytes.unwrap_or(self.inbox_bytes),
        )?;
        each(config.backlog, |it| self.set_backlog(it))?;
        let deadline = config.deadline_ms.map(Duration::from_millis);
        each(deadline, |it| self.set_deadline(it))
    }
}

/// Settings of presence from outside; for a node that is alone none of them matters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PresenceConfig {
    /// See [`PrimacronLayer::namespace`](crate::PrimacronLayer::namespace).
    pub namespace: Option<String>,
    /// See [`PrimacronLayer::liveness`](crate::PrimacronLayer::liveness), milliseconds.
    pub lease_ms: Option<u64>,
    /// See [`PrimacronLayer::liveness`](crate::PrimacronLayer::liveness), milliseconds.
    pub suspect_ms: Option<u64>,
    /// See [`PrimacronLayer::liveness`](crate::PrimacronLayer::liveness), milliseconds.
    pub dead_ms: Option<u64>,
    /// See [`PrimacronLayer::presence_wait`](crate::PrimacronLayer::presence_wait), milliseconds.
    pub wait_ms: Option<u64>,
    /// See [`PrimacronLayer::require_presence`](crate::PrimacronLayer::require_presence).
    pub required: Option<bool>,
    /// See [`PrimacronLayer::presence_batch`](crate::PrimacronLayer::presence_batch).
    pub batch: Option<usize>,
    /// See [`PrimacronLayer::presence_rate`](crate::PrimacronLayer::presence_rate).
    pub rate: Option<u32>,
    /// See [`PrimacronLayer::presence_backlog`](crate::PrimacronLayer::presence_backlog).
    pub backlog: Option<usize>,
    /// See [`PrimacronLayer::command_timeout`](crate::PrimacronLayer::command_timeout),
    /// milliseconds.
    pub command_timeout_ms: Option<u64>,
    /// See [`PrimacronLayer::fenced_policy`](crate::PrimacronLayer::fenced_policy): `keep` or
    /// `close`.
    pub fenced_policy: Option<FencedPolicy>,
    /// See [`PrimacronLayer::leave_feed`](crate::PrimacronLayer::leave_feed).
    pub leave_feed: Option<bool>,
    /// See [`PrimacronLayer::presence_expiry`](crate::PrimacronLayer::presence_expiry),
    /// milliseconds.
    pub expiry_ms: Option<u64>,
}

impl PresenceSettings {
    fn apply(&mut self, config: &PresenceConfig) -> Result<(), ConfigError> {
        let ms = |given: Option<u64>, otherwise| given.map_or(otherwise, Duration::from_millis);
        each(config.namespace.as_deref(), |it| self.set_namespace(it))?;
        self.set_liveness(
            ms(config.lease_ms, self.lease),
            ms(config.suspect_ms, self.suspect),
            ms(config.dead_ms, self.dead),
        )?;
        self.set_wait(ms(config.wait_ms, self.wait))?;
        each(config.batch, |it| self.set_batch(it))?;
        each(config.rate, |it| self.set_rate(it))?;
        each(config.backlog, |it| self.set_backlog(it))?;
        self.set_command_timeout(ms(config.command_timeout_ms, self.command_timeout))?;
        self.set_expiry(ms(config.expiry_ms, self.expiry))?;
        self.leave_feed = config.leave_feed.unwrap_or(self.leave_feed);
        self.required = config.required.unwrap_or(self.required);
        self.fenced = config.fenced_policy.unwrap_or(self.fenced);
        Ok(())
    }
}

impl Settings {
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
            initial_packet,
            cookie,
            allow_upgrades,
            allowed_origins,
            queue_limit,
            queue_policy,
            concurrency,
            report_to_client,
            handshake_data,
            serve_client,
            publish_secrets,
            advertise,
            presence,
            bus,
        } = config;
        let millis = |given: &Option<u64>| given.map(Duration::from_millis);
        each(path.as_deref(), |path| self.set_path(path))?;
        each(transports.as_deref(), |names| {
            self.set_transport_names(names)
        })?;
        each(millis(ping_interval_ms), |it| self.set_ping_interval(it))?;
        each(millis(ping_timeout_ms), |it| self.set_ping_timeout(it))?;
        each(millis(upgrade_timeout_ms), |it| {
            self.set_upgrade_timeout(it)
        })?;
        each(millis(hold_timeout_ms), |it| self.set_hold_timeout(it))?;
        each(*max_payload, |it| self.set_max_payload(it))?;
        each(*max_packets, |it| self.set_max_packets(it))?;
        each(initial_packet.as_deref(), |it| self.set_initial_packet(it))?;
        each(cookie.as_deref(), |it| self.set_cookie(it))?;
        each(allowed_origins.as_deref(), |it| {
            self.set_allowed_origins(it)
        })?;
        each(*queue_limit, |it| self.set_queue_limit(it))?;
        each(*concurrency, |it| self.set_concurrency(it))?;
        if let Some(allow) = *allow_upgrades {
            self.set_allow_upgrades(allow);
        }
        if let Some(policy) = *queue_policy {
            self.set_queue_policy(policy);
        }
        each(advertise.as_deref(), |uri| self.set_advertise(uri))?;
        for secret in publish_secrets.iter().flatten() {
            self.add_publish_secret(secret)?;
        }
        self.presence.apply(presence)?;
        self.bus.apply(bus)?;
        self.report_to_client = report_to_client.unwrap_or(self.report_to_client);
        self.handshake_data = handshake_data.unwrap_or(self.handshake_data);
        self.serve_client = serve_client.unwrap_or(self.serve_client);
        Ok(())
    }

    fn set_transport_names(&mut self, names: &[String]) -> Result<(), ConfigError> {
        let all: Option<Vec<_>> = names
            .iter()
            .map(|name| Transport::from_name(name))
            .collect();
        let all = all.ok_or(ConfigError {
            setting: "transports",
            problem: "knows only polling and websocket",
        })?;
        self.set_transports(&all)
    }
}

fn each<T>(
    given: Option<T>,
    set: impl FnOnce(T) -> Result<(), ConfigError>,
) -> Result<(), ConfigError> {
    given.map_or(Ok(()), set)
}
