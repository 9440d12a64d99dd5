use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, header, request::Parts};
use sha1::{Digest, Sha1};

use crate::error::RequestError;

/// What every server appends to a client's key. [RFC 6455, section 1.3]
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How a request to open a websocket is answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// The connection switches protocols; this is the `Sec-WebSocket-Accept`.
    /// [RFC 6455, section 4.2.2]
    Upgrade(HeaderValue),
    /// One stream of the connection becomes the websocket. [RFC 8441, section 5]
    Stream,
}

/// Whether a request asks to become a websocket. [RFC 6455, section 4.2.1]
pub(crate) fn wants_websocket(parts: &Parts) -> bool {
    is_upgrade(&parts.headers) || wants_stream(parts)
}

/// Whether a request asks for it by an upgrade.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
        && has_token(headers, &header::UPGRADE, "websocket")
        && has_token(headers, &header::CONNECTION, "upgrade")
}

/// Whether a request asks for it by an extended CONNECT. [RFC 8441, section 4]
#[cfg(feature = "http2")]
pub(crate) fn wants_stream(parts: &Parts) -> bool {
    let protocol = parts.extensions.get::<hyper::ext::Protocol>();
    parts.method == Method::CONNECT
        && protocol.is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// Whether a request asks for it by an extended CONNECT: nobody can without HTTP/2.
#[cfg(not(feature = "http2"))]
pub(crate) const fn wants_stream(_: &Parts) -> bool {
    false
}

/// Checks the opening handshake of a websocket and says how to answer it.
/// [RFC 6455, section 4.2]
///
/// # Errors
///
/// What is missing or wrong.
pub(crate) fn accept(parts: &Parts) -> Result<Opening, RequestError> {
    let (stream, headers) = (wants_stream(parts), &parts.headers);
    if !stream && parts.method != Method::GET {
        return Err(RequestError::Engine(crate::engine::Rejection::BadMethod));
    }
    if headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return Err(RequestError::Bad("unsupported websocket version"));
    }
    if stream {
        return Ok(Opening::Stream);
    }
    answer_key(headers).map(Opening::Upgrade)
}

fn answer_key(headers: &HeaderMap) -> Result<HeaderValue, RequestError> {
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
    use http::Request;

    use super::*;

    fn parts(method: Method, headers: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn upgrade(version: &str, key: &str) -> Parts {
        let headers = [
            ("sec-websocket-version", version),
            ("sec-websocket-key", key),
        ];
        parts(Method::GET, &headers)
    }

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn the_key_is_answered() {
        let answer = accept(&upgrade("13", "dGhlIHNhbXBsZSBub25jZQ=="));
        let expected = HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer, Ok(Opening::Upgrade(expected)));
    }

    #[test]
    fn bad_keys_and_versions_are_refused() {
        for (version, key) in [
            ("7", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("13", "dGhlIHNhbXBsZSBub25jZQ"),
            ("13", "dGhlIHNhbXBsZSBub25j"),
            ("13", "!!!!IHNhbXBsZSBub25jZQ=="),
        ] {
            assert!(accept(&upgrade(version, key)).is_err(), "{version} {key}");
        }
        assert!(accept(&parts(Method::GET, &[])).is_err());
    }

    #[test]
    fn an_upgrade_is_a_list_of_tokens() {
        let upgrade = ("upgrade", "h2c, WebSocket");
        let connection = ("connection", "keep-alive, Upgrade");
        assert!(!wants_websocket(&parts(Method::GET, &[upgrade])));
        assert!(wants_websocket(&parts(Method::GET, &[upgrade, connection])));
    }

    #[test]
    fn a_connect_alone_is_no_websocket() {
        let plain = parts(Method::CONNECT, &[("sec-websocket-version", "13")]);
        assert!(!wants_websocket(&plain));
        assert!(accept(&plain).is_err());
    }

    #[cfg(feature = "http2")]
    #[test]
    fn an_extended_connect_needs_the_protocol_and_its_version() {
        let connect = |method, protocol, headers: &[_]| {
            let mut parts = parts(method, headers);
            let protocol = hyper::ext::Protocol::from_static(protocol);
            parts.extensions.insert(protocol);
            parts
        };
        let version = [("sec-websocket-version", "13")];
        let right = connect(Method::CONNECT, "websocket", &version);
        assert!(wants_websocket(&right));
        assert_eq!(accept(&right), Ok(Opening::Stream));
        for wrong in [
            connect(Method::CONNECT, "connect-udp", &version),
            connect(Method::GET, "websocket", &version),
            connect(Method::CONNECT, "websocket", &[]),
        ] {
            assert!(accept(&wrong).is_err(), "{wrong:?}");
        }
    }
}
