//! Errors by fault, and the one table that gives a request's fault its HTTP status.
//!
//! ```
//! use primacron::PublicError;
//!
//! // What a handler returns so that the client reads why.
//! let error = PublicError::new("the game is over");
//! assert_eq!(error.to_string(), "the game is over");
//! ```

use std::{borrow::Cow, error::Error, sync::Arc};

use http::StatusCode;

use crate::engine::Rejection;

/// A handler's failure whose text the client may read.
///
/// Anywhere in the chain of [`source`](Error::source)s of what a handler returns, its text takes
/// the place of the fixed text that other failures show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct PublicError {
    text: String,
}

impl PublicError {
    /// A failure with a text for the client: at most 256 bytes of it are sent.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// The text for the client, if the error or one of its sources has one.
    pub(crate) fn text_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a str> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(public) = error.downcast_ref::<Self>() {
                return Some(&public.text);
            }
            next = error.source();
        }
        None
    }
}

/// Why a store did not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    /// It could not be reached, or not in time; what was asked may have happened.
    #[error("{0}")]
    Unreachable(Arc<str>),
    /// It does not do this one thing.
    #[error("{0}")]
    #[cfg_attr(
        not(feature = "redis"),
        allow(dead_code, reason = "memory does all that it is asked")
    )]
    Refused(Arc<str>),
}

/// Why an account was not given to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// 401: the client has not said who it is, or not in a way that counts.
    #[error("unauthorized")]
    Unauthorized,
    /// 403: the client is known and may not connect.
    #[error("forbidden")]
    Forbidden,
    /// 503: nobody could be asked; the client may try again.
    #[error("unavailable")]
    Unavailable,
}

/// A request to the endpoint that is answered with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestError {
    /// One of Engine.IO's own.
    Engine(Rejection),
    /// Engine.IO's bad request, with a text that says what is bad.
    Bad(&'static str),
    /// Engine.IO's forbidden, with a text that says why.
    Forbidden(&'static str),
    /// The account function refused.
    Account(AccountError),
    /// A body larger than `max_payload`.
    TooLarge,
    /// No new connections: the node goes away.
    Draining,
    /// The entry of a connection could not be stored in time, and it is required.
    Unlisted,
    /// A method that a connection does not know.
    Method,
    /// Something in front of the other node has answered in its place.
    NotRelayed,
}

impl RequestError {
    /// A POST whose body is no payload.
    pub(crate) const MALFORMED: Self = Self::Bad("malformed payload");

    /// The one table of statuses.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Engine(Rejection::Forbidden) | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Engine(
                Rejection::UnknownTransport
                | Rejection::UnknownSid
                | Rejection::BadMethod
                | Rejection::BadRequest
                | Rejection::UnsupportedProtocol,
            )
            | Self::Bad(_)
            | Self::Method
            | Self::NotRelayed => StatusCode::BAD_REQUEST,
            Self::Account(AccountError::Unauthorized) => StatusCode::UNAUTHORIZED,
            Self::Account(AccountError::Forbidden) => StatusCode::FORBIDDEN,
            Self::Account(AccountError::Unavailable) | Self::Draining | Self::Unlisted => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// Code and message of the JSON body.
    pub(crate) fn rejection(&self) -> (Rejection, Cow<'static, str>) {
        match self {
            Self::Engine(rejection) => (*rejection, rejection.message().into()),
            Self::Bad(message) => (Rejection::BadRequest, (*message).into()),
            Self::Forbidden(message) => (Rejection::Forbidden, (*message).into()),
            Self::Account(error) => (Rejection::Forbidden, error.to_string().into()),
            Self::TooLarge => (Rejection::BadRequest, "payload too large".into()),
            Self::Draining => (Rejection::Forbidden, "server is shutting down".into()),
            Self::Unlisted => (Rejection::Forbidden, "presence is not available".into()),
            Self::Method => (Rejection::BadMethod, Rejection::BadMethod.message().into()),
            Self::NotRelayed => (Rejection::UnknownSid, "node cannot be relayed to".into()),
        }
    }
}

impl From<Rejection> for RequestError {
    fn from(rejection: Rejection) -> Self {
        Self::Engine(rejection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] PublicError);

    #[test]
    fn a_public_text_is_found_below_other_errors() {
        let error = Outer(PublicError::new("not your turn"));
        assert_eq!(PublicError::text_in(&error), Some("not your turn"));
        assert_eq!(PublicError::text_in(&std::fmt::Error), None);
    }
}
