use bytes::Bytes;
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// Why a request is answered with an Engine.IO error and not served.
///
/// Code and message are those every Engine.IO client knows. The HTTP status is
/// the business of whoever answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// `transport` is missing, or none that we speak.
    UnknownTransport,
    /// `sid` belongs to no connection.
    UnknownSid,
    /// A handshake by anything but GET.
    BadMethod,
    /// The request contradicts itself or its connection.
    BadRequest,
    /// The server does not want this client.
    Forbidden,
    /// `EIO` is not 4.
    UnsupportedProtocol,
}

impl Rejection {
    /// The number in the answer's body.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::UnknownTransport => 0,
            Self::UnknownSid => 1,
            Self::BadMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::UnsupportedProtocol => 5,
        }
    }

    /// The text in the answer's body, unless a better one is at hand.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSid => "Session ID unknown",
            Self::BadMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedProtocol => "Unsupported protocol version",
        }
    }

    /// The answer's body, `{"code":n,"message":".."}`.
    pub(crate) fn to_json_with(self, message: &str) -> Bytes {
        let body = Body {
            code: self.code(),
            message,
        };
        serde_json::to_vec(&body)
            .expect("a number and a string are always JSON")
            .into()
    }
}

struct Body<'a> {
    code: u8,
    message: &'a str,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_struct("Body", 2)?;
        body.serialize_field("code", &self.code)?;
        body.serialize_field("message", self.message)?;
        body.end()
    }
}

#[cfg(test)]
mod tests {
    use super::Rejection;

    #[test]
    fn bodies_are_those_of_the_reference() {
        for (rejection, body) in [
            (
                Rejection::UnknownTransport,
                r#"{"code":0,"message":"Transport unknown"}"#,
            ),
            (
                Rejection::UnknownSid,
                r#"{"code":1,"message":"Session ID unknown"}"#,
            ),
            (
                Rejection::BadMethod,
                r#"{"code":2,"message":"Bad handshake method"}"#,
            ),
            (
                Rejection::BadRequest,
                r#"{"code":3,"message":"Bad request"}"#,
            ),
            (Rejection::Forbidden, r#"{"code":4,"message":"Forbidden"}"#),
            (
                Rejection::UnsupportedProtocol,
                r#"{"code":5,"message":"Unsupported protocol version"}"#,
            ),
        ] {
            assert_eq!(rejection.to_json_with(rejection.message()), body);
        }
    }

    #[test]
    fn another_message_is_escaped() {
        let body = Rejection::BadRequest.to_json_with("a \"b\"\n");

        assert_eq!(body, r#"{"code":3,"message":"a \"b\"\n"}"#);
    }
}
