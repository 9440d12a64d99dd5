//! What is counted, as Prometheus would read it.

#![cfg(all(feature = "testing", feature = "metrics"))]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::time::Duration;

use axum::Router;
use http::StatusCode;
use metrics::LocalRecorderGuard;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use primacron::{
    Args, Cluster, Handle, Message, PrimacronLayer, PublicError, QueuePolicy, Reply, To, Transport,
    User, Wait,
    metrics::{CONNECTIONS, HANDLER_TIME, PRESENCE, QUEUED},
    testing::{Client, ClientBuilder},
};
use tower::service_fn;

/// Everything of one test, counted on its own thread.
struct Counts {
    prometheus: PrometheusHandle,
    _guard: LocalRecorderGuard<'static>,
}

impl Counts {
    fn begin() -> Self {
        let recorder: &'static PrometheusRecorder =
            Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
        Self {
            prometheus: recorder.handle(),
            _guard: metrics::set_default_local_recorder(recorder),
        }
    }

    /// The value of a metric; the labels are part of its name.
    #[track_caller]
    fn of(&self, name: &str) -> f64 {
        let text = self.prometheus.render();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no {name} in\n{text}"))
            .parse()
            .unwrap()
    }

    fn has(&self, text: &str) -> bool {
        self.prometheus.render().contains(text)
    }
}

async fn handle(message: Message) -> Result<Reply, PublicError> {
    match message.event() {
        "sleep" => {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Ok(Reply::none())
        }
        "fail" => Err(PublicError::new("no")),
        _ => Ok(Reply::args(message.args().clone())),
    }
}

fn server() -> (Router, Handle) {
    let layer = PrimacronLayer::in_memory()
        .queue_policy(QueuePolicy::DropVolatile)
        .queue_limit(100_000)
        .validate("echo", |args: &Args, _: &User| args.len() == 1)
        .validate("sleep", |_: &Args, _: &User| true)
        .validate("fail", |_: &Args, _: &User| true)
        .service(service_fn(handle));
    let handle = layer.handle();
    (Router::new().layer(layer), handle)
}

fn ann(app: &Router) -> ClientBuilder {
    Client::builder(app).account("ann")
}

#[tokio::test(start_paused = true)]
async fn connections_are_counted_by_transport_for_as_long_as_they_live() {
    let counts = Counts::begin();
    let (app, handle) = server();
    let open = |transport| counts.of(&format!("{CONNECTIONS}{{transport=\"{transport}\"}}"));

    let mut first = ann(&app).polling().connect().await;
    let second = ann(&app).connect().await;
    assert_eq!((open("polling"), open("websocket")), (1.0, 1.0));

    first.upgrade().await;
    first.ask("echo", (1,)).await.unwrap();
    assert_eq!((open("polling"), open("websocket")), (0.0, 2.0));
    assert_eq!(counts.of("primacron_upgrades_total"), 1.0);

    second.close().await;
    handle
        .socket("ann", first.session())
        .unwrap()
        .close("a reason of some user");
    first.disconnected().await;
    assert_eq!((open("polling"), open("websocket")), (0.0, 0.0));
    let ended = |reason| {
        counts.of(&format!(
            "primacron_disconnects_total{{reason=\"{reason}\"}}"
        ))
    };
    assert_eq!((ended("transport close"), ended("application")), (1.0, 1.0));
    for transport in [Transport::Polling, Transport::WebSocket] {
        let name = format!("primacron_handshakes_total{{transport=\"{transport}\"}}");
        assert_eq!(counts.of(&name), 1.0);
    }
}

