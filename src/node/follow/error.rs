use crate::bus::{Outcome, Refused};

/// Why a session does not follow another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The other session belongs to somebody else.
    #[error("cannot follow other accounts")]
    ForeignAccount,
    /// The other session is connected nowhere.
    #[error("no such session")]
    NoSession,
    /// As many as may do so follow it already.
    #[error("too many follow the session")]
    TooMany,
    /// The directory is not known well enough, or the other node could not be reached.
    #[error("session is not known well enough")]
    Uncertain,
    /// The other node did not answer in time: perhaps it does follow.
    #[error("no answer in time")]
    Unknown,
}

impl FollowError {
    /// `foreign_account`, `no_session`, `too_many`, `uncertain` or `unknown`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForeignAccount => "foreign_account",
            Self::NoSession => "no_session",
            Self::TooMany => "too_many",
            Self::Uncertain => "uncertain",
            Self::Unknown => "unknown",
        }
    }
}

/// What another node said.
impl From<Outcome> for FollowError {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::NoSession => Self::NoSession,
            Outcome::Refused(Refused::QueueFull) => Self::TooMany,
            Outcome::Uncertain | Outcome::NodeGone | Outcome::Refused(_) => Self::Uncertain,
            Outcome::Unknown | Outcome::Enqueued | Outcome::Written => Self::Unknown,
        }
    }
}
