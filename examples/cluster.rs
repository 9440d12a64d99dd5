//! Three servers and their clients side by side: `cargo run --example cluster`, then open
//! <http://127.0.0.1:3000/>.
//!
//! Each server is a thread with a runtime and a listener of its own. A killed one loses its runtime
//! in the middle of whatever it does, as a process does: its clients hear no goodbye, and the
//! others find out by themselves.
//!
//! The servers share the memory of this process, or Redis:
//! `cargo run --example cluster -- --redis redis://127.0.0.1/`. Another address to listen on is the
//! only other argument.

use std::{
    error::Error,
    io,
    net::{SocketAddr, TcpListener as Bound},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use axum::{
    Router,
    http::{header, request::Parts},
    response::IntoResponse,
    routing::get,
};
use clap::Parser;
use futures_util::future::join_all;
use primacron::{
    Cluster, ConfigError, Handle, Message, NodeInfo, PrimacronLayer, PublicError, Reply, To, User,
    Wait,
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    runtime, select,
    signal::ctrl_c,
    sync::watch,
    task::spawn_blocking,
    time::{Instant, interval},
};
use tower::service_fn;

const PAGE: &str = include_str!("cluster/index.html");
const STYLE: &str = include_str!("cluster/cluster.css");
const SCRIPT: &str = include_str!("cluster/cluster.js");
const ICON: &str = include_str!("cluster/icon.svg");

/// What the page may load and whom it may talk to: this server, the other three, and no inline
/// script.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

const SERVERS: usize = 3;

/// How long a message may take to reach the other client.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes of a text.
const LONGEST_TEXT: usize = 200;

/// How often the page hears how the servers are, if anything has changed.
const GLANCE: Duration = Duration::from_millis(100);

/// How long the clients may take to leave when a server is shut down.
const DRAIN: Duration = Duration::from_secs(1);

#[derive(Parser)]
struct Options {
    /// Where the page is; the servers listen on ports of their own.
    #[arg(default_value = "127.0.0.1:3000")]
    address: SocketAddr,
    /// Redis for the servers to share, in place of the memory of this process.
    #[cfg(feature = "redis")]
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let listener = TcpListener::bind(options.address).await?;
    let address = listener.local_addr()?;
    println!("The cluster is at http://{address}/");

    let stage = Stage::new(Common::of(&options), address);
    for server in 0..SERVERS {
        stage.start(server)?;
    }
    let director = PrimacronLayer::in_memory()
        .serve_client(true)
        .account(|_: &Parts| "page")
        .validate("state", |_: &primacron::Args, _: &User| true)
        .validate_with("start", is_server)
        .validate_with("kill", is_server)
        .validate_with("drain", is_server);
    let handle = director.handle();
    tokio::spawn(stage.clone().tell(handle.clone()));
    let director = director.service(service_fn({
        let stage = stage.clone();
        move |message| stage.clone().direct(message)
    }));

    let app = Router::new()
        .route("/", get(|| file("text/html; charset=utf-8", PAGE)))
        .route(
            "/cluster.css",
            get(|| file("text/css; charset=utf-8", STYLE)),
        )
        .route(
            "/cluster.js",
            get(|| file("text/javascript; charset=utf-8", SCRIPT)),
        )
        .route("/icon.svg", get(|| file("image/svg+xml", ICON)))
        .layer(director);
    let end = async move {
        signal().await;
        join_all((0..SERVERS).map(|server| stage.end(server, End::Drain))).await;
        handle.drain(DRAIN).await;
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(end)
        .await?;
    Ok(())
}

/// Ready when somebody wants the program to end.
async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            select! {
                _ = terminate.recv() => {}
                _ = ctrl_c() => {}
            }
            return;
        }
    }
    drop(ctrl_c().await);
}

fn file(kind: &'static str, text: &'static str) -> std::future::Ready<impl IntoResponse + use<>> {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    std::future::ready((headers, text))
}

