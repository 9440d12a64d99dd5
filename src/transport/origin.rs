use http::{HeaderMap, Uri, header};

use crate::{config::Origins, engine::Rejection, error::RequestError};

/// Refuses a page of a foreign origin that connects with the browser's cookies.
///
/// # Errors
///
/// [`RequestError::Forbidden`] when the origin is not ours and not on the list, a bad request
/// when it is not a text.
pub(crate) fn check(origins: &Origins, uri: &Uri, headers: &HeaderMap) -> Result<(), RequestError> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().map_err(|_| Rejection::BadRequest)?;
    let Origins::SameAnd(listed) = origins else {
        return Ok(());
    };
    let alone = headers.get_all(header::ORIGIN).iter().nth(1).is_none();
    let trusted = alone
        && (is_same(origin, uri, headers)
            || listed
                .iter()
                .any(|listed| origin.eq_ignore_ascii_case(listed)));
    if trusted || !headers.contains_key(header::COOKIE) {
        return Ok(());
    }
    Err(RequestError::Forbidden("origin is not allowed"))
}

/// Whether the page came from the host that the request went to. The scheme is left out: a
/// server behind a proxy does not know its own.
fn is_same(origin: &str, uri: &Uri, headers: &HeaderMap) -> bool {
    let Some((scheme, page)) = origin.split_once("://") else {
        return false;
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| uri.authority().map(http::uri::Authority::as_str));
    let bare = |host: &str| match (scheme, host.rsplit_once(':')) {
        ("http", Some((host, "80"))) | ("https", Some((host, "443"))) => host.to_ascii_lowercase(),
        _ => host.to_ascii_lowercase(),
    };
    host.is_some_and(|host| bare(host) == bare(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origins: &Origins, origin: &str, host: &str, cookie: bool) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        headers.insert(header::HOST, host.parse().unwrap());
        if cookie {
            headers.insert(header::COOKIE, "a=b".parse().unwrap());
        }
        check(origins, &Uri::from_static("/stream/"), &headers).is_ok()
    }

    fn same_only() -> Origins {
        Origins::SameAnd(Box::new([]))
    }

    #[test]
    fn a_foreign_page_may_not_bring_cookies() {
        assert!(!allowed(
            &same_only(),
            "https://evil.example",
            "good.example",
            true
        ));
        assert!(!allowed(&same_only(), "null", "good.example", true));
        assert!(!allowed(
            &same_only(),
            "https://good.example.evil",
            "good.example",
            true
        ));
    }

    #[test]
    fn without_cookies_or_from_the_same_origin_it_may_connect() {
        assert!(allowed(
            &same_only(),
            "https://evil.example",
            "good.example",
            false
        ));
        assert!(allowed(
            &same_only(),
            "https://good.example",
            "good.example",
            true
        ));
        assert!(allowed(
            &same_only(),
            "https://good.example",
            "good.example:443",
            true
        ));
        assert!(allowed(
            &same_only(),
            "http://localhost:3000",
            "localhost:3000",
            true
        ));
        assert!(!allowed(
            &same_only(),
            "http://localhost:3000",
            "localhost:3001",
            true
        ));
    }

    #[test]
    fn a_listed_origin_may_bring_cookies() {
        let listed = Origins::SameAnd(Box::new(["https://app.example".into()]));
        assert!(allowed(&listed, "https://app.example", "api.example", true));
        assert!(!allowed(
            &listed,
            "https://app.example:8443",
            "api.example",
            true
        ));
        assert!(allowed(
            &Origins::Any,
            "https://evil.example",
            "good.example",
            true
        ));
    }

    #[test]
    fn an_origin_with_control_characters_is_a_bad_request() {
        let mut headers = HeaderMap::new();
        let origin = http::HeaderValue::from_bytes(b"https://a\xff").unwrap();
        headers.insert(header::ORIGIN, origin);
        let checked = check(&same_only(), &Uri::from_static("/"), &headers);
        assert_eq!(checked, Err(Rejection::BadRequest.into()));
    }
}
