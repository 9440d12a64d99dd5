use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::Transport;

/// What the open packet tells the client. [Engine.IO v4, Handshake]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handshake<'a> {
    /// The socket id, by which the client's later requests name it.
    pub(crate) sid: &'a str,
    /// The transports that the client may go over to.
    pub(crate) upgrades: &'a [Transport],
    /// See [`Timing::ping_interval`](super::Timing).
    pub(crate) ping_interval: Duration,
    /// See [`Timing::ping_timeout`](super::Timing).
    pub(crate) ping_timeout: Duration,
    /// The largest POST body and WebSocket message, in bytes.
    pub(crate) max_payload: usize,
    /// Our id of the connection; `None` leaves the key out.
    pub(crate) session: Option<&'a str>,
    /// Whom the connection belongs to; `None` leaves the key out.
    pub(crate) account: Option<&'a str>,
}

impl Handshake<'_> {
    /// Appends the open packet to `out`.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.push(b'0');
        serde_json::to_writer(out, self).expect("numbers and strings are always JSON");
    }
}

impl Serialize for Handshake<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let optional = [("session", self.session), ("account", self.account)];
        let mut open = serializer.serialize_struct("Handshake", 5 + optional.len())?;
        open.serialize_field("sid", self.sid)?;
        open.serialize_field("upgrades", &Names(self.upgrades))?;
        open.serialize_field("pingInterval", &millis(self.ping_interval))?;
        open.serialize_field("pingTimeout", &millis(self.ping_timeout))?;
        open.serialize_field("maxPayload", &self.max_payload)?;
        for (key, value) in optional {
            if let Some(value) = value {
                open.serialize_field(key, value)?;
            }
        }
        open.end()
    }
}

struct Names<'a>(&'a [Transport]);

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|transport| transport.as_str()))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: Handshake<'_> = Handshake {
        sid: "lv_VI97HAXpY6yYWAAAC",
        upgrades: &[Transport::WebSocket],
        ping_interval: Duration::from_secs(25),
        ping_timeout: Duration::from_secs(20),
        max_payload: 1_000_000,
        session: None,
        account: None,
    };

    fn written(handshake: &Handshake<'_>) -> String {
        let mut out = Vec::new();
        handshake.put(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// T1.
    #[test]
    fn has_exactly_the_five_standard_keys_in_order() {
        assert_eq!(
            written(&STANDARD),
            r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
    }

    /// T5.
    #[test]
    fn a_direct_websocket_is_offered_no_upgrade() {
        let direct = Handshake {
            upgrades: &[],
            ..STANDARD
        };

        assert!(written(&direct).contains(r#""upgrades":[],"#));
    }

    #[test]
    fn session_and_account_come_last_and_are_escaped() {
        let full = Handshake {
            session: Some("s"),
            account: Some("a\"\u{1}\u{e9}"),
            ..STANDARD
        };

        assert!(written(&full).ends_with(
            "\"maxPayload\":1000000,\"session\":\"s\",\"account\":\"a\\\"\\u0001\u{e9}\"}"
        ));
    }

    #[test]
    fn is_appended_to_what_is_there() {
        let mut out = b"head ".to_vec();
        STANDARD.put(&mut out);

        assert!(out.starts_with(b"head 0{"));
    }
}