fn is_server(server: &usize, _: &User) -> Result<(), &'static str> {
    (*server < SERVERS).then_some(()).ok_or("no such server")
}

/// What the servers share.
#[derive(Clone)]
enum Common {
    Memory(Cluster),
    /// By its address: connections end with the runtime that made them, so each server has its own.
    #[cfg(feature = "redis")]
    Redis(String),
}

impl Common {
    fn of(options: &Options) -> Self {
        #[cfg(feature = "redis")]
        if let Some(url) = &options.redis {
            return Self::Redis(url.clone());
        }
        let Options { .. } = options;
        Self::Memory(Cluster::new())
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            #[cfg(feature = "redis")]
            Self::Redis(_) => "Redis",
        }
    }

    fn layer(&self) -> Result<PrimacronLayer, ConfigError> {
        match self {
            Self::Memory(cluster) => Ok(cluster.layer()),
            #[cfg(feature = "redis")]
            Self::Redis(url) => PrimacronLayer::try_new(url.as_str()),
        }
    }
}

/// One of the three.
struct Server {
    address: SocketAddr,
    /// Of its last life.
    id: String,
    ended: End,
    running: Option<Running>,
}

struct Running {
    handle: Handle,
    end: watch::Sender<End>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    NotYet,
    Drain,
    Kill,
}

/// The servers, and whoever starts and ends them.
#[derive(Clone)]
struct Stage {
    common: Common,
    servers: Arc<Mutex<Vec<Server>>>,
}

impl Stage {
    fn new(common: Common, page: SocketAddr) -> Self {
        // Its first start finds a free port, which it keeps.
        let server = |_| Server {
            address: SocketAddr::new(page.ip(), 0),
            id: String::new(),
            ended: End::NotYet,
            running: None,
        };
        let servers = (0..SERVERS).map(server).collect();
        Self {
            common,
            servers: Arc::new(Mutex::new(servers)),
        }
    }

    fn start(&self, server: usize) -> Result<(), Box<dyn Error>> {
        let server = &mut self.lock()[server];
        if server.running.is_some() {
            return Ok(());
        }
        let listener = Bound::bind(server.address)?;
        listener.set_nonblocking(true)?;
        server.address = listener.local_addr()?;
        let layer = self.common.layer()?;
        let handle = layer.handle();
        server.id = handle.node_id().to_owned();
        let (end, ending) = watch::channel(End::NotYet);
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = thread::spawn(move || {
            if let Err(error) = runtime.block_on(serve(listener, layer, ending)) {
                eprintln!("a server ended: {error}");
            }
        });
        server.running = Some(Running {
            handle,
            end,
            thread: Some(thread),
        });
        Ok(())
    }

    /// Ends a server, and waits until it has.
    async fn end(&self, server: usize, how: End) {
        if let Some(thread) = self.begin_end(server, how) {
            drop(spawn_blocking(|| thread.join()).await);
            self.lock()[server].running = None;
        }
    }

    fn begin_end(&self, server: usize, how: End) -> Option<JoinHandle<()>> {
        let server = &mut self.lock()[server];
        let running = server.running.as_mut()?;
        running.end.send_replace(how);
        server.ended = how;
        running.thread.take()
    }

    /// Does what the page asks for.
    async fn direct(self, message: Message) -> Result<Reply, PublicError> {
        let server = message.data().copied().unwrap_or(0);
        match message.event() {
            "start" => self
                .start(server)
                .map_err(|error| PublicError::new(error.to_string()))?,
            "kill" => self.end(server, End::Kill).await,
            "drain" => self.end(server, End::Drain).await,
            _ => {}
        }
        Ok(Reply::args((self.state(),)))
    }

    /// Tells the page how the servers are, whenever that changes.
    async fn tell(self, page: Handle) {
        let mut last = Value::Null;
        let mut glance = interval(GLANCE);
        loop {
            glance.tick().await;
            let state = self.state();
            if state != last {
                drop(page.try_send(To::All, "state", (&state,)));
                last = state;
            }
        }
    }

