use ::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::names::{
    BUS_BYTES, BUS_ENTRIES, CONNECTIONS, HANDLER_TIME, HANDSHAKES, PRESENCE, QUEUE_FULL, QUEUED,
    RECEIVED, REFUSED, SENT, UPGRADES, describe,
};
use crate::engine::Transport;

/// What a recorder gave a layer once, so that nothing is looked up later.
pub(super) struct Handles {
    pub(super) connections: PerTransport<Gauge>,
    pub(super) handshakes: PerTransport<Counter>,
    pub(super) upgrades: Counter,
    pub(super) received: Counter,
    pub(super) sent: Counter,
    pub(super) refused: Refusals,
    pub(super) handler_time: Histogram,
    pub(super) queued: Gauge,
    pub(super) queue_full: Counter,
    pub(super) bus_sent: Traffic,
    pub(super) bus_received: Traffic,
}

/// One a transport.
pub(super) struct PerTransport<T> {
    polling: T,
    websocket: T,
}

/// One a kind of refusal.
pub(super) struct Refusals {
    pub(super) json: Counter,
    pub(super) invalid: Counter,
    pub(super) validation: Counter,
    pub(super) handler: Counter,
}

/// What crosses the bus in one direction.
pub(super) struct Traffic {
    entries: Counter,
    bytes: Counter,
}

impl Traffic {
    fn new(direction: &'static str) -> Self {
        Self {
            entries: counter!(BUS_ENTRIES, "direction" => direction),
            bytes: counter!(BUS_BYTES, "direction" => direction),
        }
    }

    pub(super) fn count(&self, bytes: usize) {
        self.entries.increment(1);
        self.bytes.increment(bytes as u64);
    }
}

impl Handles {
    pub(super) fn register() -> Self {
        describe();
        let refused = |kind: &'static str| counter!(REFUSED, "kind" => kind);
        Self {
            connections: PerTransport::new(|name| gauge!(CONNECTIONS, "transport" => name)),
            handshakes: PerTransport::new(|name| counter!(HANDSHAKES, "transport" => name)),
            upgrades: counter!(UPGRADES),
            received: counter!(RECEIVED),
            sent: counter!(SENT),
            refused: Refusals {
                json: refused("json"),
                invalid: refused("invalid"),
                validation: refused("validation"),
                handler: refused("handler"),
            },
            handler_time: histogram!(HANDLER_TIME),
            queued: gauge!(QUEUED),
            queue_full: counter!(QUEUE_FULL),
            bus_sent: Traffic::new("out"),
            bus_received: Traffic::new("in"),
        }
    }
}

impl<T> PerTransport<T> {
    fn new(make: impl Fn(&'static str) -> T) -> Self {
        Self {
            polling: make(Transport::Polling.as_str()),
            websocket: make(Transport::WebSocket.as_str()),
        }
    }

    pub(super) const fn of(&self, transport: Transport) -> &T {
        match transport {
            Transport::Polling => &self.polling,
            Transport::WebSocket => &self.websocket,
        }
    }
}

/// The gauge of one state of presence.
pub(super) fn presence(state: &'static str) -> Gauge {
    gauge!(PRESENCE, "state" => state)
}
