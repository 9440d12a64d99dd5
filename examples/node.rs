//! A complete server for measurements and experiments.
//!
//! ```text
//! cargo run --release --example node -- --port 3000
//! ```
//!
//! It prints `listening on http://127.0.0.1:PORT node=ID` when it is ready, answers the events
//! `echo`, `broadcast`, `account`, `forward`, `forward_ack`, `find`, `sessions`, `follow`, `unfollow`,
//! `close` and `whoami`, tells about itself at `/stats`, and drains on SIGTERM.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::{Ready, ready},
    io,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{Json, Router, routing::get, serve::ListenerExt};
use clap::Parser;
use futures_util::future::{BoxFuture, Either};
use primacron::{
    Args, Config, ConfigError, Find, FollowError, Handle, Message, Notice, Outcome, PrimacronLayer,
    PublicError, Raw, Reply, To, User, Wait,
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
};
use tower::Service;

/// Bytes of the longest text that is echoed.
const LONGEST_TEXT: usize = 1_000_000;

/// How long `forward_ack` waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the clients may take to leave.
const DRAIN: Duration = Duration::from_secs(2);

/// A Primacron server for measurements and experiments.
#[derive(Debug, Parser)]
struct Options {
    /// Port on 127.0.0.1; 0 takes any.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Milliseconds from a pong to the next ping.
    #[arg(long, default_value_t = 25_000)]
    ping_interval_ms: u64,
    /// Milliseconds from a ping to the last moment for its pong.
    #[arg(long, default_value_t = 20_000)]
    ping_timeout_ms: u64,
    /// Bytes of the largest POST body and websocket message.
    #[arg(long, default_value_t = 1_000_000)]
    max_payload: usize,
    /// Redis, to share presence with other nodes; several URLs, comma separated, for a Cluster.
    #[arg(long)]
    redis: Option<String>,
    /// What Sentinel, which is where `--redis` says, calls the Redis.
    #[arg(long, requires = "redis")]
    sentinel: Option<String>,
    /// What the names of all keys in Redis begin with.
    #[arg(long, default_value = "primacron")]
    namespace: String,
    /// Keep no index of the sessions in Redis: nobody tells of those of a node that dies.
    #[arg(long)]
    no_leave_feed: bool,
    /// Who shows this secret publishes events with PUT /stream/broadcast.
    #[arg(long)]
    publish_secret: Option<String>,
    /// Where other nodes reach this one, like http://127.0.0.1:3000, to relay requests for its
    /// clients; port 0 stands for the one that is listened on.
    #[arg(long)]
    advertise: Option<String>,
    /// Echo every text and binary message as it came, without envelopes.
    #[arg(long)]
    raw: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = Options::parse();
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    let address = listener.local_addr()?;
    if let Some(host) = options
        .advertise
        .as_deref()
        .and_then(|uri| uri.strip_suffix(":0"))
    {
        options.advertise = Some(format!("{host}:{}", address.port()));
    }
    let counters = Counters::default();
    let layer = layer(&options, &counters)?;
    let handle = layer.handle();
    let node = Node {
        handle: handle.clone(),
    };
    let stats = {
        let handle = handle.clone();
        move || ready(Json(stats(&handle, &counters)))
    };
    let app = Router::new().route("/stats", get(stats));
    let app = if options.raw {
        app.layer(layer.service(tower::service_fn(echo_raw)))
    } else {
        app.layer(layer.service(node))
    };
    println!("listening on http://{address} node={}", handle.node_id());
    let shutdown = handle.drain_on(ended()?, DRAIN);
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app)
        .with_graceful_shutdown(shutdown)
        .await?;
    Ok(())
}

/// Ready on SIGTERM, or when somebody presses ctrl-c.
fn ended() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = ctrl_c() => {}
        }
    })
}

