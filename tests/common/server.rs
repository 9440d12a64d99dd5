//! A server of one test.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use primacron::{
    Args, CloseReason, Handle, Message, Notice, Notices, PrimacronLayer, Raw, Reply, User,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::within;

/// What the page of the application says.
pub(crate) const PAGE: &str = "the application";

/// A layer in front of an application, on a port of its own.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    notices: Notices,
    heard: mpsc::UnboundedReceiver<Heard>,
    waiting: watch::Receiver<usize>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// A message that reached the handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Text(String),
    Binary(Vec<u8>),
}

impl Heard {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Server {
    /// Echoes every message as it came; the heartbeat is too slow to be met by chance.
    pub(crate) async fn calm() -> Self {
        Self::echo(|layer| layer).await
    }

    /// The settings of the protocol's own test suite: a ping after 300 ms, its pong within 200 ms.
    pub(crate) async fn quick() -> Self {
        Self::beating(300, 200).await
    }

    /// A heartbeat in milliseconds.
    pub(crate) async fn beating(interval: u64, timeout: u64) -> Self {
        Self::echo(|layer| {
            layer
                .ping_interval(Duration::from_millis(interval))
                .ping_timeout(Duration::from_millis(timeout))
        })
        .await
    }

    /// Echoes, with settings of the test.
    pub(crate) async fn echo(set: impl FnOnce(PrimacronLayer) -> PrimacronLayer) -> Self {
        Self::echo_in(set, |app| app).await
    }

    /// Echoes, and the test wraps the application, the layer included.
    pub(crate) async fn echo_in(
        set: impl FnOnce(PrimacronLayer) -> PrimacronLayer,
        wrap: impl FnOnce(Router) -> Router,
    ) -> Self {
        let (app, handle, heard) = echo_app(set);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        Self::serve(listener, wrap(app), handle, heard)
    }

    /// Echoes at an address that was used before.
    pub(crate) async fn echo_at(address: SocketAddr) -> Self {
        let (app, handle, heard) = echo_app(|layer| layer);
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket
            .set_reuseaddr(true)
            .expect("a setting of every system");
        socket.bind(address).expect("the port is free again");
        let listener = socket.listen(64).expect("the port is ours");
        Self::serve(listener, app, handle, heard)
    }

    fn serve(
        listener: TcpListener,
        app: Router,
        handle: Handle,
        heard: mpsc::UnboundedReceiver<Heard>,
    ) -> Self {
        let (waiting, now_waiting) = watch::channel(0);
        let app = app.layer(from_fn(move |request, next| {
            count_waiting(waiting.clone(), request, next)
        }));
        let (stop, stopped) = oneshot::channel::<()>();
        let address = listener.local_addr().expect("a bound listener");
        let task = tokio::spawn(async move {
            let shutdown = async move { drop(stopped.await) };
            let served = axum::serve(listener, app)
                .with_graceful_shutdown(shutdown)
                .await;
            served.expect("axum serves until it is stopped");
        });
        Self {
            address,
            notices: handle.notices(),
            handle,
            heard,
            waiting: now_waiting,
            stop: Some(stop),
            task,
        }
    }

    /// Ready when so many requests wait for their answer inside the layer.
    pub(crate) async fn until_waiting(&self, requests: usize) {
        let mut waiting = self.waiting.clone();
        let counted = within(waiting.wait_for(|now| *now == requests)).await;
        counted.expect("the server counts");
    }

    /// The next message that reached the handler.
    pub(crate) async fn heard(&mut self) -> Heard {
        within(self.heard.recv()).await.expect("the handler tells")
    }

    /// The messages that reached the handler and were not asked for.
    pub(crate) fn heard_so_far(&mut self) -> Vec<Heard> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }

    /// The next notice of a kind.
    pub(crate) async fn notice(&mut self, name: &str) -> Notice {
        within(async {
            loop {
                let notice = self.notices.next().await.expect("the node lives");
                if notice.name() == name {
                    return notice;
                }
            }
        })
        .await
    }

    /// Why the next connection to end ended.
    pub(crate) async fn disconnected(&mut self) -> CloseReason {
        match self.notice("disconnect").await {
            Notice::Disconnect { reason, .. } => reason,
            other => panic!("a name of another notice: {other:?}"),
        }
    }

    /// Stops to listen and waits for the requests under way.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        within(&mut self.task)
            .await
            .expect("the server did not panic");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.stop.is_some() {
            self.task.abort();
        }
    }
}

fn echo_app(
    set: impl FnOnce(PrimacronLayer) -> PrimacronLayer,
) -> (Router, Handle, mpsc::UnboundedReceiver<Heard>) {
    let (tell, heard) = mpsc::unbounded_channel();
    let base = PrimacronLayer::in_memory()
        .codec(Raw)
        .handshake_data(false)
        .validate("message", |_: &Args, _: &User| true);
    let layer = set(base).service(tower::service_fn(move |message: Message| {
        let told = tell.send(Heard::of(&message));
        async move {
            drop(told);
            Ok::<_, Infallible>(Reply::event("message", message.args().clone()))
        }
    }));
    let handle = layer.handle();
    let app = Router::new()
        .route("/", get(|| async { PAGE }))
        .route("/streams", get(|| async { PAGE }))
        .layer(layer);
    (app, handle, heard)
}

impl Heard {
    fn of(message: &Message) -> Self {
        let raw = message.raw_input();
        match raw.as_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Binary(raw.as_bytes().to_vec()),
        }
    }
}

async fn count_waiting(waiting: watch::Sender<usize>, request: Request, next: Next) -> Response {
    let mut response = pin!(next.run(request));
    let first = poll_fn(|cx| Poll::Ready(response.as_mut().poll(cx))).await;
    if let Poll::Ready(response) = first {
        return response;
    }
    let _counted = Counted::new(waiting);
    response.await
}

/// A request that waits; dropped with it, whatever its end.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(waiting: watch::Sender<usize>) -> Self {
        waiting.send_modify(|now| *now += 1);
        Self(waiting)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|now| *now -= 1);
    }
}
