use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use http::{HeaderMap, header};
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{
    connection::OpenPost,
    engine::{CloseReason, Payload, Rejection},
    error::RequestError,
};

pin_project! {
    /// A POST of a client on long polling: its body is read, its packets are handled, then it is
    /// answered.
    pub(crate) struct PostBody<B> {
        #[pin]
        body: B,
        read: BytesMut,
        max_payload: usize,
        max_packets: usize,
        post: OpenPost,
        submitted: bool,
    }
}

/// Bytes that are set aside before any of a body has come.
const FIRST: usize = 4 * 1024;

impl<B: Body> PostBody<B> {
    /// # Errors
    ///
    /// When the headers say that the body is too large or binary, which protocol 4 does not know.
    pub(crate) fn new(
        body: B,
        headers: &HeaderMap,
        max_payload: usize,
        max_packets: usize,
        mut post: OpenPost,
    ) -> Result<Self, RequestError> {
        let kind = headers.get(header::CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/octet-stream")) {
            post.fail(CloseReason::TransportError("invalid content"));
            return Err(RequestError::Bad("binary payload"));
        }
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > max_payload {
            post.finish();
            return Err(RequestError::TooLarge);
        }
        Ok(Self {
            body,
            read: BytesMut::with_capacity(announced.min(FIRST)),
            max_payload,
            max_packets,
            post,
            submitted: false,
        })
    }

    /// Ready when every packet was handled.
    pub(crate) fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RequestError>> {
        if !self.submitted {
            if !self.as_mut().project().post.poll_wanted(cx) {
                self.project().post.finish();
                return Poll::Ready(Err(Rejection::UnknownSid.into()));
            }
            ready!(self.as_mut().poll_read(cx))?;
            self.as_mut().submit()?;
        }
        self.project().post.poll_handled(cx)
    }

    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), RequestError>> {
        loop {
            let this = self.as_mut().project();
            match ready!(this.body.poll_frame(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(frame)) => {
                    let Ok(mut data) = frame.into_data() else {
                        continue;
                    };
                    if this.read.len() + data.remaining() > *this.max_payload {
                        this.post.finish();
                        return Poll::Ready(Err(RequestError::TooLarge));
                    }
                    while data.has_remaining() {
                        let chunk = data.chunk();
                        this.read.extend_from_slice(chunk);
                        let len = chunk.len();
                        data.advance(len);
                    }
                }
                Some(Err(_)) => {
                    let reason = CloseReason::TransportError("data request broke off");
                    this.post.fail(reason);
                    return Poll::Ready(Err(Rejection::BadRequest.into()));
                }
            }
        }
    }

    fn submit(self: Pin<&mut Self>) -> Result<(), RequestError> {
        let this = self.project();
        let body = std::mem::take(this.read).freeze();
        match Payload::decode(body, *this.max_packets) {
            Ok(payload) => {
                this.post.submit(payload);
                *this.submitted = true;
                Ok(())
            }
            Err(error) => Err(this.post.refuse(error)),
        }
    }
}
