use std::sync::Arc;

use http::{Extensions, request::Parts};

use crate::{
    account::{Answer, AnyAccountFn, is_name},
    error::{AccountError, RequestError},
    ids,
    message::User,
};

/// What the application says about who may connect, and what is kept of a handshake.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    pub(crate) account: Option<AnyAccountFn>,
    pub(crate) session_id: Option<SessionIdFn>,
    pub(crate) keep: Vec<KeepFn>,
}

pub(crate) type SessionIdFn = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;
pub(crate) type KeepFn = Arc<dyn Fn(&Parts, &mut Extensions) + Send + Sync>;

impl Gate {
    /// Whether accounts are what clients claim.
    pub(crate) const fn is_unverified(&self) -> bool {
        self.account.is_none()
    }

    /// Asks whose a request is. Without an account function nobody can be asked.
    pub(crate) fn ask(&self, parts: &Parts) -> Option<Answer> {
        self.account.as_ref().map(|account| account(parts))
    }

    /// Chooses the ids of a new connection; `stamp` may make more of the socket id.
    ///
    /// # Errors
    ///
    /// A bad request when the application gives no usable session id.
    pub(crate) fn user(
        &self,
        account: &str,
        parts: &Parts,
        stamp: impl FnOnce(String) -> String,
    ) -> Result<User, RequestError> {
        let (session, sid) = match &self.session_id {
            None => ids::two_random_ids(),
            Some(choose) => {
                let session = choose(parts).filter(|session| is_name(session));
                let session = session.ok_or(RequestError::Bad("no session id"))?;
                (session, ids::random_id())
            }
        };
        Ok(User::new(account, &session, &stamp(sid)))
    }

    /// What stays of a handshake with its connection.
    pub(crate) fn keep(&self, parts: &Parts) -> Extensions {
        let mut kept = Extensions::new();
        for keep in &self.keep {
            keep(parts, &mut kept);
        }
        kept
    }
}

/// The account of a request.
///
/// # Errors
///
/// When the account function refused, or contradicts what the client claims.
pub(crate) fn verify(
    answer: Result<String, AccountError>,
    claim: Option<&str>,
) -> Result<String, RequestError> {
    let account = answer.map_err(RequestError::Account)?;
    if claim.is_some_and(|claim| claim != account) {
        return Err(RequestError::Forbidden("account is not yours"));
    }
    Ok(account)
}

/// The account of a new connection.
///
/// # Errors
///
/// A bad request when there is none, or when it is none.
pub(crate) fn usable(account: Option<&str>) -> Result<&str, RequestError> {
    match account {
        None => Err(RequestError::Bad("account is missing")),
        Some(account) if is_name(account) => Ok(account),
        Some(_) => Err(RequestError::Bad("account is not valid")),
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate")
            .field("is_unverified", &self.is_unverified())
            .finish_non_exhaustive()
    }
}