    fn state(&self) -> Value {
        let servers = self.lock();
        let states = servers.iter().map(|server| {
            let state = match &server.running {
                None => "down",
                Some(running) if running.thread.is_none() => "ending",
                Some(_) => "up",
            };
            let nodes = server.running.as_ref().map(|one| one.handle.nodes());
            let nodes = nodes.and_then(Result::ok);
            let sees = |other: &Server| nodes.as_ref().map(|nodes| seen(&other.id, nodes));
            json!({
                "port": server.address.port(),
                "id": server.id,
                "state": state,
                "wasKilled": server.ended == End::Kill,
                "clients": server.running.as_ref().map_or(0, |one| one.handle.count(To::All)),
                "sees": servers.iter().map(sees).collect::<Vec<_>>(),
            })
        });
        json!({ "common": self.common.name(), "servers": states.collect::<Vec<_>>() })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a node thinks of another one.
fn seen(id: &str, nodes: &[NodeInfo]) -> &'static str {
    match nodes.iter().find(|node| *node.id == *id) {
        Some(node) if node.live => "live",
        Some(_) => "suspect",
        None => "gone",
    }
}

/// One server, until it is drained or killed. When this is dropped in the middle, and its runtime
/// after it, nobody is told.
async fn serve(
    listener: Bound,
    layer: PrimacronLayer,
    mut end: watch::Receiver<End>,
) -> io::Result<()> {
    let handle = layer.handle();
    let node = handle.clone();
    let layer = layer
        // The page comes from another port; whoever it is, nothing here depends on a cookie.
        .allowed_origins(["*"])
        .ping_interval(Duration::from_secs(5))
        .ping_timeout(Duration::from_secs(5))
        .session_id(|parts| Some(parameter(parts, "session")?.to_owned()))
        .validate_with("say", |(_, text): &(String, String), _: &User| short(text))
        .validate_with("all", |text: &String, _: &User| short(text))
        .service(service_fn(move |message| answer(node.clone(), message)));
    let mut killed = end.clone();
    let asked = async move { drop(end.wait_for(|end| *end == End::Drain).await) };
    let server = axum::serve(TcpListener::from_std(listener)?, Router::new().layer(layer))
        .with_graceful_shutdown(handle.drain_on(asked, DRAIN));
    select! {
        ended = server => ended,
        _ = killed.wait_for(|end| *end == End::Kill) => Ok(()),
    }
}

fn parameter<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    let mut pairs = parts.uri.query()?.split('&');
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn short(text: &str) -> Result<(), &'static str> {
    (text.len() <= LONGEST_TEXT)
        .then_some(())
        .ok_or("a text has at most 200 bytes")
}

/// Sends what a client says to another one, or to all, wherever they are.
async fn answer(node: Handle, message: Message) -> Result<Reply, PublicError> {
    let failed = |error: primacron::SendError| PublicError::new(error.to_string());
    let from = message.user();
    let start = Instant::now();
    if let Some((to, text)) = message.data::<(String, String)>() {
        let said = (from.account(), text);
        let wait = Wait::written(PATIENCE);
        let outcome = node.forward(to, from.session(), "said", said, wait).await;
        let outcome = outcome.map_err(failed)?;
        return Ok(Reply::args((outcome.name(), micros(start))));
    }
    let text = message.data::<String>().map_or("", String::as_str);
    let said = (from.account(), text);
    let sent = node
        .broadcast(To::All, "said", said)
        .await
        .map_err(failed)?;
    let reached = sent
        .nodes
        .iter()
        .filter_map(|node| node.result.as_ref().ok());
    let reached: usize = reached.map(|sent| sent.queued).sum();
    Ok(Reply::args((reached, micros(start))))
}

fn micros(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
