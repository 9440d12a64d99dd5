use std::fmt;

/// How the packets of a connection travel.
///
/// A connection may begin with [`Polling`](Self::Polling) and go over to
/// [`WebSocket`](Self::WebSocket) later, never back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// HTTP long polling: GET receives, POST sends.
    Polling,
    /// One WebSocket, whether from the start or after an upgrade.
    WebSocket,
}

impl Transport {
    /// The transport's name in the `transport` query parameter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }

    /// The transport of that name; names are case-sensitive.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "polling" => Some(Self::Polling),
            "websocket" => Some(Self::WebSocket),
            _ => None,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Transport;

    #[test]
    fn names_are_those_of_the_query_parameter() {
        for transport in [Transport::Polling, Transport::WebSocket] {
            assert_eq!(Transport::from_name(transport.as_str()), Some(transport));
            assert_eq!(transport.to_string(), transport.as_str());
        }
    }

    /// E3: names of a JavaScript object's own properties are nothing special.
    #[test]
    fn other_names_are_no_transport() {
        for name in ["", "Polling", "webtransport", "__proto__", "constructor"] {
            assert_eq!(Transport::from_name(name), None, "{name}");
        }
    }
}
