use std::borrow::Cow;

use memchr::{memchr, memchr2};
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
        let mut rest = query.unwrap_or_default();
        let is_plain = !is_encoded(rest);
        while !rest.is_empty() {
            let (pair, tail) = cut(rest, memchr(b'&', rest.as_bytes()));
            // Keys are so short that a plain loop beats a search.
            let (key, value) = cut(pair, pair.bytes().position(|byte| byte == b'='));
            rest = tail;
            if is_plain {
                parsed.set(key, Some(Cow::Borrowed(value)))?;
            } else {
                parsed.set(&decode(key).unwrap_or(NOT_UTF8), decode(value))?;
            }
        }
        parsed.sid = parsed.sid.filter(|sid| !sid.is_empty());
        Ok(parsed)
    }

    /// Sets what a key is about to a value, if that is UTF-8.
    fn set(&mut self, key: &str, value: Option<Cow<'a, str>>) -> Result<(), QueryError> {
        let place = match key {
            "transport" => &mut self.transport,
            "EIO" => &mut self.eio,
            "sid" => &mut self.sid,
            "account" if self.account.is_some() => return Err(QueryError::RepeatedAccount),
            "account" if value.is_none() => return Err(QueryError::AccountNotUtf8),
            "account" => &mut self.account,
            _ => return Ok(()),
        };
        *place = value.or(Some(NOT_UTF8));
        Ok(())
    }
}

/// What stands before a byte, and after it.
fn cut(text: &str, at: Option<usize>) -> (&str, &str) {
    at.map_or((text, ""), |at| (&text[..at], &text[at + 1..]))
}

fn is_encoded(text: &str) -> bool {
    memchr2(b'%', b'+', text.as_bytes()).is_some()
}

/// None unless it is UTF-8.
fn decode(raw: &str) -> Option<Cow<'_, str>> {
    if !is_encoded(raw) {
        return Some(Cow::Borrowed(raw));
    }
    let spaced = raw.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

/// What stands for bytes that are no text.
const NOT_UTF8: Cow<'static, str> = Cow::Borrowed("\u{fffd}");

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Query<'_> {
        Query::parse(Some(query)).unwrap()
    }

    #[test]
    fn the_four_keys_are_found_among_others() {
        let query = parse("account=a&b64=1&EIO=4&transport=polling&t=x&sid=s");

        assert_eq!(query.transport.as_deref(), Some("polling"));
        assert_eq!(query.eio.as_deref(), Some("4"));
        assert_eq!(query.sid.as_deref(), Some("s"));
        assert_eq!(query.account.as_deref(), Some("a"));
    }

    #[test]
    fn a_plain_value_is_borrowed() {
        let query = parse("transport=websocket&account=b\u{e9}");

        assert!(matches!(query.transport, Some(Cow::Borrowed("websocket"))));
        assert!(matches!(query.account, Some(Cow::Borrowed("b\u{e9}"))));
    }

    #[test]
    fn no_query_has_no_values() {
        assert_eq!(Query::parse(None), Ok(Query::default()));
        for query in ["", "&", "&&=&", "=x", "SID=a", "Account=a", "eio=4"] {
            assert_eq!(parse(query), Query::default(), "{query}");
        }
    }

    /// E4.
    #[test]
    fn an_empty_sid_is_none() {
        for query in ["sid=", "sid", "sid=a&sid="] {
            assert_eq!(parse(query).sid, None, "{query}");
        }
    }

    #[test]
    fn an_empty_account_is_an_account() {
        for query in ["account=", "account"] {
            assert_eq!(parse(query).account.as_deref(), Some(""), "{query}");
        }
    }

    /// E7.
    #[test]
    fn of_a_repeated_key_the_last_counts() {
        let query = parse("sid=a&EIO=3&sid=b&transport=x&EIO=4&transport=y");

        assert_eq!(query.sid.as_deref(), Some("b"));
        assert_eq!(query.eio.as_deref(), Some("4"));
        assert_eq!(query.transport.as_deref(), Some("y"));
    }

    #[test]
    fn a_repeated_account_is_an_error() {
        for query in [
            "account=a&account=b",
            "account=a&account=a",
            "account&account",
            "account=a&%61ccount=b",
        ] {
            assert_eq!(
                Query::parse(Some(query)),
                Err(QueryError::RepeatedAccount),
                "{query}"
            );
        }
    }

    #[test]
    fn keys_and_values_are_decoded_as_in_forms() {
        let query = parse("acc%6Funt=a+b%2B%C3%A9%26=c&s%69d=%41");

        assert_eq!(query.account.as_deref(), Some("a b+\u{e9}&=c"));
        assert_eq!(query.sid.as_deref(), Some("A"));
    }

    #[test]
    fn a_percent_sign_that_begins_no_escape_stands_for_itself() {
        assert_eq!(
            parse("account=100%&sid=%4").account.as_deref(),
            Some("100%")
        );
        assert_eq!(parse("sid=%zz%4").sid.as_deref(), Some("%zz%4"));
    }

    #[test]
    fn an_account_that_is_not_utf8_is_an_error() {
        assert_eq!(
            Query::parse(Some("account=%ff")),
            Err(QueryError::AccountNotUtf8)
        );
    }

    #[test]
    fn another_value_that_is_not_utf8_is_there_and_equals_nothing() {
        let query = parse("transport=polling%ff&EIO=4%c3&sid=%80&%ff=x");

        for value in [query.transport, query.eio, query.sid] {
            assert_eq!(value.as_deref(), Some("\u{fffd}"));
        }
    }
}