#[test]
fn a_runtime_that_ends_takes_its_connections_out_of_the_count() {
    let counts = Counts::begin();
    let (app, _handle) = server();
    let open = || counts.of(&format!("{CONNECTIONS}{{transport=\"websocket\"}}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let client = runtime.block_on(ann(&app).connect());
    assert_eq!(open(), 1.0);

    drop(runtime);

    assert_eq!(open(), 0.0);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn refused_requests_are_counted_by_status() {
    let counts = Counts::begin();
    let (app, handle) = server();

    let rejected = Client::builder(&app).try_connect().await.unwrap_err();
    assert_eq!(rejected.status, StatusCode::BAD_REQUEST);
    handle.drain(Duration::from_secs(1)).await;
    ann(&app).try_connect().await.unwrap_err();

    let of = |status| {
        counts.of(&format!(
            "primacron_rejected_requests_total{{status=\"{status}\"}}"
        ))
    };
    assert_eq!((of(400), of(503)), (1.0, 1.0));
    assert_eq!(
        counts.of(&format!("{CONNECTIONS}{{transport=\"websocket\"}}")),
        0.0
    );
}

#[tokio::test(start_paused = true)]
async fn messages_are_counted_both_ways_and_refusals_by_kind() {
    let counts = Counts::begin();
    let (app, handle) = server();
    let mut ann = ann(&app).connect().await;

    ann.ask("echo", (1,)).await.unwrap();
    ann.ask("fail", ()).await.unwrap_err();
    ann.ask("echo", ()).await.unwrap_err();
    ann.send_text("{");
    ann.send_text("[]");
    handle.try_send(To::All, "news", ()).unwrap();
    while !matches!(ann.receive().await, primacron::testing::Received::Event { name, .. } if name == "news")
    {
    }

    ann.ask("echo", (1,)).await.unwrap();
    assert_eq!(counts.of("primacron_messages_received_total"), 6.0);
    let refused = |kind| {
        counts.of(&format!(
            "primacron_messages_refused_total{{kind=\"{kind}\"}}"
        ))
    };
    assert_eq!(
        [
            refused("json"),
            refused("invalid"),
            refused("validation"),
            refused("handler")
        ],
        [1.0; 4]
    );
    // Four answers, four reports, the news.
    assert_eq!(counts.of("primacron_messages_sent_total"), 9.0);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_handler_is_measured() {
    let counts = Counts::begin();
    let (app, _) = server();
    let mut ann = ann(&app).connect().await;

    ann.ask("sleep", ()).await.unwrap();
    ann.ask("sleep", ()).await.unwrap();
    ann.ask("echo", (1,)).await.unwrap();

    assert_eq!(counts.of(&format!("{HANDLER_TIME}_count")), 3.0);
    let seconds = counts.of(&format!("{HANDLER_TIME}_sum"));
    assert!((6.0..6.1).contains(&seconds), "{seconds}");
}

/// A client that reads nothing at all.
async fn deaf(app: &Router, transport: Transport) -> (String, tokio::io::DuplexStream) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (mut ours, theirs) = tokio::io::duplex(1024);
    let service = hyper_util::service::TowerToHyperService::new(app.clone());
    let server = hyper::server::conn::http1::Builder::new()
        .serve_connection(hyper_util::rt::TokioIo::new(theirs), service)
        .with_upgrades();
    tokio::spawn(server);
    let request = format!(
        "GET /stream/?EIO=4&account=ann&transport={transport} HTTP/1.1\r\nHost: localhost\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    ours.write_all(request.as_bytes()).await.unwrap();
    let mut read = String::new();
    while !read.ends_with('}') {
        let mut byte = [0];
        ours.read_exact(&mut byte).await.unwrap();
        read.push(char::from(byte[0]));
    }
    (read, ours)
}

#[tokio::test(start_paused = true)]
async fn what_slow_clients_owe_is_counted_until_they_are_gone() {
    for transport in [Transport::Polling, Transport::WebSocket] {
        let counts = Counts::begin();
        let (app, handle) = server();
        let (_, socket) = deaf(&app, transport).await;
        let text = "x".repeat(10_000);

        for _ in 0..20 {
            handle.try_send(To::All, "news", (&*text,)).unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }

        let queued = handle.queued_bytes(To::All) as f64;
        assert!(queued > 80_000.0, "{queued}");
        assert_eq!(counts.of(QUEUED), queued);
        assert!(counts.of("primacron_queue_full_total") > 5.0);

        drop(socket);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(handle.count(To::All), 0);
        assert_eq!(counts.of(QUEUED), 0.0);
    }
}

#[tokio::test(start_paused = true)]
async fn no_label_tells_who_somebody_is() {
    let counts = Counts::begin();
    let (app, _) = server();
    let mut ann = ann(&app).connect().await;
    ann.ask("echo", ("secret",)).await.unwrap();
    ann.ask("made up", ()).await.unwrap_err();

    for secret in ["ann", ann.session(), ann.sid(), "secret", "made up"] {
        let shown = format!("\"{secret}\"");
        assert!(!counts.has(&shown), "{shown}");
    }
    assert!(counts.has(r#"primacron_notices_total{name="account::unverified"} 1"#));
    assert!(counts.has("# HELP primacron_connections Open connections."));
}

#[tokio::test(start_paused = true)]
async fn presence_is_in_one_state_at_a_time() {
    let counts = Counts::begin();
    let cluster = Cluster::new();
    let layer = cluster
        .layer()
        .validate("echo", |args: &Args, _: &User| args.len() == 1)
        .service(service_fn(handle));
    let states = || {
        ["synced", "syncing", "offline"]
            .map(|state| counts.of(&format!("{PRESENCE}{{state=\"{state}\"}}")))
    };
    let app = Router::new().layer(layer);
    let _ann = ann(&app).connect().await;

    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(states(), [1.0, 0.0, 0.0]);
    assert_eq!(
        counts.of(r#"primacron_notices_total{name="presence::join"}"#),
        1.0
    );

    cluster.cut_off();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(states(), [0.0, 0.0, 1.0]);

    cluster.recover();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(states(), [1.0, 0.0, 0.0]);
    assert_eq!(
        counts.of(r#"primacron_notices_total{name="presence::offline"}"#),
        1.0
    );
}

#[tokio::test(start_paused = true)]
async fn what_crosses_the_bus_is_counted_in_both_directions() {
    let counts = Counts::begin();
    let cluster = Cluster::new();
    let node = || cluster.layer().service(service_fn(handle));
    let (here, there) = (node(), node());
    let far = there.handle();
    let (here, there) = (Router::new().layer(here), Router::new().layer(there));
    let mut ann = ann(&here).connect().await;
    let _bob = Client::builder(&there).account("bob").connect().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let of = |what, direction| {
        counts.of(&format!(
            "primacron_bus_{what}_total{{direction=\"{direction}\"}}"
        ))
    };
    let before = of("entries", "out");

    let outcome = far.forward(
        "ann",
        ann.session(),
        "hello",
        ("x".repeat(1000),),
        Wait::enqueued(Duration::from_secs(5)),
    );
    outcome.await.unwrap();

    ann.expect_event("hello").await;
    assert!(of("entries", "out") > before);
    assert_eq!(
        of("entries", "in"),
        of("entries", "out"),
        "both nodes count as one"
    );
    assert!(of("bytes", "in") > 1000.0);
}
