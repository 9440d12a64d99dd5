use std::borrow::Cow;

/// Bytes of a client that are not Engine.IO.
///
/// Whoever sends such bytes on an open connection loses it, with
/// [`CloseReason::Malformed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A packet without its type, for instance an empty POST body.
    #[error("empty packet")]
    Empty,
    /// The first byte of a packet is no packet type of protocol 4.
    #[error("unknown packet type 0x{0:02x}")]
    UnknownType(u8),
    /// Binary data that is not canonical, padded base64.
    #[error("invalid base64")]
    Base64,
    /// Text that is not UTF-8.
    #[error("invalid utf-8")]
    Utf8,
    /// One POST body holds more packets than the server takes.
    #[error("too many packets in one payload")]
    TooManyPackets,
}

/// Why a connection ended.
///
/// The `Display` text is for people and may carry a detail;
/// [`as_str`](Self::as_str) is a fixed label for counters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client closed, or the network went away.
    #[error("transport close")]
    TransportClose,
    /// The transport broke, or was used against the protocol; the text says
    /// how.
    #[error("transport error: {0}")]
    TransportError(&'static str),
    /// The client sent bytes that are not Engine.IO.
    #[error("parse error")]
    Malformed(#[source] DecodeError),
    /// No pong came within the ping timeout.
    #[error("ping timeout")]
    PingTimeout,
    /// A message was larger than the server takes.
    #[error("message too large")]
    TooLarge,
    /// The application closed it, without giving a reason.
    #[error("forced close")]
    ForcedClose,
    /// The application closed it, for the reason that it gave.
    #[error("{0}")]
    Application(Cow<'static, str>),
    /// A newer connection of the same session took its place.
    #[error("superseded")]
    Superseded,
    /// The other nodes have given up the one that it was connected to, and the session may be
    /// somebody else's by now.
    #[error("fenced")]
    Fenced,
    /// The client was too slow: more was waiting for it than the server keeps.
    #[error("queue full")]
    QueueFull,
    /// A handler was busy with one of its messages for too long.
    #[error("handler timeout")]
    HandlerTimeout,
    /// The node drains, or is gone.
    #[error("shutdown")]
    Shutdown,
}

impl CloseReason {
    /// A stable label, one per variant, whatever the variant carries.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TransportClose => "transport close",
            Self::TransportError(_) => "transport error",
            Self::Malformed(_) => "parse error",
            Self::PingTimeout => "ping timeout",
            Self::TooLarge => "message too large",
            Self::ForcedClose => "forced close",
            Self::Application(_) => "application",
            Self::Superseded => "superseded",
            Self::Fenced => "fenced",
            Self::QueueFull => "queue full",
            Self::HandlerTimeout => "handler timeout",
            Self::Shutdown => "shutdown",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn a_reason_without_detail_displays_its_label() {
        let plain = [
            CloseReason::TransportClose,
            CloseReason::Malformed(DecodeError::Empty),
            CloseReason::PingTimeout,
            CloseReason::TooLarge,
            CloseReason::ForcedClose,
            CloseReason::Superseded,
            CloseReason::Fenced,
            CloseReason::QueueFull,
            CloseReason::HandlerTimeout,
            CloseReason::Shutdown,
        ];
        for reason in plain {
            assert_eq!(reason.to_string(), reason.as_str());
        }
    }

    #[test]
    fn a_detail_is_in_the_text_and_not_in_the_label() {
        let broken = CloseReason::TransportError("invalid heartbeat direction");
        let chosen = CloseReason::Application("signed out".into());

        assert_eq!(
            broken.to_string(),
            "transport error: invalid heartbeat direction"
        );
        assert_eq!(broken.as_str(), "transport error");
        assert_eq!(chosen.to_string(), "signed out");
        assert_eq!(chosen.as_str(), "application");
    }

    #[test]
    fn a_parse_error_tells_its_cause_as_source_only() {
        let reason = CloseReason::Malformed(DecodeError::UnknownType(b'z'));

        assert_eq!(reason.to_string(), "parse error");
        assert_eq!(
            reason.source().map(ToString::to_string).as_deref(),
            Some("unknown packet type 0x7a")
        );
    }

    #[test]
    fn decode_errors_have_these_texts() {
        for (error, text) in [
            (DecodeError::Empty, "empty packet"),
            (DecodeError::UnknownType(0), "unknown packet type 0x00"),
            (DecodeError::Base64, "invalid base64"),
            (DecodeError::Utf8, "invalid utf-8"),
            (
                DecodeError::TooManyPackets,
                "too many packets in one payload",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
