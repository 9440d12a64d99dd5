use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{
    config::Settings,
    connection::{OpenPost, Scratch},
    engine::{Fact, Payload, Rejection},
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

impl<B: Body> PostBody<B> {
    /// # Errors
    ///
    /// When the headers say that the body is too large or binary, which protocol 4 does not know.
    pub(crate) fn new(
        body: B,
        headers: &HeaderMap,
        settings: &Settings,
        mut post: OpenPost,
    ) -> Result<Self, RequestError> {
        let kind = headers.get(header::CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/octet-stream")) {
            post.fail(Fact::PostBinary);
            return Err(RequestError::Bad("binary payload"));
        }
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > settings.max_payload() {
            post.finish();
            return Err(RequestError::TooLarge);
        }
        Ok(Self {
            body,
            read: BytesMut::new(),
            max_payload: settings.max_payload(),
            max_packets: settings.max_packets(),
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
            let body = match self.as_mut().poll_read(cx) {
                Poll::Ready(body) => body?,
                Poll::Pending if self.as_mut().project().post.poll_wanted(cx) => {
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Ready(Err(self.unwanted())),
            };
            self.as_mut().submit(body)?;
        }
        self.project().post.poll_handled(cx)
    }

    /// All of the body. One that comes in one piece is copied once, since the piece is of a larger
    /// buffer; small ones share an allocation.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, RequestError>> {
        loop {
            let mut this = self.as_mut().project();
            let data = match ready!(this.body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(Ok(mem::take(this.read).freeze())),
                Some(Ok(frame)) => frame.into_data(),
                Some(Err(_)) => {
                    this.post.fail(Fact::PostBroken);
                    return Poll::Ready(Err(Rejection::BadRequest.into()));
                }
            };
            let Ok(data) = data else { continue };
            let size = data.remaining();
            if this.read.len() + size > *this.max_payload {
                this.post.finish();
                return Poll::Ready(Err(RequestError::TooLarge));
            }
            let whole = this.read.is_empty() && this.body.is_end_stream();
            if whole && data.chunk().len() == size {
                return Poll::Ready(Ok(Scratch::copy(data.chunk())));
            }
            this.read.put(data);
        }
    }

    fn submit(self: Pin<&mut Self>, body: Bytes) -> Result<(), RequestError> {
        let payload = match Payload::decode(body, self.max_packets) {
            Ok(payload) => payload,
            Err(error) => {
                self.project().post.fail(Fact::Malformed(error));
                return Err(RequestError::MALFORMED);
            }
        };
        if !self.post.submit(payload) {
            return Err(self.unwanted());
        }
        *self.project().submitted = true;
        Ok(())
    }

    /// The connection has ended meanwhile.
    fn unwanted(self: Pin<&mut Self>) -> RequestError {
        self.project().post.finish();
        Rejection::UnknownSid.into()
    }
}
