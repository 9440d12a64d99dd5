use std::{error::Error, future::poll_fn, pin::pin, sync::Arc};

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response, StatusCode};
use parking_lot::Mutex;
use tower_service::Service;

use super::Body;

type BoxError = Box<dyn Error + Send + Sync>;

/// The service under test, whatever its type; cheap to clone.
#[derive(Clone)]
pub(super) struct Caller {
    call: Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Bytes>> + Send + Sync>,
}

impl Caller {
    pub(super) fn new<S, R>(service: &S) -> Self
    where
        S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        R: http_body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let service = Mutex::new(service.clone());
        Self {
            call: Arc::new(move |request| {
                let service = service.lock().clone();
                let answer = one_call(service, request);
                answer.map(|answer| answer.unwrap_or_else(failed)).boxed()
            }),
        }
    }

    /// The answer, with all of its body. Dropped before it is ready, the client went away.
    pub(super) fn call(&self, request: Request<Body>) -> BoxFuture<'static, Response<Bytes>> {
        (self.call)(request)
    }
}

async fn one_call<S, R>(mut service: S, request: Request<Body>) -> Result<Response<Bytes>, BoxError>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: http_body::Body<Error: Into<BoxError>>,
{
    let ready = poll_fn(|cx| service.poll_ready(cx)).await;
    ready.map_err(Into::into)?;
    let answer = service.call(request);
    drop(service);
    let (parts, body) = answer.await.map_err(Into::into)?.into_parts();
    Ok(Response::from_parts(parts, collect(body).await?))
}

/// All of a body.
pub(super) async fn collect<R>(body: R) -> Result<Bytes, BoxError>
where
    R: http_body::Body<Error: Into<BoxError>>,
{
    let mut body = pin!(body);
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(mut data) = frame.map_err(Into::into)?.into_data() {
            all.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
    }
    Ok(all.into())
}

/// What a server answers whose service fails, with the failure for the reader of a test.
pub(super) fn failed(error: BoxError) -> Response<Bytes> {
    let mut response = Response::new(format!("the service failed: {error}").into());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
