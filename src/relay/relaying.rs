use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http::{Method, Response, request::Parts};
use http_body::{Body, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use super::{
    peers::{Answer, Peer, Relay, Upgrade},
    pipe::{Inlet, pipe},
    proof::Whose,
};
use crate::error::RequestError;

pin_project! {
    /// A request on its way to another node: its body goes there as it comes, then it is answered.
    pub(crate) struct Relaying<B> {
        #[pin]
        body: B,
        inlet: Option<Inlet>,
        // Bytes of the body that may still come.
        room: usize,
        answer: Answer,
    }
}

impl<B: Body> Relaying<B> {
    /// # Errors
    ///
    /// When the body is too large, or the request cannot be sent.
    pub(crate) fn new(
        relay: &Arc<Relay>,
        peer: Peer,
        parts: Parts,
        body: B,
        whose: Whose,
        max_payload: usize,
        upgrade: Option<Upgrade>,
    ) -> Result<Self, RequestError> {
        // Only a POST has something to say.
        let posts = parts.method == Method::POST;
        let hint = if posts {
            body.size_hint()
        } else {
            SizeHint::with_exact(0)
        };
        let announced = usize::try_from(hint.lower()).unwrap_or(usize::MAX);
        if announced > max_payload {
            return Err(RequestError::TooLarge);
        }
        let (inlet, outlet) = pipe(hint);
        let inlet = if posts && !body.is_end_stream() {
            Some(inlet)
        } else {
            inlet.finish();
            None
        };
        let answer = relay.send(peer, parts, whose, outlet, upgrade)?;
        Ok(Self {
            body,
            inlet,
            room: max_payload,
            answer,
        })
    }

    pub(crate) fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<Incoming>, RequestError>> {
        // An answer may come before all of the body has gone.
        if let Err(error) = self.as_mut().pump(cx) {
            return Poll::Ready(Err(error));
        }
        self.project().answer.as_mut().poll(cx)
    }

    fn pump(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<(), RequestError> {
        let mut this = self.project();
        while let Some(inlet) = this.inlet.as_ref() {
            match inlet.poll_ready(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(false) => *this.inlet = None,
                Poll::Ready(true) => match this.body.as_mut().poll_frame(cx) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(None) => {
                        inlet.finish();
                        *this.inlet = None;
                    }
                    // The other node is told by how its body ends.
                    Poll::Ready(Some(Err(_))) => *this.inlet = None,
                    Poll::Ready(Some(Ok(frame))) => {
                        let Ok(data) = frame.into_data() else {
                            continue;
                        };
                        *this.room = take(inlet, data, *this.room)?;
                    }
                },
            }
        }
        Ok(())
    }
}

/// Gives on a piece of a body, and gives back how much room is left for more.
fn take(inlet: &Inlet, mut data: impl Buf, room: usize) -> Result<usize, RequestError> {
    let size = data.remaining();
    let left = room.checked_sub(size).ok_or(RequestError::TooLarge)?;
    if size > 0 {
        let piece: Bytes = data.copy_to_bytes(size);
        inlet.give(piece);
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin};

    use super::*;

    #[tokio::test]
    async fn a_body_has_room_for_so_many_bytes_whatever_was_announced() {
        let (inlet, outlet) = pipe(SizeHint::default());
        let left = take(&inlet, &b"123"[..], 5);
        assert!(matches!(left, Ok(2)), "{left:?}");
        let mut outlet = pin!(outlet);
        let frame = poll_fn(|cx| outlet.as_mut().poll_frame(cx)).await;
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), "123");

        let left = take(&inlet, &b"456"[..], 2);
        assert!(matches!(left, Err(RequestError::TooLarge)), "{left:?}");
        inlet.finish();
        let frame = poll_fn(|cx| outlet.as_mut().poll_frame(cx)).await;
        assert!(frame.is_none(), "nothing of it goes on");
    }
}
