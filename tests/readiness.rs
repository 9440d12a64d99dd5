//! When the handler is asked whether it is ready, what happens until it is, and who has to wait meanwhile.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use http::StatusCode;
use primacron::{CloseReason, Handler, Message, Notice, PrimacronLayer, Reply};
use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tower::{
    BoxError, Service, ServiceBuilder,
    buffer::Buffer,
    limit::{ConcurrencyLimit, RateLimit, rate::Rate},
    service_fn,
};

use self::support::{
    App, Counter, Polling, Ws, app, event, is_stuck, notice, settle, tasks, until_tasks,
};

const SECOND: Duration = Duration::from_secs(1);

fn layer() -> PrimacronLayer {
    PrimacronLayer::in_memory()
        .validate("echo", |_: &_, _: &_| true)
        .validate("never", |_: &_, _: &_| false)
        .ping_interval(SECOND)
        .ping_timeout(SECOND)
}

async fn echo(message: Message) -> Result<Reply, Infallible> {
    Ok(Reply::args(message.args().clone()))
}

/// A handler that keeps every message until somebody adds a permit.
fn gated(gate: &Arc<Semaphore>) -> impl Handler + Clone + Sync + use<> {
    let gate = Arc::clone(gate);
    service_fn(move |message: Message| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok::<_, Infallible>(Reply::args(message.args().clone()))
        }
    })
}

/// A handler that is busy for some time with every message.
fn slow(time: Duration) -> impl Handler + Clone + Sync {
    service_fn(move |message: Message| async move {
        sleep(time).await;
        Ok::<_, Infallible>(Reply::args(message.args().clone()))
    })
}

fn echoed(value: impl Into<Value>) -> Value {
    json!({"event": "echo", "args": [value.into()]})
}

fn echoes(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| event("echo", json!([n])))
}

