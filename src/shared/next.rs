use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{Listing, Pending, Shared};
use crate::{
    account::Later,
    body::ResponseBody,
    connection::{HeldGet, MakeHandler},
    error::RequestError,
    publish::Publishing,
    relay::Relaying,
    respond,
    transport::PostBody,
};

pin_project! {
    /// What happens to a request next.
    #[project = NextProj]
    pub(crate) enum Next<B> {
        // It is answered.
        Answer { response: Option<Response<Bytes>> },
        // It waits for the account function.
        Ask { answer: Later, pending: Option<Box<Pending<B>>> },
        // It waits until the connection can be found; whether it was.
        Wait { listing: Listing, response: Option<Response<Bytes>> },
        // It is held until there is something to send.
        Get { get: HeldGet },
        // Its body is read and handled.
        Post { #[pin] post: PostBody<B> },
        // It publishes.
        Publish { #[pin] publishing: Publishing<B> },
        // Another node handles it.
        Relay { #[pin] relaying: Relaying<B> },
    }
}

impl<B> Next<B> {
    pub(crate) const fn answer(response: Response<Bytes>) -> Self {
        Self::Answer {
            response: Some(response),
        }
    }

    pub(super) fn ask(answer: Later, pending: Pending<B>) -> Self {
        Self::Ask {
            answer,
            pending: Some(Box::new(pending)),
        }
    }

    /// The answer, once the connection can be found if that is to be waited for.
    pub(super) fn answer_after(listing: Option<Listing>, response: Response<Bytes>) -> Self {
        match listing {
            None => Self::answer(response),
            Some(listing) => Self::Wait {
                listing,
                response: Some(response),
            },
        }
    }
}

impl<B: Body> Next<B> {
    /// Goes on until there is an answer.
    pub(crate) fn poll<M: MakeHandler, Inner>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        shared: &Shared<M>,
    ) -> Poll<Response<ResponseBody<Inner>>> {
        loop {
            let answer = match self.as_mut().project() {
                NextProj::Ask { answer, pending } => {
                    let account = ready!(answer.as_mut().poll(cx));
                    let Some(pending) = pending.take() else {
                        return Poll::Pending;
                    };
                    self.set(shared.go_on(*pending, account));
                    continue;
                }
                NextProj::Answer { response } => match response.take() {
                    Some(response) => Ok(response),
                    None => return Poll::Pending,
                },
                NextProj::Wait { listing, response } => {
                    let listed = ready!(listing.as_mut().poll(cx));
                    let response = response.take().filter(|_| listed);
                    response.ok_or(RequestError::Unlisted)
                }
                NextProj::Get { get } => ready!(get.poll(cx)).map(respond::packets),
                NextProj::Post { post } => ready!(post.poll(cx)).map(|()| respond::ok()),
                NextProj::Publish { publishing } => Ok(ready!(publishing.poll_answer(cx))),
                NextProj::Relay { relaying } => match ready!(relaying.poll(cx)) {
                    Ok(response) => return Poll::Ready(response.map(ResponseBody::relayed)),
                    Err(error) => Err(error),
                },
            };
            let answer = answer.unwrap_or_else(|error| shared.reject(&error));
            return Poll::Ready(answer.map(ResponseBody::own));
        }
    }
}
