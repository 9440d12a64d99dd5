use super::{CloseReason, DecodeError};

/// What happened to a connection that it does not survive, as whoever saw it tells it.
///
/// Which [`CloseReason`] that makes is said here and nowhere else. What the application or the
/// node wants closed comes with a reason of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// The client said goodbye, or is gone.
    Left,
    /// The client did not answer a ping, and said nothing else.
    Silent,
    /// The client sent a ping.
    Pinged,
    /// The client sent bytes that are no packet.
    Malformed(DecodeError),
    /// A websocket message was longer than the server takes.
    TooLarge,
    /// A frame broke the rules of websockets.
    WrongFrame,
    /// A GET came while another one was held.
    PollOverlap,
    /// The client left a GET before its answer.
    PollAborted,
    /// A POST came while another one was under way.
    PostOverlap,
    /// The client left a POST before its answer.
    PostAborted,
    /// The body of a POST ended too early.
    PostBroken,
    /// The body of a POST was declared binary, which protocol 4 does not know.
    PostBinary,
    /// The client took so little that the queue is full.
    Overfull,
    /// A handler was busy with one message for too long.
    HeldTooLong,
    /// Nobody runs the connection any more.
    Dropped,
}

impl Fact {
    /// The one table of reasons.
    pub(crate) const fn reason(self) -> CloseReason {
        CloseReason::TransportError(match self {
            Self::Left => return CloseReason::TransportClose,
            Self::Silent => return CloseReason::PingTimeout,
            Self::Malformed(error) => return CloseReason::Malformed(error),
            Self::TooLarge => return CloseReason::TooLarge,
            Self::Overfull => return CloseReason::QueueFull,
            Self::HeldTooLong => return CloseReason::HandlerTimeout,
            Self::Dropped => return CloseReason::Shutdown,
            Self::Pinged => "invalid heartbeat direction",
            Self::WrongFrame => "invalid websocket frame",
            Self::PollOverlap => "overlap from client",
            Self::PollAborted => "poll connection closed prematurely",
            Self::PostOverlap => "data request overlap from client",
            Self::PostAborted => "data request connection closed prematurely",
            Self::PostBroken => "data request broke off",
            Self::PostBinary => "invalid content",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_makes_its_own_reason() {
        let facts = [
            Fact::Left,
            Fact::Silent,
            Fact::Pinged,
            Fact::Malformed(DecodeError::Empty),
            Fact::TooLarge,
            Fact::WrongFrame,
            Fact::PollOverlap,
            Fact::PollAborted,
            Fact::PostOverlap,
            Fact::PostAborted,
            Fact::PostBroken,
            Fact::PostBinary,
            Fact::Overfull,
            Fact::HeldTooLong,
            Fact::Dropped,
        ];
        let texts = facts.map(|fact| fact.reason().to_string());
        assert_eq!(
            texts,
            [
                "transport close",
                "ping timeout",
                "transport error: invalid heartbeat direction",
                "parse error",
                "message too large",
                "transport error: invalid websocket frame",
                "transport error: overlap from client",
                "transport error: poll connection closed prematurely",
                "transport error: data request overlap from client",
                "transport error: data request connection closed prematurely",
                "transport error: data request broke off",
                "transport error: invalid content",
                "queue full",
                "handler timeout",
                "shutdown",
            ]
        );
    }
}
