use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Open connections, by `transport`: `polling` or `websocket`.
pub const CONNECTIONS: &str = "primacron_connections";

/// Handshakes that became a connection, by the `transport` that it began with.
pub const HANDSHAKES: &str = "primacron_handshakes_total";

/// Connections that went over from long polling to a websocket.
pub const UPGRADES: &str = "primacron_upgrades_total";

/// Connections that ended, by `reason`: what [`CloseReason::as_str`](crate::CloseReason::as_str)
/// says.
pub const DISCONNECTS: &str = "primacron_disconnects_total";

/// Requests to the endpoint that were refused, refused handshakes among them, by HTTP `status`.
pub const REJECTED: &str = "primacron_rejected_requests_total";

/// Messages of clients, those that are refused later included.
pub const RECEIVED: &str = "primacron_messages_received_total";

/// Messages that were queued for a client, one for each of those that it goes to.
pub const SENT: &str = "primacron_messages_sent_total";

/// Messages of clients that were refused or that failed, by `kind`: `json`, `invalid`,
/// `validation` or `handler`, as in the notices of those names.
pub const REFUSED: &str = "primacron_messages_refused_total";

/// From the call of the handler to its reply, in seconds; waiting for its readiness is not part
/// of it.
pub const HANDLER_TIME: &str = "primacron_handler_seconds";

/// Bytes that wait in the outgoing queues, after everything was written that clients took: what
/// slow clients owe.
pub const QUEUED: &str = "primacron_queue_bytes";

/// Messages that a full queue kept out.
pub const QUEUE_FULL: &str = "primacron_queue_full_total";

/// 1 for the `state` that presence is in, 0 for the others: `synced`, `syncing` or `offline`.
/// There only where nodes share a directory; looked at with every heartbeat of the node.
pub const PRESENCE: &str = "primacron_presence_state";

/// Entries between nodes, by `direction`: `out` for those that are in another node's inbox, `in` for
/// those that were read from the own one. An entry carries everything that waited for its node.
pub const BUS_ENTRIES: &str = "primacron_bus_entries_total";

/// The bytes of those entries.
pub const BUS_BYTES: &str = "primacron_bus_bytes_total";

/// Notices that no other metric counts, by their [`name`](crate::Notice::name): joins, leaves and
/// troubles of presence and of the bus between nodes.
pub const NOTICES: &str = "primacron_notices_total";

/// Tells the recorder what the metrics are about.
pub(super) fn describe() {
    describe_gauge!(CONNECTIONS, Unit::Count, "Open connections.");
    describe_counter!(
        HANDSHAKES,
        Unit::Count,
        "Handshakes that became a connection."
    );
    describe_counter!(
        UPGRADES,
        Unit::Count,
        "Connections that went over to a websocket."
    );
    describe_counter!(DISCONNECTS, Unit::Count, "Connections that ended.");
    describe_counter!(REJECTED, Unit::Count, "Requests that were refused.");
    describe_counter!(RECEIVED, Unit::Count, "Messages of clients.");
    describe_counter!(SENT, Unit::Count, "Messages queued for clients.");
    describe_counter!(REFUSED, Unit::Count, "Messages refused or failed.");
    describe_histogram!(
        HANDLER_TIME,
        Unit::Seconds,
        "From call to reply of the handler."
    );
    describe_gauge!(QUEUED, Unit::Bytes, "Bytes that wait for slow clients.");
    describe_counter!(QUEUE_FULL, Unit::Count, "Messages kept out by full queues.");
    describe_gauge!(
        PRESENCE,
        Unit::Count,
        "1 for the state that presence is in."
    );
    describe_counter!(BUS_ENTRIES, Unit::Count, "Entries between nodes.");
    describe_counter!(BUS_BYTES, Unit::Bytes, "Bytes of entries between nodes.");
    describe_counter!(NOTICES, Unit::Count, "Notices counted nowhere else.");
}
