use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::transport::Opening;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");

/// Packets for a GET.
pub(crate) fn packets(body: Bytes) -> Response<Bytes> {
    uncached(body, TEXT)
}

/// The answer to a POST.
pub(crate) fn ok() -> Response<Bytes> {
    uncached(Bytes::from_static(b"ok"), HTML)
}

/// An error.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = uncached(body, JSON);
    *response.status_mut() = status;
    response
}

fn uncached(body: Bytes, kind: HeaderValue) -> Response<Bytes> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    response
}

/// The answer that makes a connection, or a stream of it, a websocket. HTTP/2 has no place for the
/// headers of an upgrade.
pub(crate) fn websocket(opening: Opening) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    if let Opening::Upgrade(accept) = opening {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, WEBSOCKET);
        headers.insert(header::CONNECTION, UPGRADE);
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
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
