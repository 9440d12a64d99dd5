use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::Publishing;
use crate::{
    body::ResponseBody,
    config::{ConfigError, Secret, Secrets},
    node::Handle,
};

/// Sends events to those who are connected, for whoever shows a secret: a tower service to mount
/// where you like. [`PrimacronLayer::publish_secret`](crate::PrimacronLayer::publish_secret) mounts
/// one at `/stream/broadcast`.
///
/// It takes `PUT` with `Authorization: Bearer SECRET` and a JSON object:
///
/// | key | value |
/// | --- | --- |
/// | `to` | `{"session": [ACCOUNT, SESSION]}`, `{"account": ACCOUNT}` or `"all"` |
/// | `event` | its name; those that begin with `error::` are reserved |
/// | `args` | an array; none if it is missing |
/// | `wait` | for one session, how far it must get: `"enqueued"`, the default, or `"written"`; at most 5 s |
///
/// Nothing else may stand in it, and nothing twice. The secret is looked at before the body is
/// read; a body may be as large as a client's message
/// ([`max_payload`](crate::PrimacronLayer::max_payload)) and may take 10 s to come.
///
/// Validators are for what clients say: what is published does not pass them. Whoever has a secret
/// speaks as the server does.
///
/// # Answers
///
/// A JSON object with `status`, `type` and `description`:
///
/// | status | type | |
/// | --- | --- | --- |
/// | 200 | `sending` | for one session with its `outcome`, `enqueued` or `written`; for many with how many connections have it `queued` and `refused` it, in all and by `nodes`, and whether there surely are no other nodes (`complete`). That nobody is there is no error |
/// | 400 | `broken`, `invalid` | not JSON; not the object above, or an event that the codec or the session's transport cannot carry |
/// | 401 | `unauthorized` | no secret, or a wrong one; with `WWW-Authenticate` |
/// | 404 | `unknown session` | the session is connected nowhere |
/// | 405 | `method not allowed` | anything but `PUT`; with `Allow` |
/// | 408 | `timeout` | the body did not come in time |
/// | 413 | `too large` | the body is too large |
/// | 503 | `not delivered` | one session: surely not delivered, `outcome` and `reason` say why (`uncertain`, `node_gone`, `refused`); it may be tried again, with `Retry-After` |
/// | 504 | `unknown` | one session: no answer in time, perhaps delivered; tried again, it may be delivered twice |
///
/// ```
/// use http::{Request, StatusCode};
/// use primacron::PrimacronLayer;
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let publisher = PrimacronLayer::in_memory().handle().publisher("2f0c8a1d5e9b47c3");
///
/// let request = Request::put("/")
///     .header("authorization", "Bearer 2f0c8a1d5e9b47c3")
///     .body(r#"{"to": {"account": "ann"}, "event": "news", "args": ["hello"]}"#.to_owned());
/// let response = publisher.oneshot(request.unwrap()).await.unwrap();
/// assert_eq!(response.status(), StatusCode::OK);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Publisher {
    handle: Handle,
    secrets: Arc<Secrets>,
}

/// # From outside
impl Handle {
    /// A service that publishes for whoever shows this secret.
    ///
    /// # Panics
    ///
    /// When the secret makes no sense: see [`Secret`]. [`try_publisher`](Self::try_publisher) is for
    /// those that come from outside.
    #[must_use]
    #[track_caller]
    pub fn publisher(&self, secret: impl Into<Secret>) -> Publisher {
        match self.try_publisher([secret]) {
            Ok(publisher) => publisher,
            Err(error) => error.panic(),
        }
    }

    /// A service that publishes for whoever shows one of these secrets; several, so that one can be
    /// changed for another without a moment without any.
    ///
    /// # Errors
    ///
    /// When a secret makes no sense.
    pub fn try_publisher(
        &self,
        secrets: impl IntoIterator<Item = impl Into<Secret>>,
    ) -> Result<Publisher, ConfigError> {
        let mut all = Secrets::new();
        for secret in secrets {
            all.add(&secret.into())?;
        }
        Ok(Publisher {
            handle: self.clone(),
            secrets: Arc::new(all),
        })
    }
}

impl<B: Body> Service<Request<B>> for Publisher {
    type Response = Response<ResponseBody<String>>;
    type Error = Infallible;
    type Future = Publishing<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        Publishing::new(self.handle.clone(), &self.secrets, &parts, body)
    }
}
