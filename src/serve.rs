//! A whole server for those who have no framework.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, pending, ready},
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{Either, select};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tower_layer::Layer;
use tower_service::Service;

use crate::{connection::MakeHandler, layer::PrimacronLayer, service::Primacron};

/// How long the clients may take to leave, unless the server says otherwise.
const DRAIN_WINDOW: Duration = Duration::from_secs(5);

/// The rest when the system has no file descriptor left for a connection.
const REST: Duration = Duration::from_secs(1);

/// Serves a layer on HTTP/1.1, with nothing behind it.
///
/// What is not for the endpoint is answered with 400 and a JSON document, or sent elsewhere by
/// [`redirect`](Serve::redirect). The server runs when it is awaited.
///
/// ```no_run
/// use primacron::{Args, Message, PrimacronLayer, User};
/// use tokio::net::TcpListener;
///
/// # async fn example() -> std::io::Result<()> {
/// let echo = async |message: Message| Ok::<_, std::convert::Infallible>(message.args().clone());
/// let layer = PrimacronLayer::in_memory()
///     .validate("echo", |args: &Args, _: &User| args.len() == 1)
///     .service(tower::service_fn(echo));
///
/// let listener = TcpListener::bind("127.0.0.1:3000").await?;
/// primacron::serve(listener, layer).await
/// # }
/// ```
pub fn serve<M: MakeHandler>(listener: TcpListener, layer: PrimacronLayer<M>) -> Serve<M> {
    Serve {
        listener,
        layer,
        stray: Stray::Refused,
        signal: None,
        window: DRAIN_WINDOW,
    }
}

/// A server that runs when it is awaited; made by [`serve`].
#[must_use = "the server runs when it is awaited"]
pub struct Serve<M> {
    listener: TcpListener,
    layer: PrimacronLayer<M>,
    stray: Stray,
    signal: Option<Signal>,
    window: Duration,
}

type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<M: MakeHandler> Serve<M> {
    /// Sends what is not for the endpoint to `url`, for good (301). By default it is answered with
    /// 400.
    ///
    /// # Panics
    ///
    /// When the URL cannot stand in a header.
    #[track_caller]
    pub fn redirect(mut self, url: &str) -> Self {
        let url = HeaderValue::try_from(url);
        self.stray = Stray::Redirected(url.expect("redirect must be a URL"));
        self
    }

    /// Ends the server when `signal` is ready: connections are drained as
    /// [`Handle::drain`](crate::Handle::drain) does, then the listener is closed, and the server
    /// is done when the last request was answered or when the window is over once more. By default
    /// it runs for ever.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.signal = Some(Box::pin(signal));
        self
    }

    /// How long the clients may take to leave; 5 s by default.
    pub fn drain_window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    async fn run(self) -> io::Result<()> {
        let handle = self.layer.handle();
        let service = self.layer.layer(self.stray);
        let (closing, closed) = watch::channel(());
        let window = self.window;
        let drained = async move {
            match self.signal {
                Some(signal) => signal.await,
                None => pending().await,
            }
            handle.drain(window).await;
        };
        let mut drained = pin!(drained);
        while let Either::Right((stream, _)) =
            select(&mut drained, pin!(accept(&self.listener))).await
        {
            tokio::spawn(converse(stream, service.clone(), closed.clone()));
        }
        drop((self.listener, closed));
        closing.send_replace(());
        drop(timeout(window, closing.closed()).await);
        Ok(())
    }
}

impl<M: MakeHandler> IntoFuture for Serve<M> {
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<M> fmt::Debug for Serve<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("listener", &self.listener)
            .field("stray", &self.stray)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

/// The next connection. What is wrong with one does not end the server; when it is the server
/// that has no room, it rests.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if is_of_the_peer(&error) => {}
            Err(_) => sleep(REST).await,
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// Answers the requests of one connection until it ends, or, once the server is closing, until
/// the request under way is answered.
async fn converse<M: MakeHandler>(
    stream: TcpStream,
    service: Primacron<Stray, M>,
    mut closing: watch::Receiver<()>,
) {
    // Without it, small messages wait for the acknowledgement of the one before.
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request: Request<Incoming>| service.clone().call(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    // How a connection broke off is nobody's business.
    if let Either::Right(_) = select(connection.as_mut(), pin!(closing.changed())).await {
        connection.as_mut().graceful_shutdown();
        drop(connection.await);
    }
}

/// The inner service: what happens to requests that are not for the endpoint.
#[derive(Clone, Debug)]
enum Stray {
    Refused,
    Redirected(HeaderValue),
}

const REFUSED: &str = r#"{"status":400,"type":"bad request","description":"nothing is served here; clients connect to the endpoint"}"#;

impl Stray {
    fn answer(&self) -> Response<String> {
        let (status, name, value, body) = match self {
            Self::Refused => {
                let json = HeaderValue::from_static("application/json");
                (StatusCode::BAD_REQUEST, header::CONTENT_TYPE, json, REFUSED)
            }
            Self::Redirected(url) => (
                StatusCode::MOVED_PERMANENTLY,
                header::LOCATION,
                url.clone(),
                "",
            ),
        };
        let mut response = Response::new(body.to_owned());
        *response.status_mut() = status;
        response.headers_mut().insert(name, value);
        response
    }
}

impl Service<Request<Incoming>> for Stray {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Incoming>) -> Self::Future {
        ready(Ok(self.answer()))
    }
}
