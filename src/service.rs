use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    body::ResponseBody,
    client,
    connection::MakeHandler,
    future::ResponseFuture,
    node::Handle,
    shared::{Next, Shared},
};

/// The middleware that [`PrimacronLayer`](crate::PrimacronLayer) makes: it serves the endpoint
/// and hands every other request to the inner service, untouched.
pub struct Primacron<S, M> {
    inner: S,
    shared: Arc<Shared<M>>,
}

impl<S, M> Primacron<S, M> {
    pub(crate) const fn new(inner: S, shared: Arc<Shared<M>>) -> Self {
        Self { inner, shared }
    }

    /// The way to everybody who is connected.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared.owner.clone())
    }

    /// The inner service.
    #[must_use]
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, M, ReqBody, ResBody> Service<Request<ReqBody>> for Primacron<S, M>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    M: MakeHandler,
    ReqBody: Body,
    ResBody: Body,
    ResBody::Data: From<Bytes>,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ReqBody, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let settings = &self.shared.endpoint.settings;
        let path = request.uri().path();
        if settings.is_path(path) {
            let (parts, body) = request.into_parts();
            ResponseFuture::own(self.shared.begin(parts, body), &self.shared)
        } else if settings.serve_client && client::is_path(settings.path(), path) {
            let answer = client::respond(&request.into_parts().0);
            ResponseFuture::own(Next::answer(answer), &self.shared)
        } else if settings.is_relay_path(path) {
            let (parts, body) = request.into_parts();
            match self.shared.check_relay(&parts) {
                Ok(whose) => {
                    let next = self.shared.begin_relayed(parts, body, whose);
                    ResponseFuture::relayed(next, &self.shared)
                }
                Err(error) => {
                    let answer = self.shared.reject(&error);
                    ResponseFuture::own(Next::answer(answer), &self.shared)
                }
            }
        } else if let Some(secrets) = settings.publishers_at(path) {
            let (parts, body) = request.into_parts();
            ResponseFuture::own(self.shared.publish(secrets, &parts, body), &self.shared)
        } else {
            ResponseFuture::inner(self.inner.call(request))
        }
    }
}

impl<S: Clone, M> Clone for Primacron<S, M> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S: std::fmt::Debug, M> std::fmt::Debug for Primacron<S, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Primacron")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .finish()
    }
}
