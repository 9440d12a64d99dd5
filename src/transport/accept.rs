use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, header};
use sha1::{Digest, Sha1};

use crate::error::RequestError;

/// What every server appends to a client's key. [RFC 6455, section 1.3]
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a request asks to become a websocket. [RFC 6455, section 4.2.1]
pub(crate) fn wants_websocket(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
        && has_token(headers, &header::UPGRADE, "websocket")
        && has_token(headers, &header::CONNECTION, "upgrade")
}

/// Checks the opening handshake of a websocket and gives the `Sec-WebSocket-Accept` that answers
/// it. [RFC 6455, section 4.2]
///
/// # Errors
///
/// What is missing or wrong.
pub(crate) fn accept(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, RequestError> {
    if method != Method::GET {
        return Err(RequestError::Engine(crate::engine::Rejection::BadMethod));
    }
    if headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return Err(RequestError::Bad("unsupported websocket version"));
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(RequestError::Bad("missing websocket key"));
    };
    if !is_key(key.as_bytes()) {
        return Err(RequestError::Bad("invalid websocket key"));
    }
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut encoded = [0; 28];
    STANDARD
        .encode_slice(digest, &mut encoded)
        .ok()
        .and_then(|_| HeaderValue::from_bytes(&encoded).ok())
        .ok_or(RequestError::Bad("invalid websocket key"))
}

/// Sixteen bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let mut decoded = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut decoded) == Ok(16)
}

/// Whether a header that is a list of tokens holds this one.
fn has_token(headers: &HeaderMap, name: &header::HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|found| found.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(version: &str, key: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::SEC_WEBSOCKET_VERSION, version.parse().unwrap());
        headers.insert(header::SEC_WEBSOCKET_KEY, key.parse().unwrap());
        headers
    }

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn the_key_is_answered() {
        let headers = headers("13", "dGhlIHNhbXBsZSBub25jZQ==");
        let answer = accept(&Method::GET, &headers).unwrap();
        assert_eq!(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn bad_keys_and_versions_are_refused() {
        for (version, key) in [
            ("7", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("13", "dGhlIHNhbXBsZSBub25jZQ"),
            ("13", "dGhlIHNhbXBsZSBub25j"),
            ("13", "!!!!IHNhbXBsZSBub25jZQ=="),
        ] {
            assert!(
                accept(&Method::GET, &headers(version, key)).is_err(),
                "{version} {key}"
            );
        }
        assert!(accept(&Method::GET, &HeaderMap::new()).is_err());
    }

    #[test]
    fn an_upgrade_is_a_list_of_tokens() {
        let mut headers = HeaderMap::new();
        headers.insert(header::UPGRADE, HeaderValue::from_static("h2c, WebSocket"));
        assert!(!wants_websocket(&headers));
        headers.insert(
            header::CONNECTION,
            HeaderValue::from_static("keep-alive, Upgrade"),
        );
        assert!(wants_websocket(&headers));
    }
}
