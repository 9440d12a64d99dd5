//! Middleware of tower between the layer and the handler: whose messages a limit counts, what a client
//! hears of an error on the way, and what becomes of a call whose client is gone.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use primacron::{
    Args, Handler, MakeHandler, Message, Notice, PrimacronLayer, PublicError, Reply, User,
};
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tower::{
    BoxError, Service, ServiceBuilder, limit::GlobalConcurrencyLimitLayer,
    load_shed::error::Overloaded, service_fn, timeout::error::Elapsed, util::BoxCloneSyncService,
};

use self::support::{
    App, Polling, Ws, app, asking, event, notice, settle, soon, tasks, until_tasks,
};

const SECOND: Duration = Duration::from_secs(1);

/// What a client hears of a failure that was not made for the public.
const FAILED: &str = "the message could not be handled";

fn layer() -> PrimacronLayer {
    PrimacronLayer::in_memory()
        .validate("echo", |_: &Args, _: &User| true)
        .validate("slow", |_: &Args, _: &User| true)
}

async fn echo(message: Message) -> Result<Reply, Infallible> {
    if message.event() == "slow" {
        pending::<()>().await;
    }
    Ok(Reply::args(message.args().clone()))
}

fn echoed(value: impl Into<Value>) -> Value {
    json!({"event": "echo", "args": [value.into()]})
}

fn failed(text: &str) -> Value {
    json!({"event": "error::handler", "args": ["echo", text]})
}

/// Two clients, and when they came.
async fn ann_and_bob<M: MakeHandler>(layer: PrimacronLayer<M>) -> (App, Ws, Ws, Instant) {
    let app = app(layer);
    let ann = Ws::connect(&app, "ann").await;
    let bob = Ws::connect(&app, "bob").await;
    (app, ann, bob, Instant::now())
}

/// When each client has heard the answer to its one message, in seconds.
async fn seconds(start: Instant, clients: [&mut Ws; 4]) -> [u64; 4] {
    let mut seconds = [0; 4];
    for (client, after) in clients.into_iter().zip(&mut seconds) {
        client.emit("echo", json!([1])).await;
        assert_eq!(client.message().await, echoed(1));
        *after = start.elapsed().as_secs();
    }
    seconds
}