fn layer(options: &Options, counters: &Counters) -> Result<PrimacronLayer, ConfigError> {
    let counters = counters.clone();
    let layer = match options.redis.as_deref() {
        Some(urls) => {
            let layer = match &options.sentinel {
                Some(master) => watched(urls, master)?,
                None => shared(urls)?,
            };
            let layer = layer.namespace(&options.namespace);
            layer.leave_feed(!options.no_leave_feed)
        }
        None => PrimacronLayer::in_memory(),
    };
    let layer = layer
        .ping_interval(Duration::from_millis(options.ping_interval_ms))
        .ping_timeout(Duration::from_millis(options.ping_timeout_ms))
        .max_payload(options.max_payload)
        .serve_client(true)
        .configure(&outside(options))?
        .on_notice(move |notice| counters.count(notice));
    if options.raw {
        return Ok(layer
            .codec(Raw)
            .handshake_data(false)
            .validate("message", |_: &Args, _: &User| true));
    }
    let layer = layer
        .validate("echo", |args: &Args, _: &User| {
            match args.all::<(&str,)>() {
                Ok((text,)) => shorter(text),
                // A text with escapes cannot be borrowed.
                Err(_) => texts::<1>(args),
            }
        })
        .validate("broadcast", |args: &Args, _: &User| texts::<1>(args))
        .validate("account", |args: &Args, _: &User| texts::<2>(args))
        .validate("forward", |args: &Args, _: &User| texts::<3>(args))
        .validate("forward_ack", |args: &Args, _: &User| texts::<3>(args))
        .validate("find", |args: &Args, _: &User| texts::<2>(args))
        .validate("sessions", |args: &Args, _: &User| texts::<1>(args))
        .validate("follow", |args: &Args, _: &User| texts::<2>(args))
        .validate("unfollow", |args: &Args, _: &User| texts::<2>(args))
        .validate("close", |args: &Args, _: &User| texts::<2>(args))
        .validate("whoami", |args: &Args, _: &User| args.is_empty());
    Ok(layer)
}

/// What a user may get wrong is refused, and not a panic.
fn outside(options: &Options) -> Config {
    let mut config = Config::default();
    let secret = options.publish_secret.as_deref();
    config.publish_secrets = secret.map(|secret| vec![secret.into()]);
    config.advertise.clone_from(&options.advertise);
    config
}

#[cfg(feature = "redis-cluster")]
fn shared(urls: &str) -> Result<PrimacronLayer, ConfigError> {
    let all: Vec<String> = urls.split(',').map(str::to_owned).collect();
    match all.len() {
        1 => PrimacronLayer::try_new(urls),
        _ => PrimacronLayer::try_new(all),
    }
}

#[cfg(not(feature = "redis-cluster"))]
fn shared(urls: &str) -> Result<PrimacronLayer, ConfigError> {
    PrimacronLayer::try_new(urls)
}

/// Redis under Sentinel.
#[cfg(feature = "redis-sentinel")]
fn watched(urls: &str, master: &str) -> Result<PrimacronLayer, ConfigError> {
    let urls: Vec<String> = urls.split(',').map(str::to_owned).collect();
    let kind = deadpool_redis::sentinel::SentinelServerType::Master;
    let config = deadpool_redis::sentinel::Config::from_urls(urls, master.to_owned(), kind);
    PrimacronLayer::try_new(config)
}

#[cfg(not(feature = "redis-sentinel"))]
fn watched(_: &str, _: &str) -> Result<PrimacronLayer, ConfigError> {
    unimplemented!("build with the feature redis-sentinel")
}

/// Lets exactly so many texts pass.
fn texts<const N: usize>(args: &Args) -> Result<(), &'static str> {
    let texts: Vec<String> = args.all().map_err(|_| "arguments must be texts")?;
    if texts.len() != N {
        return Err("wrong number of arguments");
    }
    texts.iter().try_for_each(|text| shorter(text))
}

fn shorter(text: &str) -> Result<(), &'static str> {
    if text.len() > LONGEST_TEXT {
        return Err("text is too long");
    }
    Ok(())
}

type Answer = Result<Reply, PublicError>;

/// Everything that the server can do for its clients.
#[derive(Clone)]
struct Node {
    handle: Handle,
}

impl Node {
    fn answer(&self, message: &Message) -> Result<Reply, PublicError> {
        let text = |index| message.args().get::<String>(index).unwrap_or_default();
        let user = message.user();
        match message.event() {
            "echo" => Ok(Reply::event("echo", message.args().clone())),
            "broadcast" => self.send(To::All, "broadcast", message.args().clone()),
            "account" => self.send(
                To::Account(&text(0)),
                "account",
                Args::from_values(vec![text(1).into()]),
            ),
            "forward" => self.send(
                To::session(&text(0), &text(1)),
                "forward",
                Args::from_values(vec![text(2).into()]),
            ),
            "whoami" => Ok(Reply::event(
                "whoami",
                [
                    user.account().to_owned(),
                    user.session().to_owned(),
                    self.handle.node_id().to_owned(),
                ],
            )),
            _ => Err(PublicError::new("not there yet")),
        }
    }

