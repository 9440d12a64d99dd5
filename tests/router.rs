//! What a router hands to whom, what its middleware may hold, and what it refuses to be built from.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use primacron::{
    Args, Message, Notice, PrimacronLayer, PublicError, RawInput, Reply, Socket, User, Verdict,
    router::{
        AckId, Data, Event, EventHandler, EventRouter, Extension, FromMessage, FromRef, Parsed,
        State,
    },
    validate,
};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::Instant};
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt,
    buffer::BufferLayer,
    layer::layer_fn,
    limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer},
    load_shed::LoadShedLayer,
    service_fn,
    timeout::TimeoutLayer,
    util::MapRequestLayer,
};

use self::support::{
    App, Counter, Ws, app, asking, event, is_stuck, notice, settle, tasks, until_tasks,
};

const SECOND: Duration = Duration::from_secs(1);

/// What a client hears of every failure that was not made for the public.
const FAILED: &str = "the message could not be handled";

fn served(router: EventRouter) -> App {
    app(PrimacronLayer::in_memory().router(router))
}

/// The answer of a server with this router to one event.
async fn answer(router: EventRouter, name: &str, args: Value) -> Value {
    let app = served(router);
    let mut client = Ws::connect(&app, "ann").await;
    client.send(&event(name, args)).await;
    client.message().await
}

fn heard(name: &str, args: Value) -> Value {
    json!({"event": name, "args": args})
}

/// What a client hears of a message that its handler failed with.
fn failed(name: &str, text: &str) -> Value {
    heard("error::handler", json!([name, text]))
}