/// The same for two clients of each of two accounts.
async fn four<M: MakeHandler>(layer: PrimacronLayer<M>) -> [u64; 4] {
    let (app, mut ann, mut bob, start) = ann_and_bob(layer).await;
    let mut again = Ws::connect(&app, "ann").await;
    let mut last = Ws::connect(&app, "bob").await;
    seconds(start, [&mut ann, &mut bob, &mut again, &mut last]).await
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_below_a_buffer_is_one_for_all() {
    let shared = ServiceBuilder::new()
        .buffer(8)
        .rate_limit(2, 10 * SECOND)
        .service_fn(echo);

    let seconds = four(layer().service(shared)).await;

    assert_eq!(seconds, [0, 0, 10, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_that_is_made_for_each_connection_is_its_own() {
    let own = |_: &User| {
        ServiceBuilder::new()
            .rate_limit(1, 10 * SECOND)
            .service_fn(echo)
    };

    let seconds = four(layer().service_for(own)).await;

    assert_eq!(seconds, [0, 0, 0, 0]);
    let (_app, mut ann, _bob, start) = ann_and_bob(layer().service_for(own)).await;
    ann.send_all([event("echo", json!([1])), event("echo", json!([2]))])
        .await;
    assert_eq!(ann.message().await, echoed(1));
    assert_eq!(ann.message().await, echoed(2));
    assert_eq!(start.elapsed(), 10 * SECOND);
}

/// How many of three messages, one a client, are at work at the same time.
async fn at_once<M: MakeHandler>(
    layer: PrimacronLayer<M>,
    begun: &mut mpsc::UnboundedReceiver<()>,
) -> usize {
    let app = app(layer);
    let mut clients = Vec::new();
    for account in ["ann", "bob", "eve"] {
        clients.push(Ws::connect(&app, account).await);
    }
    for client in &mut clients {
        client.emit("slow", json!([])).await;
    }
    settle().await;
    std::iter::from_fn(|| begun.try_recv().ok()).count()
}

#[tokio::test(start_paused = true)]
async fn a_concurrency_limit_is_shared_by_clones_and_not_by_what_is_made_anew() {
    let (begin, mut begun) = mpsc::unbounded_channel();
    let work = service_fn(move |_: Message| {
        begin.send(()).unwrap();
        pending::<Result<Reply, Infallible>>()
    });
    let limited = {
        let work = work.clone();
        move || {
            ServiceBuilder::new()
                .concurrency_limit(1)
                .service(work.clone())
        }
    };

    assert_eq!(at_once(layer().service(limited()), &mut begun).await, 1);
    let own = layer().service_for(move |_: &User| limited());
    assert_eq!(at_once(own, &mut begun).await, 3);
    let both = GlobalConcurrencyLimitLayer::new(2);
    let made = layer().service_for(move |_: &User| {
        ServiceBuilder::new()
            .layer(both.clone())
            .service(work.clone())
    });
    assert_eq!(at_once(made, &mut begun).await, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_shed_fails_in_private_and_what_comes_later_does_not() {
    let gate = Arc::new(Semaphore::new(0));
    let work = {
        let gate = Arc::clone(&gate);
        service_fn(move |message: Message| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                echo(message).await
            }
        })
    };
    let shed = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(1)
        .service(work);
    let layer = layer().service(shed);
    let mut notices = layer.handle().notices();
    let (_app, mut ann, mut bob, _) = ann_and_bob(layer).await;

    ann.emit("echo", json!([1])).await;
    settle().await;
    bob.send(&asking(7, "echo", json!([2]))).await;

    assert_eq!(bob.message().await, failed(FAILED));
    assert_eq!(bob.message().await, json!({"id": 7, "error": FAILED}));
    let Notice::Handler { error, .. } = notice(&mut notices, "error::handler").await else {
        unreachable!()
    };
    assert!(error.is::<Overloaded>(), "{error}");
    gate.add_permits(2);
    assert_eq!(ann.message().await, echoed(1));
    bob.emit("echo", json!([3])).await;
    assert_eq!(bob.message().await, echoed(3));
}

/// What is left of a limit for others, once a client that was refused on the way there is silent.
async fn assert_left_for_others(handler: impl Handler + Clone + Sync, refused: Value) {
    let (app, mut ann, mut bob, _) = ann_and_bob(layer().service(handler)).await;
    let mut eve = Ws::connect(&app, "eve").await;
    ann.emit("slow", json!([])).await;
    settle().await;

    bob.emit("echo", json!(["bad"])).await;
    assert_eq!(bob.message().await, refused);
    assert_eq!(ann.message().await["event"], "error::handler");

    for n in 0..3 {
        eve.emit("echo", json!([n])).await;
        assert_eq!(eve.message().await, echoed(n));
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_shed_and_is_silent_starves_nobody() {
    let handler = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(1)
        .timeout(SECOND)
        .service_fn(echo);

    assert_left_for_others(handler, failed(FAILED)).await;
}

#[tokio::test(start_paused = true)]
async fn who_was_filtered_and_is_silent_starves_nobody() {
    let no_bad = |message: Message| match message.args().get::<&str>(0) {
        Ok("bad") => Err(PublicError::new("bad")),
        _ => Ok(message),
    };
    let handler = ServiceBuilder::new()
        .filter(no_bad)
        .concurrency_limit(1)
        .timeout(SECOND)
        .service_fn(echo);

    assert_left_for_others(handler, failed("bad")).await;
}

/// Gives some errors of tower a text for the client.
fn explain(error: BoxError) -> BoxError {
    if error.is::<Overloaded>() {
        PublicError::new("too many at once").into()
    } else if error.is::<Elapsed>() {
        PublicError::new("it took too long").into()
    } else {
        error
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_tower_gets_a_text_by_map_err() {
    let told = ServiceBuilder::new()
        .map_err(explain)
        .load_shed()
        .concurrency_limit(1)
        .timeout(5 * SECOND)
        .service_fn(echo);
    let (_app, mut ann, mut bob, start) = ann_and_bob(layer().service(told)).await;

    ann.emit("slow", json!([])).await;
    settle().await;
    bob.emit("echo", json!([])).await;
    assert_eq!(bob.message().await, failed("too many at once"));
    let late = json!({"event": "error::handler", "args": ["slow", "it took too long"]});
    assert_eq!(ann.message().await, late);
    assert_eq!(start.elapsed().as_secs(), 5);
    ann.emit("echo", json!([1])).await;
    assert_eq!(ann.message().await, echoed(1));
}

#[tokio::test(start_paused = true)]
async fn a_public_text_comes_out_of_a_buffer() {
    let buffered = ServiceBuilder::new()
        .buffer(8)
        .filter(|message: Message| match message.user().account() {
            "bob" => Err(PublicError::new("not for bob")),
            _ => Ok(message),
        })
        .service_fn(echo);
    let (_app, mut ann, mut bob, _) = ann_and_bob(layer().service(buffered)).await;

    bob.emit("echo", json!([1])).await;
    assert_eq!(bob.message().await, failed("not for bob"));
    ann.emit("echo", json!([1])).await;
    assert_eq!(ann.message().await, echoed(1));
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_asks_somebody_decides_in_order() {
    let banned = async |message: Message| {
        tokio::time::sleep(SECOND).await;
        match message.args().get::<u32>(0) {
            Ok(0) => Err(BoxError::from("zero")),
            _ => Ok(message),
        }
    };
    let filtered = ServiceBuilder::new().filter_async(banned).service_fn(echo);
    let (_app, mut ann, _bob, start) = ann_and_bob(layer().service(filtered)).await;

    ann.send_all((0..3).map(|n| event("echo", json!([n]))))
        .await;

    assert_eq!(ann.message().await, failed(FAILED));
    assert_eq!(ann.message().await, echoed(1));
    assert_eq!(ann.message().await, echoed(2));
    assert_eq!(start.elapsed(), 3 * SECOND);
}

/// What the handler of an application knows in place of messages.
struct Command {
    from: String,
    text: String,
}

#[tokio::test(start_paused = true)]
async fn a_service_of_other_requests_and_responses_handles_messages() {
    let commands = service_fn(async |command: Command| {
        Ok::<_, Infallible>(format!("{} said {}", command.from, command.text))
    });
    let handler = ServiceBuilder::new()
        .map_request(|message: Message| Command {
            from: message.user().account().to_owned(),
            text: message.args().get(0).unwrap(),
        })
        .map_response(|text: String| Reply::args((text,)))
        .service(commands);
    let boxed = BoxCloneSyncService::new(handler);
    let (_app, mut ann, _bob, _) = ann_and_bob(layer().service(boxed)).await;

    ann.emit("echo", json!(["hello"])).await;
    assert_eq!(ann.message().await, echoed("ann said hello"));
}

/// Out of order for good.
#[derive(Clone)]
struct Broken;

impl Service<Message> for Broken {
    type Response = Reply;
    type Error = BoxError;
    type Future = Ready<Result<Reply, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err(PublicError::new("out of order").into()))
    }

    fn call(&mut self, _: Message) -> Self::Future {
        ready(Ok(Reply::none()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_buffer_whose_service_broke_fails_every_message_and_closes_nobody() {
    let buffered = ServiceBuilder::new().buffer(8).service(Broken);
    let (_app, mut ann, mut bob, _) = ann_and_bob(layer().service(buffered)).await;

    for _ in 0..3 {
        for client in [&mut ann, &mut bob] {
            client.emit("echo", json!([])).await;
            assert_eq!(client.message().await, failed("out of order"));
        }
    }
}

/// Tells how a call ended.
struct Ended {
    tell: mpsc::UnboundedSender<&'static str>,
    how: &'static str,
}

impl Ended {
    fn finish(&mut self) {
        self.how = "finished";
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.tell.send(self.how).ok();
    }
}

/// A handler that works for ten seconds, and tells how that ended.
fn work() -> (
    impl Handler + Clone + Sync,
    mpsc::UnboundedReceiver<&'static str>,
) {
    let (tell, told) = mpsc::unbounded_channel();
    let work = service_fn(move |_: Message| {
        let (tell, how) = (tell.clone(), "dropped");
        let mut ended = Ended { tell, how };
        async move {
            tokio::time::sleep(10 * SECOND).await;
            ended.finish();
            Ok::<_, Infallible>(Reply::args(("done",)))
        }
    });
    (work, told)
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_to_its_end_when_its_client_is_gone() {
    let before = tasks();
    let (work, mut told) = work();
    let app = app(layer().service(work));
    let mut ann = Ws::connect(&app, "ann").await;
    let bob = Polling::connect(&app, "bob").await;
    ann.emit("echo", json!([])).await;
    bob.emit("echo", json!([])).await;
    settle().await;
    let start = Instant::now();

    drop(ann);
    bob.post("1").await;

    for _ in 0..2 {
        assert_eq!(soon(told.recv()).await, Some("finished"));
    }
    assert_eq!(start.elapsed().as_secs(), 9);
    until_tasks(before).await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_what_ends_a_call_whose_client_is_gone() {
    let (work, mut told) = work();
    let bounded = ServiceBuilder::new().timeout(2 * SECOND).service(work);
    let app = app(layer().service(bounded));
    let mut ann = Ws::connect(&app, "ann").await;
    ann.emit("echo", json!([])).await;
    settle().await;

    drop(ann);

    assert_eq!(soon(told.recv()).await, Some("dropped"));
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_calls_go_on_to_their_end() {
    let (work, mut told) = work();
    let layer = layer().service(work);
    let handle = layer.handle();
    let app = app(layer);
    let mut ann = Ws::connect(&app, "ann").await;
    ann.emit("echo", json!([])).await;
    settle().await;

    handle.drain(SECOND).await;

    assert_eq!(ann.until_closed().await, Some(1001));
    assert_eq!(soon(told.recv()).await, Some("finished"));
}
