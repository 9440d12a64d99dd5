//! The browser client that the crate brings along, as a file that can be fetched.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use sha1::{Digest, Sha1};

/// The script as it is served, under the endpoint, as this file.
const SCRIPT: &[u8] = include_bytes!("client/primacron.js");
const FILE: &str = "/primacron.js";

const JAVASCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=utf-8");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// A strong tag: it changes with every byte of the script.
static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = URL_SAFE_NO_PAD.encode(Sha1::digest(SCRIPT));
    HeaderValue::try_from(format!("\"{digest}\"")).expect("base64 is visible ASCII")
});

/// Whether `path` names the script of the endpoint at `endpoint`, which has no slash at its end.
pub(crate) fn is_path(endpoint: &str, path: &str) -> bool {
    path.strip_prefix(endpoint) == Some(FILE)
}

/// Answers a request for the script.
pub(crate) fn respond(parts: &Parts) -> Response<Bytes> {
    let mut response = match parts.method {
        Method::GET | Method::HEAD if is_fresh(&parts.headers) => empty(StatusCode::NOT_MODIFIED),
        Method::GET => script(Bytes::from_static(SCRIPT)),
        Method::HEAD => script(Bytes::new()),
        _ => {
            let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(header::ALLOW, ALLOWED);
            return response;
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, TAG.clone());
    headers.insert(header::CACHE_CONTROL, NO_CACHE);
    response
}

/// Whether the client has this script already. The comparison is the weak one, which a proxy that
/// compresses counts on. [RFC 9110, section 13.1.2]
fn is_fresh(headers: &HeaderMap) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = known.flat_map(|known| known.as_bytes().split(|byte| *byte == b','));
    tags.any(|tag| {
        let tag = tag.trim_ascii();
        tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == TAG.as_bytes()
    })
}

fn script(body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JAVASCRIPT);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(SCRIPT.len()));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    response
}

fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn answer(method: Method, known: &[&str]) -> Response<Bytes> {
        let mut request = Request::builder().method(method);
        for tag in known {
            request = request.header(header::IF_NONE_MATCH, *tag);
        }
        respond(&request.body(()).unwrap().into_parts().0)
    }

    fn header_of(response: &Response<Bytes>, name: header::HeaderName) -> &str {
        response
            .headers()
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn only_the_file_right_below_the_endpoint_is_the_script() {
        assert!(is_path("/stream", "/stream/primacron.js"));
        for path in [
            "/stream",
            "/stream/",
            "/primacron.js",
            "/stream/x/primacron.js",
            "/stream/primacron.js/",
        ] {
            assert!(!is_path("/stream", path), "{path}");
        }
    }

    #[test]
    fn a_get_has_the_script_and_what_a_browser_must_know_of_it() {
        let response = answer(Method::GET, &[]);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.body(), SCRIPT);
        assert_eq!(
            header_of(&response, header::CONTENT_TYPE),
            "text/javascript; charset=utf-8"
        );
        assert_eq!(
            header_of(&response, header::X_CONTENT_TYPE_OPTIONS),
            "nosniff"
        );
        assert_eq!(header_of(&response, header::CACHE_CONTROL), "no-cache");
        let tag = header_of(&response, header::ETAG);
        assert!(
            tag.starts_with('"') && tag.ends_with('"') && tag.len() > 20,
            "{tag}"
        );
    }

    #[test]
    fn a_head_has_the_same_headers_and_no_body() {
        let (get, head) = (answer(Method::GET, &[]), answer(Method::HEAD, &[]));
        assert_eq!(head.headers(), get.headers());
        assert_eq!(
            header_of(&head, header::CONTENT_LENGTH),
            SCRIPT.len().to_string()
        );
        assert!(head.body().is_empty());
    }

    #[test]
    fn who_has_the_script_is_told_so() {
        let tag = TAG.to_str().unwrap();
        let weak = format!("W/{tag}");
        let listed = format!("\"old\", {tag}");
        for known in [&[tag][..], &[&weak], &[&listed], &["*"], &["\"old\"", tag]] {
            for method in [Method::GET, Method::HEAD] {
                let response = answer(method, known);
                assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known:?}");
                assert_eq!(header_of(&response, header::ETAG), tag);
                assert_eq!(header_of(&response, header::CACHE_CONTROL), "no-cache");
                assert!(response.body().is_empty());
            }
        }
        assert_eq!(answer(Method::GET, &["\"old\""]).status(), StatusCode::OK);
    }

    #[test]
    fn other_methods_are_not_allowed() {
        let response = answer(Method::POST, &["*"]);
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header_of(&response, header::ALLOW), "GET, HEAD");
    }
}
