use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{
    account::Later,
    body::ResponseBody,
    connection::{HeldGet, MakeHandler},
    error::RequestError,
    publish::Publishing,
    relay::{MARK, Relaying},
    respond,
    shared::{Listing, Next, Pending, Shared},
    transport::PostBody,
};

const MARKED: HeaderValue = HeaderValue::from_static("1");

pin_project! {
    /// Response future of [`Primacron`](crate::Primacron).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, B, M> {
        #[pin]
        kind: Kind<F, B, M>,
        // Whether another node is to see that the layer itself answers.
        marked: bool,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<F, B, M> {
        Inner { #[pin] future: F },
        Answer { response: Option<Response<Bytes>> },
        Ask { answer: Later, pending: Option<Box<Pending<B>>>, shared: Arc<Shared<M>> },
        Wait { listing: Listing, response: Option<Response<Bytes>>, shared: Arc<Shared<M>> },
        Get { get: HeldGet, shared: Arc<Shared<M>> },
        Post { #[pin] post: PostBody<B>, shared: Arc<Shared<M>> },
        Publish { #[pin] publishing: Publishing<B> },
        Relay { #[pin] relaying: Relaying<B>, shared: Arc<Shared<M>> },
    }
}

impl<F, B, M> ResponseFuture<F, B, M> {
    pub(crate) const fn inner(future: F) -> Self {
        Self {
            kind: Kind::Inner { future },
            marked: false,
        }
    }

    pub(crate) fn own(next: Next<B>, shared: &Arc<Shared<M>>) -> Self {
        Self {
            kind: Kind::own(next, shared),
            marked: false,
        }
    }

    /// The answer to a request that another node has relayed.
    pub(crate) fn relayed(next: Next<B>, shared: &Arc<Shared<M>>) -> Self {
        Self {
            kind: Kind::own(next, shared),
            marked: true,
        }
    }
}

impl<F, B, M> Kind<F, B, M> {
    fn own(next: Next<B>, shared: &Arc<Shared<M>>) -> Self {
        let shared = Arc::clone(shared);
        match next {
            Next::Answer(response) => Self::Answer {
                response: Some(response),
            },
            Next::Ask(answer, pending) => Self::Ask {
                answer,
                pending: Some(pending),
                shared,
            },
            Next::Wait(listing, response) => Self::Wait {
                listing,
                response: Some(response),
                shared,
            },
            Next::Get(get) => Self::Get { get, shared },
            Next::Post(post) => Self::Post { post, shared },
            Next::Publish(publishing) => Self::Publish { publishing },
            Next::Relay(relaying) => Self::Relay { relaying, shared },
        }
    }
}

impl<F, B, M, ResBody, E> Future for ResponseFuture<F, B, M>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    B: Body,
    M: MakeHandler,
{
    type Output = Result<Response<ResponseBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut kind = this.kind;
        loop {
            let mut answered = match kind.as_mut().project() {
                KindProj::Inner { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                KindProj::Ask {
                    answer,
                    pending,
                    shared,
                } => {
                    let account = ready!(answer.as_mut().poll(cx));
                    let Some(pending) = pending.take() else {
                        return Poll::Pending;
                    };
                    let next = shared.go_on(*pending, account);
                    let shared = Arc::clone(shared);
                    kind.set(Kind::own(next, &shared));
                    continue;
                }
                KindProj::Answer { response } => match response.take() {
                    Some(response) => response,
                    None => return Poll::Pending,
                },
                KindProj::Wait {
                    listing,
                    response,
                    shared,
                } => match (ready!(listing.as_mut().poll(cx)), response.take()) {
                    (true, Some(response)) => response,
                    _ => shared.reject(&RequestError::Unlisted),
                },
                KindProj::Get { get, shared } => {
                    answer(ready!(get.poll(cx)).map(respond::packets), shared)
                }
                KindProj::Post { post, shared } => {
                    answer(ready!(post.poll(cx)).map(|()| respond::ok()), shared)
                }
                KindProj::Relay { relaying, shared } => match ready!(relaying.poll(cx)) {
                    Ok(response) => {
                        return Poll::Ready(Ok(response.map(ResponseBody::relayed)));
                    }
                    Err(error) => shared.reject(&error),
                },
                KindProj::Publish { publishing } => ready!(publishing.poll_answer(cx)),
            };
            if *this.marked {
                answered.headers_mut().insert(MARK, MARKED);
            }
            return Poll::Ready(Ok(answered.map(ResponseBody::own)));
        }
    }
}

fn answer<M: MakeHandler>(
    result: Result<Response<Bytes>, RequestError>,
    shared: &Shared<M>,
) -> Response<Bytes> {
    result.unwrap_or_else(|error| shared.reject(&error))
}

impl<F, B, M> std::fmt::Debug for ResponseFuture<F, B, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
