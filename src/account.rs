//! Whom a request belongs to, as the application says.

use std::{fmt, pin::Pin, sync::Arc};

use http::request::Parts;

use crate::error::AccountError;

/// The longest account and session id, in bytes.
const LONGEST: usize = 256;

/// Whether a text can be an account or a session id: 1 to 256 bytes without control characters.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// What an account function may return: a text, an `Option` of one (`None` is
/// [`AccountError::Unauthorized`]) or a `Result` of one with an [`AccountError`].
#[diagnostic::on_unimplemented(
    message = "an account function cannot return `{Self}`",
    note = "return `String`, `Option<String>` or `Result<String, AccountError>`, or a `Send` future of one of them that does not borrow from the request"
)]
pub trait IntoAccount {
    /// Makes the account.
    ///
    /// # Errors
    ///
    /// Why there is none.
    fn into_account(self) -> Result<String, AccountError>;
}

impl IntoAccount for String {
    fn into_account(self) -> Result<String, AccountError> {
        Ok(self)
    }
}

impl IntoAccount for &'static str {
    fn into_account(self) -> Result<String, AccountError> {
        Ok(self.to_owned())
    }
}

impl<A: IntoAccount> IntoAccount for Option<A> {
    fn into_account(self) -> Result<String, AccountError> {
        self.ok_or(AccountError::Unauthorized)?.into_account()
    }
}

impl<A: IntoAccount> IntoAccount for Result<A, AccountError> {
    fn into_account(self) -> Result<String, AccountError> {
        self?.into_account()
    }
}

/// Decides whom a request belongs to: a function of the request's head, plain or async.
///
/// `Kind` tells the compiler which of the two a closure is; it is always inferred.
pub trait AccountFn<Kind>: Send + Sync + 'static {
    /// Asks for the account.
    fn account(&self, parts: &Parts) -> Account;
}

/// An account function that answers at once.
#[derive(Debug)]
#[expect(unnameable_types, reason = "always inferred")]
pub enum Plain {}

/// An account function that returns a future.
#[derive(Debug)]
#[expect(unnameable_types, reason = "always inferred")]
pub enum Asking {}

/// The answer of an account function, now or later.
pub struct Account(pub(crate) Answer);

pub(crate) enum Answer {
    Now(Result<String, AccountError>),
    Later(Later),
}

pub(crate) type Later = Pin<Box<dyn Future<Output = Result<String, AccountError>> + Send>>;

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account")
    }
}

impl<F, A> AccountFn<Plain> for F
where
    F: Fn(&Parts) -> A + Send + Sync + 'static,
    A: IntoAccount,
{
    fn account(&self, parts: &Parts) -> Account {
        Account(Answer::Now(self(parts).into_account()))
    }
}

impl<F, R> AccountFn<Asking> for F
where
    F: Fn(&Parts) -> R + Send + Sync + 'static,
    R: Future<Output: IntoAccount> + Send + 'static,
{
    fn account(&self, parts: &Parts) -> Account {
        let answer = self(parts);
        Account(Answer::Later(Box::pin(async move {
            answer.await.into_account()
        })))
    }
}

/// An account function of any kind.
pub(crate) type AnyAccountFn = Arc<dyn Fn(&Parts) -> Answer + Send + Sync>;

pub(crate) fn erase<K>(account: impl AccountFn<K>) -> AnyAccountFn {
    Arc::new(move |parts: &Parts| account.account(parts).0)
}
