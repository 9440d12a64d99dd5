use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Response};
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{
    body::ResponseBody,
    connection::MakeHandler,
    relay::MARK,
    shared::{Next, Shared},
};

const MARKED: HeaderValue = HeaderValue::from_static("1");

pin_project! {
    /// Response future of [`Primacron`](crate::Primacron).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, B, M> {
        #[pin]
        kind: Kind<F, B, M>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<F, B, M> {
        Inner { #[pin] future: F },
        Own { #[pin] next: Next<B>, shared: Arc<Shared<M>>, marked: bool },
    }
}

impl<F, B, M> ResponseFuture<F, B, M> {
    pub(crate) const fn inner(future: F) -> Self {
        Self {
            kind: Kind::Inner { future },
        }
    }

    pub(crate) fn own(next: Next<B>, shared: &Arc<Shared<M>>) -> Self {
        Self {
            kind: Kind::Own {
                next,
                shared: Arc::clone(shared),
                marked: false,
            },
        }
    }

    /// The answer to a request that another node has relayed: that is to see that the layer itself
    /// answers.
    pub(crate) fn relayed(next: Next<B>, shared: &Arc<Shared<M>>) -> Self {
        Self {
            kind: Kind::Own {
                next,
                shared: Arc::clone(shared),
                marked: true,
            },
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
        match self.project().kind.project() {
            KindProj::Inner { future } => {
                let response = ready!(future.poll(cx))?;
                Poll::Ready(Ok(response.map(ResponseBody::inner)))
            }
            KindProj::Own {
                next,
                shared,
                marked,
            } => {
                let mut response = ready!(next.poll(cx, shared));
                if *marked {
                    response.headers_mut().insert(MARK, MARKED);
                }
                Poll::Ready(Ok(response))
            }
        }
    }
}

impl<F, B, M> std::fmt::Debug for ResponseFuture<F, B, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
