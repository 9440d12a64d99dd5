use std::time::Duration;

use super::PrimacronLayer;
use crate::{
    config::{Config, ConfigError, QueuePolicy, Secret},
    engine::Transport,
};

/// # Engine.IO
impl<M> PrimacronLayer<M> {
    /// Where clients connect, with or without the slash at its end; `/stream/` by default.
    #[must_use]
    #[track_caller]
    pub fn path(self, path: &str) -> Self {
        self.try_set(|settings| settings.set_path(path))
    }

    /// The transports that are spoken; both by default.
    #[must_use]
    #[track_caller]
    pub fn transports(self, transports: &[Transport]) -> Self {
        self.try_set(|settings| settings.set_transports(transports))
    }

    /// From the handshake, or a pong, to the next ping; 25 s by default.
    #[must_use]
    #[track_caller]
    pub fn ping_interval(self, interval: Duration) -> Self {
        self.try_set(|settings| settings.set_ping_interval(interval))
    }

    /// From a ping to the last moment for its pong; 20 s by default.
    #[must_use]
    #[track_caller]
    pub fn ping_timeout(self, timeout: Duration) -> Self {
        self.try_set(|settings| settings.set_ping_timeout(timeout))
    }

    /// From the arrival of an upgrading websocket to the moment when it must have taken over; 10 s
    /// by default.
    #[must_use]
    #[track_caller]
    pub fn upgrade_timeout(self, timeout: Duration) -> Self {
        self.try_set(|settings| settings.set_upgrade_timeout(timeout))
    }

    /// How long a handler may keep the next message of a client waiting before the connection is
    /// closed; 60 s by default.
    #[must_use]
    #[track_caller]
    pub fn hold_timeout(self, timeout: Duration) -> Self {
        self.try_set(|settings| settings.set_hold_timeout(timeout))
    }

    /// The largest POST body and websocket message, in bytes; 1,000,000 by default.
    #[must_use]
    #[track_caller]
    pub fn max_payload(self, bytes: usize) -> Self {
        self.try_set(|settings| settings.set_max_payload(bytes))
    }

    /// How many packets one POST may hold; 1,024 by default.
    #[must_use]
    #[track_caller]
    pub fn max_packets(self, packets: usize) -> Self {
        self.try_set(|settings| settings.set_max_packets(packets))
    }

    /// A text that every client gets as its first message, as it stands; none by default.
    #[must_use]
    #[track_caller]
    pub fn initial_packet(self, text: &str) -> Self {
        self.try_set(|settings| settings.set_initial_packet(text))
    }

    /// Whether a client on polling may go over to a websocket; `true` by default.
    #[must_use]
    pub fn allow_upgrades(self, allow: bool) -> Self {
        self.set(|settings| settings.set_allow_upgrades(allow))
    }

    /// Sets a cookie of this name with the socket id in the answer to a handshake on polling, for
    /// balancers that need one; none by default.
    #[must_use]
    #[track_caller]
    pub fn cookie(self, name: &str) -> Self {
        self.try_set(|settings| settings.set_cookie(name))
    }

    /// Whether the open packet carries `session` and `account` beside Engine.IO's own keys;
    /// `true` by default.
    #[must_use]
    pub fn handshake_data(self, data: bool) -> Self {
        self.set(|settings| settings.handshake_data = data)
    }

    /// Whether the browser client of this crate is served right below the endpoint, as
    /// `/stream/primacron.js`; `false` by default.
    #[must_use]
    pub fn serve_client(self, serve: bool) -> Self {
        self.set(|settings| settings.serve_client = serve)
    }

    /// Opens `PUT /stream/broadcast`, right below the endpoint, where who shows this secret
    /// publishes events; see [`Publisher`](crate::Publisher). Given more than once, any of them
    /// counts, so that a secret can be changed without a moment without one. Without a secret
    /// there is no such path.
    #[must_use]
    #[track_caller]
    pub fn publish_secret(self, secret: impl Into<Secret>) -> Self {
        let secret = secret.into();
        self.try_set(|settings| settings.add_publish_secret(&secret))
    }

    /// How many bytes may wait to be sent to one client; 4 MiB by default.
    #[must_use]
    #[track_caller]
    pub fn queue_limit(self, bytes: usize) -> Self {
        self.try_set(|settings| settings.set_queue_limit(bytes))
    }

    /// What becomes of a client whose queue is full; [`QueuePolicy::Close`] by default.
    #[must_use]
    pub fn queue_policy(self, policy: QueuePolicy) -> Self {
        self.set(|settings| settings.set_queue_policy(policy))
    }

    /// Applies settings from outside.
    ///
    /// # Errors
    ///
    /// The first setting that makes no sense, by name.
    pub fn configure(mut self, config: &Config) -> Result<Self, ConfigError> {
        self.endpoint().settings.apply(config)?;
        Ok(self.planned())
    }
}