fn refused(name: &str, text: &str) -> Value {
    heard("error::validation", json!([name, text]))
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Move {
    from: String,
    to: String,
}

async fn play(Data(Move { from, to }): Data<Move>) -> (String,) {
    (format!("{from}-{to}"),)
}

/// Two names, of whoever asks and of the event.
async fn whoami(_: Data<()>, user: User, event: Event) -> (String, String) {
    (user.account().to_owned(), event.to_string())
}

mod routes {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_typed_handler_brings_its_validator_along() {
        let router = || EventRouter::new().on("move", play);

        let played = answer(router(), "move", json!([{"from": "e2", "to": "e4"}])).await;
        assert_eq!(played, heard("move", json!(["e2-e4"])));
        for args in [json!([]), json!(["e2"]), json!([{"from": "e2"}])] {
            let text = "arguments do not fit the event";
            assert_eq!(answer(router(), "move", args).await, refused("move", text));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_nobody_validates_is_refused() {
        let calls = Counter::default();
        let count = calls.clone();
        let handler = move |_: Args| {
            count.raise();
            async {}
        };
        let router = EventRouter::new().on("chat", handler);

        let heard = answer(router, "chat", json!(["hi"])).await;

        assert_eq!(heard, refused("chat", "no validator for this event"));
        assert_eq!(calls.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_validator_may_come_from_layer_or_router() {
        let chat = async |args: Args| args;
        let short = |args: &Args, _: &User| match args.get::<&str>(0) {
            Ok(text) if text.len() < 5 => Ok(()),
            _ => Err("too long"),
        };
        let layers: [PrimacronLayer<_>; 3] = [
            PrimacronLayer::in_memory()
                .router(EventRouter::new().on_validated("chat", short, chat)),
            PrimacronLayer::in_memory()
                .router(EventRouter::new().on("chat", chat).validate("chat", short)),
            PrimacronLayer::in_memory()
                .validate("chat", short)
                .router(EventRouter::new().on("chat", chat)),
        ];
        for layer in layers {
            let app = app(layer);
            let mut client = Ws::connect(&app, "ann").await;
            client.emit("chat", json!(["hi"])).await;
            assert_eq!(client.message().await, heard("chat", json!(["hi"])));
            client.emit("chat", json!(["hello"])).await;
            assert_eq!(client.message().await, refused("chat", "too long"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_validator_may_take_the_place_of_the_handlers_own() {
        let rules = |it: &Move, _: &User| match it.from == it.to {
            true => Err("stands still"),
            false => Ok(()),
        };
        let router = || EventRouter::new().on_validated("move", validate::shape_and(rules), play);

        let still = answer(router(), "move", json!([{"from": "e2", "to": "e2"}])).await;
        assert_eq!(still, refused("move", "stands still"));
        let moved = answer(router(), "move", json!([{"from": "e2", "to": "e4"}])).await;
        assert_eq!(moved, heard("move", json!(["e2-e4"])));
    }

    #[tokio::test(start_paused = true)]
    async fn nested_events_have_their_prefix() {
        let games = EventRouter::new().on("move", play).on("who", whoami);
        let router = || {
            EventRouter::new()
                .nest("game::", games.clone())
                .on("who", whoami)
        };

        let played = answer(router(), "game::move", json!([{"from": "a", "to": "b"}])).await;
        assert_eq!(played, heard("game::move", json!(["a-b"])));
        let nested = answer(router(), "game::who", json!([])).await;
        assert_eq!(nested, heard("game::who", json!(["ann", "game::who"])));
        assert_eq!(
            answer(router(), "who", json!([])).await,
            heard("who", json!(["ann", "who"]))
        );
        assert_eq!(
            answer(router(), "move", json!([])).await,
            refused("move", "no validator for this event")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_fallback_handles_what_nobody_else_does() {
        let named =
            |name: &'static str| move |event: Event| async move { (name, event.to_string()) };
        let inner = EventRouter::new().nest("chess::", EventRouter::new().fallback(named("chess")));
        let router = inner
            .nest("go::", EventRouter::new().on("who", whoami))
            .fallback(named("outer"))
            .nest(
                "nested::",
                EventRouter::new().nest("deep::", EventRouter::new().fallback(named("deep"))),
            )
            .validate("chess::x", |_: &_, _: &_| true)
            .validate("go::x", |_: &_, _: &_| true)
            .validate("nested::deep::x", |_: &_, _: &_| true)
            .validate("x", |_: &_, _: &_| true);
        let app = served(router);
        let mut client = Ws::connect(&app, "ann").await;

        for (name, who) in [
            ("chess::x", "chess"),
            ("go::x", "outer"),
            ("nested::deep::x", "deep"),
            ("x", "outer"),
        ] {
            client.emit(name, json!([])).await;
            assert_eq!(client.message().await, heard(name, json!([who, name])));
        }
        client.emit("chess::y", json!([])).await;
        let text = "no validator for this event";
        assert_eq!(client.message().await, refused("chess::y", text));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_without_a_handler_fails() {
        let router = EventRouter::new().validate("chat", |_: &_, _: &_| true);
        let heard = answer(router, "chat", json!([])).await;
        assert_eq!(heard, failed("chat", "no handler for this event"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_router_is_a_service_without_a_server() {
        let router: EventRouter = EventRouter::new().on("move", play).on("who", whoami);
        let message = Message::builder("move", ())
            .data(Move {
                from: "a".into(),
                to: "b".into(),
            })
            .build();
        let reply = router.clone().oneshot(message).await.unwrap();
        assert_eq!(reply.to_json(), Some(json!(["a-b"])));

        let unknown = Message::builder("what", ()).build();
        let error = router.oneshot(unknown).await.unwrap_err();
        assert!(error.is::<PublicError>());
    }
}

mod arguments {
    use super::*;

    /// Counts how often it is read.
    #[derive(Debug)]
    struct Counted;

    static READ: AtomicUsize = AtomicUsize::new(0);

    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            READ.fetch_add(1, Ordering::SeqCst);
            String::deserialize(from).map(|_| Self)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn data_is_read_once() {
        let router = EventRouter::new().on("count", async |_: Data<Counted>| ("counted",));
        let heard_ = answer(router, "count", json!(["x"])).await;
        assert_eq!(heard_, heard("count", json!(["counted"])));
        assert_eq!(READ.load(Ordering::SeqCst), 1);
    }

    #[derive(Clone)]
    struct Login(&'static str);

    #[derive(Clone)]
    struct Shared {
        name: &'static str,
        number: Arc<AtomicUsize>,
    }

    impl FromRef<Shared> for Arc<AtomicUsize> {
        fn from_ref(shared: &Shared) -> Self {
            Self::clone(&shared.number)
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one of each")]
    async fn all(
        Data(text): Data<String>,
        State(shared): State<Shared>,
        State(number): State<Arc<AtomicUsize>>,
        Extension(Login(login)): Extension<Login>,
        user: User,
        socket: Socket,
        args: Args,
        raw: RawInput,
        AckId(id): AckId,
        message: Message,
    ) -> Value {
        assert!(message.data::<String>().is_none(), "it was taken");
        assert_eq!(message.raw_input(), &raw);
        socket.try_send("sent", ()).unwrap();
        json!([
            text,
            shared.name,
            number.fetch_add(1, Ordering::SeqCst),
            login,
            user.account(),
            args.len(),
            raw.as_str(),
            id
        ])
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_takes_what_it_asks_for() {
        let shared = Shared {
            name: "state",
            number: Arc::new(AtomicUsize::new(7)),
        };
        let router = EventRouter::new().on("all", all).with_state(shared);
        let layer = PrimacronLayer::in_memory().keep::<Login>().router(router);
        let app = app(layer).layer(axum::Extension(Login("ann's")));
        let mut client = Ws::connect(&app, "ann").await;

        let sent = asking(3, "all", json!(["hi"]));
        client.send(&sent).await;

        assert_eq!(client.message().await, heard("sent", json!([])));
        assert_eq!(
            client.message().await,
            json!({"id": 3, "args": ["hi", "state", 7, "ann's", "ann", 1, sent, 3]})
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_be_missing_is_an_option() {
        async fn options(
            data: Option<Data<u8>>,
            extension: Option<Extension<Login>>,
            id: Option<AckId>,
        ) -> Value {
            json!([data.map(|it| it.0), extension.is_some(), id.map(|id| id.0)])
        }
        let router = EventRouter::new().on("options", options);
        let app = served(router);
        let mut client = Ws::connect(&app, "ann").await;

        for (sent, answered) in [
            (json!([]), json!([null, false, null])),
            (json!([null]), json!([null, false, null])),
            (json!([5]), json!([5, false, null])),
        ] {
            client.emit("options", sent).await;
            assert_eq!(client.message().await, heard("options", answered));
        }
        client.emit("options", json!(["x"])).await;
        let text = "arguments do not fit the event";
        assert_eq!(client.message().await, refused("options", text));
    }

    #[tokio::test(start_paused = true)]
    async fn the_application_hears_what_was_missing_and_the_client_does_not() {
        let router = EventRouter::new().on("x", async |_: Data<()>, _: Extension<Login>| ());
        let layer = PrimacronLayer::in_memory().router(router);
        let mut notices = layer.handle().notices();
        let app = app(layer);
        let mut client = Ws::connect(&app, "ann").await;

        client.emit("x", json!([])).await;

        assert_eq!(client.message().await, failed("x", FAILED));
        let Notice::Handler { error, .. } = notice(&mut notices, "error::handler").await else {
            unreachable!()
        };
        let text = error.to_string();
        assert!(
            text.contains("Login") && text.contains("handshake"),
            "{text}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_needs_an_id_says_so() {
        let router = EventRouter::new().on("x", async |_: Data<()>, AckId(id): AckId| (id,));
        let heard = answer(router, "x", json!([])).await;
        assert_eq!(heard, failed("x", "the message needs an id"));
    }

    /// Only the staff.
    struct Staff;

    impl<S> FromMessage<S> for Staff {
        type Rejection = PublicError;

        fn from_message(message: &mut Message, _: &S) -> Result<Self, PublicError> {
            match message.user().account() {
                "ann" => Err(PublicError::new("not for you")),
                _ => Ok(Self),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_extractor_of_ones_own_may_speak_to_the_client() {
        let router = EventRouter::new().on("x", async |_: Staff, _: Data<()>| ());
        let heard = answer(router, "x", json!([])).await;
        assert_eq!(heard, failed("x", "not for you"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_validator_may_make_any_value() {
        struct NotSerde(usize);
        let measure = |args: &Args, _: &User| match args.get::<&str>(0) {
            Ok(text) => Verdict::parsed(NotSerde(text.len())),
            Err(error) => Verdict::refuse(error.into()),
        };
        let handler = async |Parsed(NotSerde(length)): Parsed<NotSerde>| (length,);
        let router = EventRouter::new().on_validated("x", measure, handler);
        assert_eq!(
            answer(router, "x", json!(["four"])).await,
            heard("x", json!([4]))
        );
    }
}

mod answers {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_handler_returns_what_becomes_a_reply() {
        let router = EventRouter::new()
            .on("nothing", async |_: Data<()>| ())
            .on("tuple", async |_: Data<()>| ("a", 1))
            .on("array", async |_: Data<()>| [1, 2])
            .on("vec", async |_: Data<()>| vec!["v"])
            .on("value", async |_: Data<()>| json!({"k": 1}))
            .on("event", async |_: Data<()>| Reply::event("other", (1,)))
            .on("some", async |_: Data<()>| Some((1,)))
            .on("none", async |_: Data<()>| None::<()>)
            .on("ok", async |_: Data<()>| Ok::<_, Infallible>((1,)))
            .on("public", async |_: Data<()>| {
                Err::<(), _>(PublicError::new("my own text"))
            })
            .on("private", async |_: Data<()>| Err::<(), _>("a secret"));
        let app = served(router);
        let mut client = Ws::connect(&app, "ann").await;

        for (name, answered) in [
            ("tuple", heard("tuple", json!(["a", 1]))),
            ("array", heard("array", json!([1, 2]))),
            ("vec", heard("vec", json!(["v"]))),
            ("value", heard("value", json!([{"k": 1}]))),
            ("event", heard("other", json!([1]))),
            ("some", heard("some", json!([1]))),
            ("ok", heard("ok", json!([1]))),
            ("public", failed("public", "my own text")),
            ("private", failed("private", FAILED)),
        ] {
            client.emit(name, json!([])).await;
            assert_eq!(client.message().await, answered);
        }
        for name in ["nothing", "none"] {
            client.send(&asking(1, name, json!([]))).await;
            assert_eq!(client.message().await, json!({"id": 1, "args": []}));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_panics_ends_its_message_alone() {
        let router = EventRouter::new()
            .on("panic", async |_: Data<()>| -> () { panic!("on purpose") })
            .on("who", whoami);
        let app = served(router);
        let mut client = Ws::connect(&app, "ann").await;

        client.emit("panic", json!([])).await;
        assert_eq!(client.message().await, failed("panic", FAILED));
        client.emit("who", json!([])).await;
        assert_eq!(client.message().await, heard("who", json!(["ann", "who"])));
    }
}

mod middleware {
    use super::*;

    /// A handler that keeps every message until somebody adds a permit, and counts who is in it.
    fn gated(gate: &Arc<Semaphore>, inside: &Counter) -> impl EventHandler<Whole, ()> + use<> {
        let (gate, inside) = (Arc::clone(gate), inside.clone());
        move |_: Message| {
            let (gate, inside) = (Arc::clone(&gate), inside.clone());
            async move {
                inside.raise();
                gate.acquire().await.unwrap().forget();
                inside.lower();
                ("done",)
            }
        }
    }

    type Whole = primacron::router::PartsAndMessage<()>;

    fn anything(router: EventRouter, events: &[&str]) -> EventRouter {
        events.iter().fold(router, |router, event| {
            router.validate(event, |_: &Args, _: &User| true)
        })
    }

    /// Counts the messages that it sees.
    fn counting(counter: &Counter) -> MapRequestLayer<impl Fn(Message) -> Message + Clone + use<>> {
        let counter = counter.clone();
        MapRequestLayer::new(move |message| {
            counter.raise();
            message
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_layer_is_around_all_handlers_that_are_there_or_around_one() {
        let (all, one) = (Counter::default(), Counter::default());
        let router = EventRouter::new()
            .on("a", whoami.layer(counting(&one)))
            .on("b", whoami)
            .fallback(async |_: Message| ())
            .layer(counting(&all))
            .on("c", whoami)
            .validate("d", |_: &Args, _: &User| true);
        let app = served(router);
        let mut client = Ws::connect(&app, "ann").await;

        for (name, counted) in [("a", (1, 1)), ("b", (2, 1)), ("c", (2, 1)), ("d", (3, 1))] {
            client.send(&asking(1, name, json!([]))).await;
            client.message().await;
            assert_eq!((all.get(), one.get()), counted, "after {name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_is_a_handler_too() {
        let service =
            ServiceBuilder::new()
                .timeout(SECOND)
                .service(service_fn(async |message: Message| {
                    Ok::<_, BoxError>(message.args().clone())
                }));
        let router = EventRouter::new()
            .on_service("echo", service)
            .validate("echo", |_: &Args, _: &User| true);
        assert_eq!(
            answer(router, "echo", json!([1])).await,
            heard("echo", json!([1]))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_is_a_failure_of_the_handler() {
        let slow = async |_: Data<()>| tokio::time::sleep(5 * SECOND).await;
        let router = EventRouter::new().on("slow", slow.layer(TimeoutLayer::new(SECOND)));
        let heard = answer(router, "slow", json!([])).await;
        assert_eq!(heard, failed("slow", FAILED));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_starve_nobody() {
        let limits = ServiceBuilder::new()
            .layer(BufferLayer::new(1))
            .layer(GlobalConcurrencyLimitLayer::new(1));
        let router = EventRouter::new().on("who", whoami).layer(limits);
        let app = served(router);
        let mut idle = Vec::new();
        for n in 0..50 {
            let mut client = Ws::connect(&app, &format!("c{n}")).await;
            client.emit("who", json!([])).await;
            client.message().await;
            idle.push(client);
        }

        let mut last = Ws::connect(&app, "last").await;
        last.emit("who", json!([])).await;
        assert_eq!(last.message().await["args"][0], "last");
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_in_a_route_is_one_for_all_connections() {
        let gate = Arc::new(Semaphore::new(0));
        let inside = Counter::default();
        let handler = gated(&gate, &inside).layer(ConcurrencyLimitLayer::new(1));
        let router = anything(EventRouter::new().on("x", handler), &["x"]);
        let app = served(router);
        let mut first = Ws::connect(&app, "ann").await;
        let mut second = Ws::connect(&app, "bob").await;

        first.emit("x", json!([])).await;
        settle().await;
        second.emit("x", json!([])).await;
        assert!(is_stuck(second.message()).await);
        assert_eq!(inside.get(), 1, "the second waits for its place");

        gate.add_permits(2);
        assert_eq!(first.message().await, heard("x", json!(["done"])));
        assert_eq!(second.message().await, heard("x", json!(["done"])));
    }

    #[tokio::test(start_paused = true)]
    async fn each_event_has_a_limit_of_its_own_or_all_share_one() {
        for (shared, expected) in [(false, 2), (true, 1)] {
            let gate = Arc::new(Semaphore::new(0));
            let inside = Counter::default();
            let router = EventRouter::new()
                .on("x", gated(&gate, &inside))
                .on("y", gated(&gate, &inside));
            let router = match shared {
                true => router.layer(GlobalConcurrencyLimitLayer::new(1)),
                false => router.layer(ConcurrencyLimitLayer::new(1)),
            };
            let app = served(anything(router, &["x", "y"]));
            let mut first = Ws::connect(&app, "ann").await;
            let mut second = Ws::connect(&app, "bob").await;

            first.emit("x", json!([])).await;
            second.emit("y", json!([])).await;
            settle().await;

            assert_eq!(inside.get(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn load_is_shed_through_layers_that_were_added_later() {
        let gate = Arc::new(Semaphore::new(0));
        let inside = Counter::default();
        let handler = gated(&gate, &inside).layer(ConcurrencyLimitLayer::new(1));
        let router = EventRouter::new()
            .on("x", handler)
            .layer(LoadShedLayer::new());
        let app = served(anything(router, &["x"]));
        let mut first = Ws::connect(&app, "ann").await;
        let mut second = Ws::connect(&app, "bob").await;

        first.emit("x", json!([])).await;
        settle().await;
        second.emit("x", json!([])).await;

        assert_eq!(second.message().await, failed("x", FAILED));
        gate.add_permits(1);
        assert_eq!(first.message().await, heard("x", json!(["done"])));
    }

    /// Fails when it is asked whether it is ready, the first time of all.
    #[derive(Clone)]
    struct FailsOnce<S>(S, Counter);

    impl<S: Service<Message, Error = BoxError>> Service<Message> for FailsOnce<S> {
        type Response = S::Response;
        type Error = BoxError;
        type Future = S::Future;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            match self.1.raise() {
                1 => Poll::Ready(Err("on purpose".into())),
                _ => self.0.poll_ready(cx),
            }
        }

        fn call(&mut self, message: Message) -> S::Future {
            self.0.call(message)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_that_fails_to_become_ready_fails_one_message() {
        let asked = Counter::default();
        let fails = layer_fn(move |route| FailsOnce(route, asked.clone()));
        let router = EventRouter::new()
            .on("who", whoami.layer(fails))
            .layer(ServiceBuilder::new());
        let app = served(router);
        let mut client = Ws::connect(&app, "ann").await;

        client.emit("who", json!([])).await;
        assert_eq!(client.message().await, failed("who", FAILED));
        client.emit("who", json!([])).await;
        assert_eq!(client.message().await, heard("who", json!(["ann", "who"])));
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_that_never_becomes_ready_holds_its_client_alone() {
        #[derive(Clone)]
        struct Never;

        impl Service<Message> for Never {
            type Response = Reply;
            type Error = Infallible;
            type Future = std::future::Ready<Result<Reply, Infallible>>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Pending
            }

            fn call(&mut self, _: Message) -> Self::Future {
                unreachable!("it is never ready")
            }
        }
        let router = EventRouter::new()
            .on_service("never", Never)
            .on("who", whoami);
        let layer = PrimacronLayer::in_memory()
            .hold_timeout(5 * SECOND)
            .router(anything(router, &["never"]));
        let app = app(layer);
        let before = tasks();
        let mut held = Ws::connect(&app, "held").await;
        let mut gone = Ws::connect(&app, "gone").await;
        let mut other = Ws::connect(&app, "other").await;

        held.emit("never", json!([])).await;
        gone.emit("never", json!([])).await;
        gone.send_packet("1").await;
        settle().await;
        other.emit("who", json!([])).await;

        assert_eq!(other.message().await["args"][0], "other");
        let start = Instant::now();
        assert_eq!(held.until_closed().await, Some(1000));
        assert!(start.elapsed() <= 5 * SECOND, "the limit of a handler");
        drop((held, gone, other));
        until_tasks(before).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_router_may_be_inside_a_middleware() {
        let router: EventRouter = EventRouter::new().on("who", whoami);
        let layer = PrimacronLayer::in_memory()
            .validators(&router)
            .service_for(move |_| {
                ServiceBuilder::new()
                    .rate_limit(1, SECOND)
                    .service(router.clone())
            });
        let app = app(layer);
        let mut client = Ws::connect(&app, "ann").await;

        client.emit("who", json!([])).await;
        client.emit("who", json!([])).await;

        client.message().await;
        assert!(is_stuck(client.message()).await, "one in a second");
        let mut other = Ws::connect(&app, "bob").await;
        other.emit("who", json!([])).await;
        assert_eq!(other.message().await["args"][0], "bob");
    }
}

mod building {
    use super::*;

    /// What building a router panics with.
    fn panic_of(build: impl FnOnce() -> EventRouter) -> String {
        let panic = catch_unwind(AssertUnwindSafe(build)).expect_err("it was built");
        *panic.downcast::<String>().expect("a text")
    }

    #[test]
    fn two_handlers_for_one_event_are_named() {
        let one = || EventRouter::new().on_service("a::b", service_fn(never));
        for text in [
            panic_of(|| one().on_service("a::b", service_fn(never))),
            panic_of(|| one().on("a::b", async |_: Message| ())),
            panic_of(|| one().merge(one())),
            panic_of(|| {
                let nested = EventRouter::new().on_service("b", service_fn(never));
                one().nest("a::", nested)
            }),
            panic_of(|| {
                let nested = EventRouter::new().on_service("b", service_fn(never));
                EventRouter::new()
                    .nest("a::", nested.clone())
                    .nest("a::", nested)
            }),
        ] {
            assert_eq!(text, r#"router has a handler for the event "a::b" already"#);
        }
    }

    async fn never(_: Message) -> Result<Reply, Infallible> {
        unreachable!("nobody calls it")
    }

    #[test]
    fn two_validators_for_one_event_are_named() {
        let text = r#"router has a validator for the event "move" already"#;
        assert_eq!(
            panic_of(|| EventRouter::new()
                .on("move", play)
                .validate("move", |_: &_, _: &_| true)),
            text
        );
        assert_eq!(
            panic_of(|| EventRouter::new()
                .validate("move", |_: &_, _: &_| true)
                .on("move", play)),
            text
        );
        let twice = catch_unwind(|| {
            PrimacronLayer::in_memory()
                .validate_as::<Move>("move")
                .router(EventRouter::new().on("move", play))
        });
        let text = *twice
            .expect_err("it was built")
            .downcast::<String>()
            .unwrap();
        assert_eq!(
            text,
            r#"validate has a validator for the event "move" already"#
        );
    }

    #[test]
    fn a_value_is_taken_once() {
        let text = panic_of(|| EventRouter::new().on("x", async |_: Data<u8>, _: Data<u8>| ()));
        let expected = r#"router has a handler for the event "x" that takes its value twice"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn there_is_one_fallback() {
        let one = || EventRouter::new().fallback(async |_: Message| ());
        assert_eq!(
            panic_of(|| one().merge(one())),
            r#"router has a fallback for events that begin with "" already"#
        );
        let nested = || EventRouter::new().nest("a::", one());
        assert_eq!(
            panic_of(|| nested().nest("a::", one())),
            r#"router has a fallback for events that begin with "a::" already"#
        );
    }

    #[test]
    fn a_fallback_brings_no_validator() {
        let text = catch_unwind(|| EventRouter::<()>::new().fallback(async |_: Data<u8>| ()))
            .map(drop)
            .expect_err("it was built");
        let text = *text.downcast::<&str>().unwrap();
        assert_eq!(text, "router has a fallback that brings a validator along");
    }

    #[test]
    fn debug_shows_the_events() {
        let router: EventRouter = EventRouter::new().on("move", play);
        assert_eq!(format!("{router:?}"), r#"{"move"}"#);
    }
}
