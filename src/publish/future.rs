use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Method, Response, header, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::{
    answer::Answer,
    document::{Document, Target},
};
use crate::{body::ResponseBody, config::Secrets, node::Handle, notice::Notice};

/// How long a body may take to come.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that are set aside before any of a body has come.
const FIRST: usize = 1024;

pin_project! {
    /// Response future of [`Publisher`](crate::Publisher).
    #[must_use = "futures do nothing unless polled"]
    pub struct Publishing<B> {
        handle: Handle,
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Refused { answer: Option<Answer> },
        Reading { #[pin] body: B, read: BytesMut, max: usize, deadline: Pin<Box<Sleep>> },
        Sending { answer: Pin<Box<dyn Future<Output = Answer> + Send>> },
    }
}

impl<B: Body> Publishing<B> {
    /// Decides by the head; of the body nothing is read for who may not publish.
    pub(crate) fn new(handle: Handle, secrets: &Secrets, parts: &Parts, body: B) -> Self {
        let max = handle.node().max_payload();
        let kind = match refuse(secrets, parts, &body, max) {
            Some(answer) => Kind::Refused {
                answer: Some(answer),
            },
            None => Kind::Reading {
                body,
                read: BytesMut::with_capacity(FIRST),
                max,
                deadline: Box::pin(sleep(READ_TIMEOUT)),
            },
        };
        Self { handle, kind }
    }

    pub(crate) fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Bytes>> {
        let mut this = self.project();
        let answer = loop {
            match this.kind.as_mut().project() {
                KindProj::Refused { answer } => match answer.take() {
                    Some(answer) => break answer,
                    None => return Poll::Pending,
                },
                KindProj::Reading {
                    body,
                    read,
                    max,
                    deadline,
                } => {
                    let answer = match poll_read(body, read, *max, cx) {
                        Poll::Ready(Ok(())) => match Document::parse(read) {
                            Ok(document) => {
                                let answer = Box::pin(publish(this.handle.clone(), document));
                                this.kind.set(Kind::Sending { answer });
                                continue;
                            }
                            Err(unreadable) => unreadable.into(),
                        },
                        Poll::Ready(Err(answer)) => answer,
                        Poll::Pending => {
                            ready!(deadline.as_mut().poll(cx));
                            Answer::TooSlow
                        }
                    };
                    break answer;
                }
                KindProj::Sending { answer } => break ready!(answer.as_mut().poll(cx)),
            }
        };
        this.kind.set(Kind::Refused { answer: None });
        tell(this.handle, &answer);
        Poll::Ready(answer.into_response())
    }
}

impl<B: Body> Future for Publishing<B> {
    type Output = Result<Response<ResponseBody<String>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.poll_answer(cx));
        Poll::Ready(Ok(response.map(ResponseBody::own)))
    }
}

fn refuse(secrets: &Secrets, parts: &Parts, body: &impl Body, max: usize) -> Option<Answer> {
    if parts.method != Method::PUT {
        return Some(Answer::Method);
    }
    let given = bearer(&parts.headers);
    if !given.is_some_and(|given| secrets.knows(given)) {
        let given = given.is_some();
        return Some(Answer::Unauthorized { given });
    }
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    (announced > max).then_some(Answer::TooLarge)
}

/// The one secret that is shown. [RFC 6750, section 2.1]
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (all.next(), all.next()) else {
        return None;
    };
    let (scheme, secret) = only.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| secret.trim_ascii())
}

fn poll_read<B: Body>(
    mut body: Pin<&mut B>,
    read: &mut BytesMut,
    max: usize,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Answer>> {
    loop {
        match ready!(body.as_mut().poll_frame(cx)) {
            None => return Poll::Ready(Ok(())),
            Some(Ok(frame)) => {
                let Ok(mut data) = frame.into_data() else {
                    continue;
                };
                if data.remaining() > max - read.len() {
                    return Poll::Ready(Err(Answer::TooLarge));
                }
                while data.has_remaining() {
                    let chunk = data.chunk();
                    read.extend_from_slice(chunk);
                    let len = chunk.len();
                    data.advance(len);
                }
            }
            Some(Err(_)) => return Poll::Ready(Err(Answer::Broken("it broke off".into()))),
        }
    }
}

async fn publish(handle: Handle, document: Document) -> Answer {
    let Document { to, event, args } = document;
    let Target::Session {
        account,
        session,
        wait,
    } = &to
    else {
        let gathered = handle.broadcast(to.as_to(), &event, args).await;
        return gathered.map_or_else(Answer::from, Answer::Broadcast);
    };
    let outcome = handle.forward(account, session, &event, args, *wait).await;
    outcome.map_or_else(Answer::from, Answer::Delivered)
}

/// The log says who knocks and cannot publish, and why.
fn tell(handle: &Handle, answer: &Answer) {
    if answer.status().is_client_error() {
        handle.node().notices.post(Notice::Reject {
            status: answer.status(),
            reason: answer.description().into_owned(),
        });
    }
}

impl<B> fmt::Debug for Publishing<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publishing").finish_non_exhaustive()
    }
}
