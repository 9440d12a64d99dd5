use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use crate::transport::Opening;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Packets for a GET.
pub(crate) fn packets(body: Vec<u8>) -> Response<Bytes> {
    with(
        StatusCode::OK,
        body.into(),
        &[
            (header::CONTENT_TYPE, TEXT),
            (header::CACHE_CONTROL, NO_STORE),
        ],
    )
}

/// The answer to a POST.
pub(crate) fn ok() -> Response<Bytes> {
    with(
        StatusCode::OK,
        Bytes::from_static(b"ok"),
        &[
            (header::CONTENT_TYPE, HTML),
            (header::CACHE_CONTROL, NO_STORE),
        ],
    )
}

/// An error.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Response<Bytes> {
    with(
        status,
        body,
        &[
            (header::CONTENT_TYPE, JSON),
            (header::CACHE_CONTROL, NO_STORE),
        ],
    )
}

/// The answer that makes a connection, or a stream of it, a websocket. HTTP/2 has no place for the
/// headers of an upgrade.
pub(crate) fn websocket(opening: Opening) -> Response<Bytes> {
    let Opening::Upgrade(accept) = opening else {
        return Response::new(Bytes::new());
    };
    with(
        StatusCode::SWITCHING_PROTOCOLS,
        Bytes::new(),
        &[
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::CONNECTION, HeaderValue::from_static("Upgrade")),
            (header::SEC_WEBSOCKET_ACCEPT, accept),
        ],
    )
}

fn with(status: StatusCode, body: Bytes, headers: &[(HeaderName, HeaderValue)]) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_http2_is_opened_without_headers_of_a_connection() {
        let answer = websocket(Opening::Stream);

        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.headers().is_empty() && answer.body().is_empty());
    }
}
