use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The parameters of a request that the protocol gives a meaning.
///
/// Values are decoded as in HTML forms: `+` is a space. Of a repeated key the
/// last one counts. Unknown keys are left to the application. Nothing is
/// allocated unless a value needs decoding.
///
/// A value whose bytes are not UTF-8 holds U+FFFD, and so is equal to no
/// transport, version or sid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query<'a> {
    /// `transport`: what the request is made with.
    pub(crate) transport: Option<Cow<'a, str>>,
    /// `EIO`: the protocol's version.
    pub(crate) eio: Option<Cow<'a, str>>,
    /// `sid`: whose request it is. An empty one is none.
    pub(crate) sid: Option<Cow<'a, str>>,
    /// `account`: whom the client claims to be. May be empty.
    pub(crate) account: Option<Cow<'a, str>>,
}

/// A query that leaves open whom the client claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    /// Two servers on the way could each believe another one of them.
    #[error("account given more than once")]
    RepeatedAccount,
    /// The account's bytes are not UTF-8.
    #[error("account is not utf-8")]
    AccountNotUtf8,
}

impl<'a> Query<'a> {
    /// Reads the query of a URI, without its question mark.
    ///
    /// # Errors
    ///
    /// When `account` is repeated or not UTF-8.
    pub(crate) fn parse(query: Option<&'a str>) -> Result<Self, QueryError> {
        let mut parsed = Self::default();
        for pair in query.unwrap_or_default().split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match &*decode(key) {
                "transport" => parsed.transport = Some(decode(value)),
                "EIO" => parsed.eio = Some(decode(value)),
                "sid" => parsed.sid = Some(decode(value)).filter(|sid| !sid.is_empty()),
                "account" => parsed.set_account(value)?,
                _ => {}
            }
        }
        Ok(parsed)
    }

    fn set_account(&mut self, value: &'a str) -> Result<(), QueryError> {
        if self.account.is_some() {
            return Err(QueryError::RepeatedAccount);
        }
        self.account = Some(decode_strict(value).ok_or(QueryError::AccountNotUtf8)?);
        Ok(())
    }
}

fn decode(raw: &str) -> Cow<'_, str> {
    if !is_encoded(raw) {
        return Cow::Borrowed(raw);
    }
    decode_strict(raw).unwrap_or(Cow::Borrowed("\u{fffd}"))
}

fn decode_strict(raw: &str) -> Option<Cow<'_, str>> {
    if !is_encoded(raw) {
        return Some(Cow::Borrowed(raw));
    }
    let spaced = raw.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

fn is_encoded(raw: &str) -> bool {
    raw.bytes().any(|byte| byte == b'%' || byte == b'+')
}