/// Every one of a thousand connections says something, and then something else.
async fn assert_nobody_starves(app: &App) {
    let mut clients = Vec::new();
    for n in 0..1_000 {
        clients.push(Polling::connect(app, &format!("account-{n}")).await);
    }
    for round in 0..2 {
        for client in &mut clients {
            client.emit("echo", json!([round])).await;
            let answer = timeout(SECOND, client.message()).await;
            assert_eq!(answer.expect("nobody starves"), echoed(round));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_idle_connections_starve_nobody_over_one_permit() {
    let handler = ConcurrencyLimit::new(service_fn(echo), 1);

    assert_nobody_starves(&app(layer().service(handler))).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_idle_connections_starve_nobody_over_one_place_in_a_buffer() {
    let handler = Buffer::new(service_fn(echo), 1);

    assert_nobody_starves(&app(layer().service(handler))).await;
}

/// Counts, and insists that the instance that is called is the one that was ready.
#[derive(Default)]
struct Asked {
    polls: Counter,
    calls: Counter,
    is_ready: bool,
}

impl Clone for Asked {
    fn clone(&self) -> Self {
        Self {
            polls: self.polls.clone(),
            calls: self.calls.clone(),
            is_ready: false,
        }
    }
}

impl Service<Message> for Asked {
    type Response = Reply;
    type Error = Infallible;
    type Future = Ready<Result<Reply, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Not ready at first, so that the answer and the call are two visits.
        self.is_ready = self.polls.raise().is_multiple_of(2);
        if self.is_ready {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, message: Message) -> Self::Future {
        assert!(
            std::mem::take(&mut self.is_ready),
            "called without being ready"
        );
        self.calls.raise();
        ready(Ok(Reply::args(message.args().clone())))
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_is_asked_only_with_a_validated_message_in_hand() {
    let asked = Asked::default();
    let app = app(layer().service(asked.clone()));
    let mut client = Ws::connect(&app, "ann").await;

    client.emit("never", json!([])).await;
    client.emit("unknown", json!([])).await;
    client.send("not json").await;
    for name in ["error::validation", "error::validation", "error::json"] {
        assert_eq!(client.message().await["event"], name);
    }
    assert_eq!((asked.polls.get(), asked.calls.get()), (0, 0));

    client.emit("echo", json!([1])).await;
    assert_eq!(client.message().await, echoed(1));
    settle().await;
    assert_eq!((asked.polls.get(), asked.calls.get()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_instance_that_was_ready_is_the_one_that_is_called() {
    let asked = Asked::default();
    let app = app(layer().concurrency(8).service(asked.clone()));
    let mut client = Ws::connect(&app, "ann").await;

    client.send_all(echoes(50)).await;

    for n in 0..50 {
        assert_eq!(client.message().await, echoed(n));
    }
    assert_eq!((asked.polls.get(), asked.calls.get()), (100, 50));
}

/// Fails for good when asked whether it is ready; its clones do not.
#[derive(Clone)]
struct FailsOnce {
    instances: Counter,
    me: Option<usize>,
}

impl Service<Message> for FailsOnce {
    type Response = Reply;
    type Error = BoxError;
    type Future = Ready<Result<Reply, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let me = *self.me.get_or_insert_with(|| self.instances.raise());
        if me == 1 {
            return Poll::Ready(Err("out of order".into()));
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> Self::Future {
        ready(Ok(Reply::args((
            message.args().get::<u32>(0).unwrap(),
            self.me,
        ))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_become_ready_is_replaced_by_a_fresh_one() {
    let service = FailsOnce {
        instances: Counter::default(),
        me: None,
    };
    let layer = layer().service(service);
    let mut notices = layer.handle().notices();
    let app = app(layer);
    let mut client = Ws::connect(&app, "ann").await;

    client.send_all(echoes(2)).await;

    let told = client.message().await;
    assert_eq!(
        told,
        json!({"event": "error::handler", "args": ["echo", "the message could not be handled"]})
    );
    assert_eq!(
        client.message().await,
        json!({"event": "echo", "args": [1, 2]})
    );
    let Notice::Handler {
        event, error, user, ..
    } = notice(&mut notices, "error::handler").await
    else {
        unreachable!()
    };
    assert_eq!(
        (&*event, &*error.to_string(), user.account()),
        ("echo", "out of order", "ann")
    );
}

#[tokio::test(start_paused = true)]
async fn each_connection_has_its_own_service_and_its_own_rate_limit() {
    let every_ten_seconds = |user: &primacron::User| {
        let account = user.account().to_owned();
        let answer = service_fn(move |_: Message| ready(Ok::<_, Infallible>(json!([account]))));
        RateLimit::new(answer, Rate::new(1, 10 * SECOND))
    };
    let app = app(layer().service_for(every_ten_seconds));
    let mut ann = Polling::connect(&app, "ann").await;
    let mut bob = Polling::connect(&app, "bob").await;
    let start = Instant::now();

    ann.emit("echo", json!([])).await;
    bob.emit("echo", json!([])).await;
    assert_eq!(ann.message().await["args"], json!(["ann"]));
    assert_eq!(bob.message().await["args"], json!(["bob"]));
    assert_eq!(start.elapsed(), Duration::ZERO);

    ann.emit("echo", json!([])).await;
    assert_eq!(
        start.elapsed().as_secs(),
        10,
        "the POST waits for the service"
    );
}

#[tokio::test(start_paused = true)]
async fn while_a_message_waits_nothing_more_is_read() {
    let gate = Arc::new(Semaphore::new(0));
    let seen = Counter::default();
    let count = seen.clone();
    let layer = PrimacronLayer::in_memory()
        .validate("echo", move |_: &_, _: &_| count.raise() > 0)
        .service(gated(&gate));
    let app = app(layer);
    let mut client = Ws::connect_with(&app, "account=ann", 1024).await;
    let padding = "x".repeat(1000);
    let many = (0..100).map(|n| event("echo", json!([n, padding])));

    // One is with the handler, one waits; the scratch buffer and the pipe hold some more.
    let sending = async {
        client.send_all(many).await;
    };
    assert!(
        is_stuck(sending).await,
        "100 KB do not fit into what is read ahead"
    );
    assert_eq!(seen.get(), 2);

    gate.add_permits(1);
    settle().await;
    assert_eq!(seen.get(), 3, "one more for each that was handled");
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_does_not_lose_a_client_on_a_websocket() {
    let app = app(layer().service(slow(10 * SECOND)));
    let mut client = Ws::connect(&app, "ann").await;

    client.send_all(echoes(2)).await;

    assert_eq!(
        client.packet().await,
        "2",
        "pings go on while a message waits"
    );
    client.send_packet("3").await;
    assert_eq!(client.message().await, echoed(0));
    assert_eq!(client.message().await, echoed(1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_does_not_lose_a_client_on_polling() {
    let app = app(layer().service(slow(10 * SECOND)));
    let mut client = Polling::connect(&app, "ann").await;
    let start = Instant::now();

    // The client cannot send a pong: its POST is not answered yet.
    let two = format!(
        "4{}\u{1e}4{}",
        event("echo", json!([0])),
        event("echo", json!([1]))
    );
    let answer = client.post(two).await;

    assert_eq!(answer, (StatusCode::OK, "ok".to_owned()));
    assert_eq!(start.elapsed().as_secs(), 10);
    assert_eq!(client.message().await, echoed(0));
    assert_eq!(client.message().await, echoed(1));
}

#[tokio::test(start_paused = true)]
async fn after_a_hold_the_client_has_the_whole_ping_timeout_again() {
    let gate = Arc::new(Semaphore::new(0));
    let layer = layer().service(gated(&gate));
    let mut notices = layer.handle().notices();
    let app = app(layer);
    let mut client = Ws::connect(&app, "ann").await;
    client.send_all(echoes(2)).await;
    sleep(10 * SECOND).await;

    gate.add_permits(2);
    let released = Instant::now();
    let ended = notice(&mut notices, "disconnect").await;

    assert!(matches!(
        ended,
        Notice::Disconnect {
            reason: CloseReason::PingTimeout,
            ..
        }
    ));
    // The message that was read after the hold is a sign of life, worth one more timeout at most.
    let waited = released.elapsed();
    assert!(
        waited >= SECOND && waited <= 2 * SECOND + SECOND / 10,
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_held_for_too_long_is_closed_on_both_transports() {
    let layer = layer()
        .hold_timeout(30 * SECOND)
        .service(slow(3600 * SECOND));
    let mut notices = layer.handle().notices();
    let app = app(layer);
    let start = Instant::now();

    let mut socket = Ws::connect(&app, "ann").await;
    socket.send_all(echoes(2)).await;
    let ended = notice(&mut notices, "disconnect").await;
    assert!(matches!(
        ended,
        Notice::Disconnect {
            reason: CloseReason::HandlerTimeout,
            ..
        }
    ));
    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!(socket.until_closed().await, Some(1000));

    let client = Polling::connect(&app, "ann").await;
    let start = Instant::now();
    let two = format!(
        "4{}\u{1e}4{}",
        event("echo", json!([0])),
        event("echo", json!([1]))
    );
    let (posted, ended) = tokio::join!(client.post(two), notice(&mut notices, "disconnect"));
    assert!(matches!(
        ended,
        Notice::Disconnect {
            reason: CloseReason::HandlerTimeout,
            ..
        }
    ));
    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!(posted.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_backlog_that_moves_is_no_hold() {
    let layer = layer().hold_timeout(3 * SECOND).service(slow(SECOND));
    let app = app(layer);
    let mut client = Ws::connect(&app, "ann").await;

    client.send_all(echoes(20)).await;

    for n in 0..20 {
        assert_eq!(
            client.message().await,
            echoed(n),
            "each message waited for a second only"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn ok_is_withheld_while_a_message_of_the_post_waits() {
    let gate = Arc::new(Semaphore::new(0));
    let app = app(layer().service(gated(&gate)));
    let client = Polling::connect(&app, "ann").await;

    client.emit("echo", json!([0])).await;
    let second = client.emit("echo", json!([1]));
    tokio::pin!(second);
    assert!(
        is_stuck(&mut second).await,
        "the handler is busy with the first"
    );

    gate.add_permits(1);
    second.await;
}

#[tokio::test(start_paused = true)]
async fn a_pong_behind_messages_counts_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let app = app(layer().service(gated(&gate)));
    let mut client = Polling::connect(&app, "ann").await;
    assert_eq!(client.packet().await, "2");

    let message = event("echo", json!([0]));
    let body = format!("4{message}\u{1e}4{message}\u{1e}4{message}\u{1e}3");
    let posting = client.post(body);
    tokio::pin!(posting);
    assert!(is_stuck(&mut posting).await);

    // A ping that is not answered yet would keep the next one from coming.
    let polled = tokio::select! {
        _ = &mut posting => unreachable!("the gate is closed"),
        polled = timeout(2 * SECOND, client.poll_once()) => polled,
    };
    assert_eq!(polled.expect("the pong was handled").1, "2");
}

#[tokio::test(start_paused = true)]
async fn messages_are_handled_in_order_by_default() {
    let at_once = Counter::default();
    let now = at_once.clone();
    let handler = service_fn(move |message: Message| {
        let now = now.clone();
        async move {
            assert_eq!(now.raise(), 1, "one at a time");
            let n = message.args().get::<u64>(0).unwrap();
            sleep(Duration::from_millis(50 - n)).await;
            now.lower();
            Ok::<_, Infallible>(Reply::args((n,)))
        }
    });
    let app = app(layer().service(handler));
    let mut client = Ws::connect(&app, "ann").await;

    client.send_all(echoes(50)).await;

    for n in 0..50 {
        assert_eq!(client.message().await, echoed(n));
    }
}

#[tokio::test(start_paused = true)]
async fn three_at_once_and_the_fourth_waits() {
    let gate = Arc::new(Semaphore::new(0));
    let (seen, started) = (Counter::default(), Counter::default());
    let (validated, called) = (seen.clone(), started.clone());
    let inner = gated(&gate);
    let handler = ServiceBuilder::new()
        .map_request(move |message: Message| {
            called.raise();
            message
        })
        .service(inner);
    let layer = PrimacronLayer::in_memory()
        .validate("echo", move |_: &_, _: &_| validated.raise() > 0)
        .concurrency(3)
        .service(handler);
    let app = app(layer);
    let mut client = Ws::connect(&app, "ann").await;

    client.send_all(echoes(6)).await;
    settle().await;
    assert_eq!((seen.get(), started.get()), (4, 3));

    gate.add_permits(1);
    settle().await;
    assert_eq!((seen.get(), started.get()), (5, 4));

    gate.add_permits(5);
    let mut all = Vec::new();
    for _ in 0..6 {
        all.push(client.message().await["args"][0].as_u64().unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_is_not_asked_by_others_and_wakes_the_connection() {
    let (mut mock, mut requests) = tower_test::mock::spawn::<u64, u64>();
    let service = Arc::new(Mutex::new(mock.get_mut().clone()));
    let make = move |_: &primacron::User| {
        let inner = service.lock().unwrap().clone();
        ServiceBuilder::new()
            .map_request(|message: Message| message.args().get::<u64>(0).unwrap())
            .map_response(|n: u64| Reply::args((n,)))
            .service(inner)
    };
    requests.allow(0);
    let app = app(layer().service_for(make));
    let mut client = Ws::connect(&app, "ann").await;
    client.emit("echo", json!([7])).await;
    assert!(
        is_stuck(requests.next_request()).await,
        "nothing is called that is not ready"
    );

    requests.allow(1);
    let (request, respond) = requests.next_request().await.unwrap();
    respond.send_response(request + 1);
    assert_eq!(client.message().await, echoed(8));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_room_does_not_outlive_its_client() {
    let before = tasks();
    let handler = service_fn(|_: Message| ready(Ok::<_, Infallible>(json!(["x".repeat(4000)]))));
    let layer = layer().queue_limit(1024).service(handler);
    let handle = layer.handle();
    let app = app(layer);
    let mut client = Ws::connect_with(&app, "account=ann", 1024).await;
    client.send_all(echoes(10)).await;
    settle().await;
    assert!(
        handle.queued_bytes(primacron::To::All) > 0,
        "the client does not read"
    );

    handle.close(primacron::To::All, "enough").await;
    sleep(60 * SECOND).await;

    assert_eq!(tasks(), before, "its task has ended");
    assert_eq!(handle.count(primacron::To::All), 0);
}

#[tokio::test(start_paused = true)]
async fn a_validator_that_asks_for_long_holds_its_client_like_a_handler() {
    let layer = PrimacronLayer::in_memory()
        .validate_async("echo", |_: primacron::Args, _: primacron::User| async {
            sleep(10 * SECOND).await;
            true
        })
        .ping_interval(SECOND)
        .ping_timeout(SECOND)
        .hold_timeout(15 * SECOND)
        .service(service_fn(echo));
    let app = app(layer);
    let mut client = Ws::connect(&app, "ann").await;

    client.send_all(echoes(3)).await;

    assert_eq!(client.packet().await, "2");
    client.send_packet("3").await;
    for n in 0..3 {
        assert_eq!(client.message().await, echoed(n));
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_cannot_be_made_leaves_no_connection() {
    use futures_util::FutureExt;

    let broken = |user: &primacron::User| {
        assert_ne!(user.account(), "ann", "on purpose");
        service_fn(echo)
    };
    let layer = layer().service_for(broken);
    let handle = layer.handle();
    let app = app(layer);

    let uri = "/stream/?EIO=4&transport=polling&account=ann";
    let refused = std::panic::AssertUnwindSafe(support::get(&app, uri))
        .catch_unwind()
        .await;
    settle().await;

    assert!(refused.is_err());
    assert_eq!(handle.count(primacron::To::All), 0);
    let start = Instant::now();
    handle.drain(SECOND).await;
    assert_eq!(start.elapsed(), Duration::ZERO, "nobody is known");
}

/// A handler that is never ready.
#[derive(Clone)]
struct Never;

impl Service<Message> for Never {
    type Response = Reply;
    type Error = Infallible;
    type Future = Ready<Result<Reply, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: Message) -> Self::Future {
        ready(Ok(Reply::none()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_never_ready_keeps_no_task_of_a_client_that_left() {
    let app = app(layer().hold_timeout(5 * SECOND).service(Never));
    let before = tasks();
    let mut held = Ws::connect(&app, "held").await;
    let mut gone = Ws::connect(&app, "gone").await;

    held.emit("echo", json!([1])).await;
    gone.emit("echo", json!([1])).await;
    gone.send_packet("1").await;
    settle().await;

    assert_eq!(held.until_closed().await, Some(1000));
    drop((held, gone));
    until_tasks(before).await;
}
