use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::document::Unreadable;
use crate::{
    bus::{Gathered, NodeResult, Outcome, Refused, Sent},
    message::SendError,
    respond,
};

/// What whoever publishes is told.
#[derive(Debug)]
pub(super) enum Answer {
    /// How far it got with one session.
    Delivered(Outcome),
    /// What became of it node by node.
    Broadcast(Gathered<Sent>),
    Broken(Cow<'static, str>),
    Invalid(Cow<'static, str>),
    /// Whether a secret was given at all.
    Unauthorized {
        given: bool,
    },
    Method,
    TooLarge,
    TooSlow,
}

/// Seconds until it may be tried again.
const AGAIN: HeaderValue = HeaderValue::from_static("1");
const ALLOWED: HeaderValue = HeaderValue::from_static("PUT");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"primacron\"");
const WRONG: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"primacron\", error=\"invalid_token\"");

#[derive(Serialize)]
struct Document<'a> {
    status: u16,
    r#type: &'static str,
    description: Cow<'a, str>,
    #[serde(flatten)]
    more: More,
}

#[derive(Serialize)]
#[serde(untagged)]
enum More {
    None {},
    Outcome {
        outcome: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
    Nodes {
        queued: usize,
        refused: usize,
        complete: bool,
        nodes: Vec<NodeAnswer>,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum NodeAnswer {
    Sent {
        node: Box<str>,
        queued: usize,
        refused: usize,
    },
    Unreached {
        node: Box<str>,
        outcome: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.kind().0
    }

    /// The one table of statuses.
    pub(super) fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Delivered(outcome) => match outcome {
                Outcome::Enqueued | Outcome::Written => (StatusCode::OK, "sending"),
                Outcome::NoSession => (StatusCode::NOT_FOUND, "unknown session"),
                Outcome::Refused(Refused::Unsendable) => (StatusCode::BAD_REQUEST, "invalid"),
                // Surely not delivered: it may be tried again.
                Outcome::Uncertain | Outcome::NodeGone | Outcome::Refused(_) => {
                    (StatusCode::SERVICE_UNAVAILABLE, "not delivered")
                }
                // Tried again, it may be delivered twice.
                Outcome::Unknown => (StatusCode::GATEWAY_TIMEOUT, "unknown"),
            },
            Self::Broadcast(_) => (StatusCode::OK, "sending"),
            Self::Broken(_) => (StatusCode::BAD_REQUEST, "broken"),
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
            Self::Unauthorized { .. } => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too large"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "timeout"),
        }
    }

    pub(super) fn description(&self) -> Cow<'_, str> {
        let text = match self {
            Self::Delivered(outcome) => match outcome {
                Outcome::Enqueued => "Sending the message to the session.",
                Outcome::Written => "The message was sent to the session.",
                Outcome::NoSession => "The requested session was not found.",
                Outcome::NodeGone => "The server of the session is gone. Nothing was delivered.",
                Outcome::Refused(Refused::Unsendable) => {
                    "The session's transport cannot carry the message."
                }
                Outcome::Refused(_) => "The message was refused. Nothing was delivered.",
                Outcome::Uncertain => {
                    "Nobody knows for sure where the session is. Nothing was delivered."
                }
                Outcome::Unknown => "No answer came in time. Perhaps the message was delivered.",
            },
            Self::Broadcast(_) => "Sending the message to the sessions.",
            Self::Broken(why) => {
                return format!("Received an incorrect JSON document: {why}.").into();
            }
            Self::Invalid(why) => {
                return format!("Received an invalid JSON document: {why}.").into();
            }
            Self::Unauthorized { given: false } => "A secret is needed.",
            Self::Unauthorized { given: true } => "The secret is wrong.",
            Self::Method => "Events are published with PUT.",
            Self::TooLarge => "The document is too large.",
            Self::TooSlow => "The document did not come in time.",
        };
        text.into()
    }

    pub(super) fn into_response(self) -> Response<Bytes> {
        let (status, kind) = self.kind();
        let document = Document {
            status: status.as_u16(),
            r#type: kind,
            description: self.description().into_owned().into(),
            more: self.more(),
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = respond::json(status, body.into());
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Unauthorized { given: false } => Some((header::WWW_AUTHENTICATE, BEARER)),
            Self::Unauthorized { given: true } => Some((header::WWW_AUTHENTICATE, WRONG)),
            Self::Method => Some((header::ALLOW, ALLOWED)),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => {
                Some((header::RETRY_AFTER, AGAIN))
            }
            _ => None,
        }
    }

    fn more(&self) -> More {
        match self {
            Self::Delivered(outcome) => More::Outcome {
                outcome: outcome.name(),
                reason: reason(*outcome),
            },
            Self::Broadcast(gathered) => {
                let sent = gathered.nodes.iter().filter_map(|node| node.result.ok());
                More::Nodes {
                    queued: sent.clone().map(|sent| sent.queued).sum(),
                    refused: sent.map(|sent| sent.refused).sum(),
                    complete: gathered.complete,
                    nodes: gathered.nodes.iter().map(NodeAnswer::of).collect(),
                }
            }
            _ => More::None {},
        }
    }
}

impl NodeAnswer {
    fn of(node: &NodeResult<Sent>) -> Self {
        let (node, result) = (node.node.clone(), node.result);
        match result {
            Ok(Sent {
                queued, refused, ..
            }) => Self::Sent {
                node,
                queued,
                refused,
            },
            Err(unreached) => {
                let outcome = Outcome::from(unreached);
                Self::Unreached {
                    node,
                    outcome: outcome.name(),
                    reason: reason(outcome),
                }
            }
        }
    }
}

const fn reason(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Refused(refused) => Some(refused.name()),
        _ => None,
    }
}

impl From<Unreadable> for Answer {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Broken(why) => Self::Broken(why.into()),
            Unreadable::Invalid(why) => Self::Invalid(why.into()),
        }
    }
}

impl From<SendError> for Answer {
    fn from(error: SendError) -> Self {
        Self::Invalid(error.to_string().into())
    }
}
