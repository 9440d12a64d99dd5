use std::fmt;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;

/// What a [`Client`](super::Client) received.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Received {
    /// An event; its arguments are an array.
    #[non_exhaustive]
    Event {
        /// Its name.
        name: String,
        /// Its arguments.
        args: Value,
    },
    /// The answer to a message with an id.
    #[non_exhaustive]
    Answer {
        /// The id of the message.
        id: u64,
        /// Its arguments, an array, or the text of its failure.
        answer: Result<Value, String>,
    },
    /// Text that is no message of the JSON codec.
    Text(String),
    /// A binary message.
    Binary(Bytes),
    /// The connection is over.
    Disconnected(Disconnected),
}

impl Received {
    pub(super) fn of_text(text: &str) -> Self {
        let is_args = |args: &Value| args.is_array();
        let Ok(Value::Object(mut message)) = serde_json::from_str(text) else {
            return Self::Text(text.to_owned());
        };
        let args = message.remove("args").filter(is_args);
        let args = args.unwrap_or_else(|| Value::Array(Vec::new()));
        let id = message.get("id").and_then(Value::as_u64);
        match (message.remove("event"), id, message.remove("error")) {
            (Some(Value::String(name)), _, _) => Self::Event { name, args },
            (None, Some(id), Some(Value::String(error))) => Self::Answer {
                id,
                answer: Err(error),
            },
            (None, Some(id), None) => Self::Answer {
                id,
                answer: Ok(args),
            },
            _ => Self::Text(text.to_owned()),
        }
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event { name, args } => write!(f, "the event `{name}` with {args}"),
            Self::Answer {
                id,
                answer: Ok(args),
            } => write!(f, "the answer {id} with {args}"),
            Self::Answer {
                id,
                answer: Err(error),
            } => write!(f, "the answer {id} with the failure {error:?}"),
            Self::Text(text) => write!(f, "the text {text:?}"),
            Self::Binary(bytes) => write!(f, "{} binary bytes: {bytes:?}", bytes.len()),
            Self::Disconnected(how) => write!(f, "the end of the connection: {how}"),
        }
    }
}

/// How a connection ended, as its client sees it.
///
/// The server's own words are in its `disconnect` notice, see
/// [`Handle::notices`](crate::Handle::notices).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnected {
    /// The server said so on long polling.
    #[error("a close packet")]
    Packet,
    /// The server closed the websocket with this code; 1005 stands for none.
    #[error("a close frame with code {0}")]
    Code(u16),
    /// A request of long polling was refused.
    #[error(transparent)]
    Refused(Rejected),
    /// The client itself closed.
    #[error("closed by the client")]
    Closed,
    /// It broke off without a word.
    #[error("it broke off")]
    Lost,
}

/// The answer to a request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused with {status}: {message}")]
#[non_exhaustive]
pub struct Rejected {
    /// The status of the answer.
    pub status: StatusCode,
    /// Engine.IO's code, if the layer is who refused.
    pub code: Option<u64>,
    /// The layer's message, or the whole body of whoever refused.
    pub message: String,
}

impl Rejected {
    pub(super) fn of(response: &Response<Bytes>) -> Self {
        let json: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let whole = || String::from_utf8_lossy(response.body()).into_owned();
        Self {
            status: response.status(),
            code: json["code"].as_u64(),
            message: json["message"].as_str().map_or_else(whole, str::to_owned),
        }
    }

    pub(super) fn failed(error: impl fmt::Display) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: None,
            message: error.to_string(),
        }
    }
}

/// What a client hears of a message that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// `error::json`, `error::invalid`, `error::validation` or `error::handler`.
    pub name: String,
    /// The event of the message, if it had one.
    pub event: Option<String>,
    /// What was said about it.
    pub text: Option<String>,
}

impl Report {
    pub(super) fn new(name: String, args: &Value) -> Self {
        let text = |index: usize| args[index].as_str().map(str::to_owned);
        Self {
            name,
            event: text(0),
            text: text(1),
        }
    }
}
