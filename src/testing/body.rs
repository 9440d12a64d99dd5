use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// The body of a [`Client`](super::Client)'s request: bytes that are all there.
///
/// A service of another body gets it through a `map_request`:
///
/// ```
/// use primacron::testing::{Body, Client};
/// use tower::ServiceExt;
///
/// # fn example<S, F>(service: S)
/// # where
/// #     S: tower::Service<http::Request<String>, Response = http::Response<String>, Error = std::convert::Infallible, Future = F>
/// #         + Clone + Send + 'static,
/// #     F: Future<Output = Result<http::Response<String>, std::convert::Infallible>> + Send + 'static,
/// # {
/// let service = service.map_request(|request: http::Request<Body>| {
///     request.map(|body| String::from_utf8_lossy(body.as_bytes()).into_owned())
/// });
/// let client = Client::builder(&service);
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Body {
    bytes: Bytes,
}

impl Body {
    /// What is left of it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<B: Into<Bytes>> From<B> for Body {
    fn from(bytes: B) -> Self {
        Self {
            bytes: bytes.into(),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.bytes);
        let frame = (!bytes.is_empty()).then(|| Ok(Frame::data(bytes)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}