    /// Asks the directory.
    async fn look_up(self, account: String, session: Option<String>) -> Answer {
        if let Some(session) = session {
            let found = match self.handle.find(&account, &session).await {
                Find::Found(node) => json!(["found", node]),
                Find::NotFound => json!(["not_found"]),
                _ => json!(["uncertain"]),
            };
            return Ok(Reply::event("found", found));
        }
        let all = self.handle.sessions(&account).await.sessions;
        let sessions: Vec<String> = all.into_iter().map(|one| one.session.into()).collect();
        Ok(Reply::event("sessions", sessions))
    }

    async fn forward(self, account: String, session: String, text: String) -> Answer {
        let wait = Wait::written(PATIENCE);
        let forwarded = self
            .handle
            .forward(&account, &session, "forward", (text,), wait);
        match forwarded.await {
            Ok(outcome) => Ok(Reply::event("outcome", [outcome.name()])),
            Err(error) => Err(PublicError::new(error.to_string())),
        }
    }

    async fn follow(self, user: User, account: String, session: String, on: bool) -> Answer {
        let followed = if on {
            self.handle.follow(&user, &account, &session).await
        } else {
            self.handle.unfollow(&user, &account, &session).await
        };
        let name = followed.map_or_else(FollowError::name, |()| "followed");
        Ok(Reply::event("followed", [name]))
    }

    async fn close(self, account: String, session: String) -> Answer {
        let to = To::session(&account, &session);
        let closed = self.handle.close(to, "closed by a client").await;
        let outcomes = closed.nodes.iter().map(|node| match node.result {
            Ok(0) => Outcome::NoSession,
            Ok(_) => Outcome::Enqueued,
            Err(unreached) => unreached.into(),
        });
        let outcome = match outcomes.max_by_key(|outcome| *outcome != Outcome::NoSession) {
            Some(Outcome::NoSession) | None if !closed.complete => Outcome::Uncertain,
            Some(outcome) => outcome,
            None => Outcome::NoSession,
        };
        Ok(Reply::event("outcome", [outcome.name()]))
    }

    fn send(&self, to: To<'_>, event: &str, args: Args) -> Result<Reply, PublicError> {
        match self.handle.try_send(to, event, args) {
            Ok(_) => Ok(Reply::none()),
            Err(error) => Err(PublicError::new(error.to_string())),
        }
    }
}

impl Service<Message> for Node {
    type Response = Reply;
    type Error = PublicError;
    type Future = Either<Ready<Answer>, BoxFuture<'static, Answer>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), PublicError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> Self::Future {
        let text = |index| message.args().get::<String>(index).unwrap_or_default();
        match message.event() {
            "find" => Either::Right(Box::pin(self.clone().look_up(text(0), Some(text(1))))),
            "sessions" => Either::Right(Box::pin(self.clone().look_up(text(0), None))),
            "close" => Either::Right(Box::pin(self.clone().close(text(0), text(1)))),
            "forward_ack" => {
                let forwarding = self.clone().forward(text(0), text(1), text(2));
                Either::Right(Box::pin(forwarding))
            }
            "follow" | "unfollow" => {
                let (user, on) = (message.user().clone(), message.event() == "follow");
                let following = self.clone().follow(user, text(0), text(1), on);
                Either::Right(Box::pin(following))
            }
            _ => Either::Left(ready(self.answer(&message))),
        }
    }
}

async fn echo_raw(message: Message) -> Result<Reply, Infallible> {
    Ok(Reply::event("message", message.args().clone()))
}

/// How often each notice was given.
#[derive(Clone, Default)]
struct Counters {
    by_name: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Counters {
    fn count(&self, notice: &Notice) {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        *by_name.entry(notice.name()).or_default() += 1;
    }

    fn to_json(&self) -> Value {
        json!(*self.by_name.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn stats(handle: &Handle, counters: &Counters) -> Value {
    json!({
        "connections": handle.count(To::All),
        "queued_bytes": handle.queued_bytes(To::All),
        "presence": handle.presence_state().name(),
        "notices": counters.to_json(),
    })
}
