//! What passes, what does not, and what client and application hear of it.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{
    convert::Infallible,
    error::Error,
    future::ready,
    sync::{Arc, Mutex},
    time::Duration,
};

use primacron::{
    Args, Handler, Message, Notice, Notices, PrimacronLayer, PublicError, Refusal, Reply,
    SendError, User, Verdict,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;
use tower::{BoxError, ServiceBuilder, service_fn};

use self::support::{App, Counter, Ws, app, asking, event, notice};

/// What a client hears of every failure that was not made for the public.
const FAILED: &str = "the message could not be handled";

/// One client of a layer, and what the application hears.
struct Talk {
    client: Ws,
    notices: Notices,
    _app: App,
}

impl Talk {
    async fn with(layer: PrimacronLayer, handler: impl Handler + Clone + Sync) -> Self {
        let layer = layer.service(handler);
        let notices = layer.handle().notices();
        let app = app(layer);
        Self {
            client: Ws::connect(&app, "ann").await,
            notices,
            _app: app,
        }
    }

    /// Sends a text and gives back the answer.
    async fn say(&mut self, message: &str) -> Value {
        self.client.send(message).await;
        self.client.message().await
    }

    async fn notice(&mut self, name: &str) -> Notice {
        notice(&mut self.notices, name).await
    }

    /// Sends what must be answered by silence.
    async fn hears_nothing(&mut self, message: &str) {
        self.client.send(message).await;
        let next = self.say(&asking(99, "open", json!([]))).await;
        assert_eq!(next["id"], 99, "{message} was answered with {next}");
    }
}

fn layer() -> PrimacronLayer {
    PrimacronLayer::in_memory().validate("open", |_: &_, _: &_| true)
}

fn report(name: &str, args: Value) -> Value {
    json!({"event": name, "args": args})
}

fn ack(id: u64, args: Value) -> Value {
    json!({"id": id, "args": args})
}

async fn echo(message: Message) -> Result<Reply, Infallible> {
    Ok(Reply::args(message.args().clone()))
}

/// Counts, and answers with the arguments.
fn counting(calls: &Counter) -> impl Handler + Clone + Sync + use<> {
    let calls = calls.clone();
    service_fn(move |message: Message| {
        calls.raise();
        echo(message)
    })
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_validator_is_refused() {
    let calls = Counter::default();
    let mut talk = Talk::with(layer(), counting(&calls)).await;

    let heard = talk.say(&event("chat", json!(["hi"]))).await;

    assert_eq!(
        heard,
        report(
            "error::validation",
            json!(["chat", "no validator for this event"])
        )
    );
    assert_eq!(calls.get(), 0);
    let Notice::Validation {
        event,
        error,
        raw,
        user,
        ..
    } = talk.notice("error::validation").await
    else {
        unreachable!()
    };
    assert_eq!(
        (&*event, error.text()),
        ("chat", "no validator for this event")
    );
    assert_eq!(raw.as_str(), Some(r#"{"args":["hi"],"event":"chat"}"#));
    assert_eq!(user.account(), "ann");
}

#[tokio::test(start_paused = true)]
async fn an_object_without_event_needs_a_validator_for_message() {
    let calls = Counter::default();
    let mut talk = Talk::with(layer(), counting(&calls)).await;
    let heard = talk.say(r#"{"text":"hi"}"#).await;
    assert_eq!(heard["args"][0], "message");
    assert_eq!(calls.get(), 0);

    let any = layer().validate("message", |args: &Args, _: &User| args.len() == 1);
    let mut talk = Talk::with(any, service_fn(echo)).await;
    let heard = talk.say(r#"{"text":"hi"}"#).await;
    assert_eq!(heard, report("message", json!([{"text": "hi"}])));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_never_reaches_anybody() {
    let calls = Counter::default();
    let asked = Counter::default();
    let count = asked.clone();
    let layer = PrimacronLayer::in_memory().validate("e", move |_: &_, _: &_| count.raise() > 0);
    let mut talk = Talk::with(layer, counting(&calls)).await;

    for (text, name) in [
        ("not json", "error::json"),
        (r#"{"event":"e"} x"#, "error::json"),
        ("", "error::json"),
        ("[1]", "error::invalid"),
        (r#"{"event":7}"#, "error::invalid"),
        (r#"{"event":"e","args":{}}"#, "error::invalid"),
        (r#"{"event":"e","id":-1}"#, "error::invalid"),
    ] {
        assert_eq!(talk.say(text).await, report(name, json!([])), "{text}");
        match talk.notice(name).await {
            Notice::Json { raw, user, .. } | Notice::Invalid { raw, user, .. } => {
                assert_eq!((raw.as_str(), user.account()), (Some(text), "ann"));
            }
            other => panic!("got {other:?}"),
        }
    }
    assert_eq!((asked.get(), calls.get()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_validator_decides_by_arguments_and_user() {
    let calls = Counter::default();
    let rules = layer()
        .validate("text", |args: &Args, user: &User| {
            match args.get::<&str>(0) {
                Ok(_) if user.account() != "ann" => Err("not you".to_owned()),
                Ok(text) if text.len() > 5 => Err(format!("{} bytes are too many", text.len())),
                Ok(_) => Ok(()),
                Err(_) => Err("no text".to_owned()),
            }
        })
        .validate("flag", |args: &Args, _: &User| {
            args.get::<bool>(0).unwrap_or(false)
        })
        .validate("verdict", |_: &Args, _: &User| {
            Verdict::refuse(Refusal::new("as it is"))
        });
    let mut talk = Talk::with(rules, counting(&calls)).await;

    for (name, args, text) in [
        ("text", json!(["too long"]), "8 bytes are too many"),
        ("text", json!([]), "no text"),
        ("flag", json!([false]), "failed to validate the data"),
        ("verdict", json!([]), "as it is"),
    ] {
        let heard = talk.say(&event(name, args)).await;
        assert_eq!(heard, report("error::validation", json!([name, text])));
    }
    assert_eq!(calls.get(), 0);
    assert_eq!(
        talk.say(&event("text", json!(["short"]))).await,
        report("text", json!(["short"]))
    );
    assert_eq!(
        talk.say(&event("flag", json!([true]))).await,
        report("flag", json!([true]))
    );
    assert_eq!(calls.get(), 2);
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Move {
    from: String,
    to: String,
}

/// What a handler found in its message.
#[derive(Clone, Default)]
struct Found(Arc<Mutex<Vec<String>>>);

impl Found {
    fn handler(&self) -> impl Handler + Clone + Sync + use<> {
        let found = self.clone();
        service_fn(move |mut message: Message| {
            let borrowed = message.data::<Move>().map(|it| it.from.clone());
            let other = message.take_data::<u8>();
            let pair = message.data::<(String, u32)>().cloned();
            let owned = message.take_data::<Move>().map(|it| it.to);
            let after = message.data::<Move>().is_none();
            let text = format!("{borrowed:?} {other:?} {pair:?} {owned:?} {after}");
            found.0.lock().unwrap().push(text);
            ready(Ok::<_, Infallible>(Reply::args(("done",))))
        })
    }

    fn last(&self) -> String {
        self.0.lock().unwrap().pop().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn the_parsed_value_reaches_the_handler() {
    let found = Found::default();
    let shapes = layer()
        .validate_as::<Move>("move")
        .validate_as::<(String, u32)>("pair");
    let mut talk = Talk::with(shapes, found.handler()).await;

    talk.say(&event("move", json!([{"from": "e2", "to": "e4"}])))
        .await;
    assert_eq!(found.last(), r#"Some("e2") None None Some("e4") true"#);

    talk.say(&event("pair", json!(["a", 7]))).await;
    assert_eq!(found.last(), r#"None None Some(("a", 7)) None true"#);
}

#[tokio::test(start_paused = true)]
async fn a_shape_that_does_not_fit_is_refused() {
    let calls = Counter::default();
    let shapes = layer()
        .validate_as::<Move>("move")
        .validate_as::<(String, u32)>("pair");
    let mut talk = Talk::with(shapes, counting(&calls)).await;

    for (name, args) in [
        ("move", json!([{"from": "e2"}])),
        ("move", json!([])),
        ("move", json!(["e2"])),
        ("pair", json!(["a"])),
        ("pair", json!(["a", -1])),
        ("pair", json!(["a", 1, 2])),
    ] {
        let heard = talk.say(&event(name, args.clone())).await;
        assert_eq!(heard["event"], "error::validation", "{name} {args}");
        assert_eq!(heard["args"][0], name);
    }
    assert_eq!(calls.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_reads_neither_its_message_nor_our_types_in_a_refusal() {
    let shapes = layer()
        .validate_as::<Move>("move")
        .validate_as::<(String, u32)>("pair");
    let mut talk = Talk::with(shapes, service_fn(echo)).await;

    let shape = talk.say(&event("move", json!(["a-secret"]))).await;
    let pair = talk.say(&event("pair", json!(["x", "a-secret"]))).await;

    for heard in [shape, pair] {
        let text = heard["args"][1].as_str().unwrap();
        assert!(!text.contains("secret"), "the message in {text}");
        assert!(
            !text.contains("Move") && !text.contains("String"),
            "a type in {text}"
        );
    }
    let Notice::Validation { error, .. } = talk.notice("error::validation").await else {
        unreachable!()
    };
    let cause = error
        .source()
        .expect("the application may know")
        .to_string();
    assert!(
        cause.contains("Move") && cause.contains("a-secret"),
        "{cause}"
    );
}

#[tokio::test(start_paused = true)]
async fn rules_come_after_the_shape() {
    let calls = Counter::default();
    let rules = layer().validate_with("move", |it: &Move, user: &User| {
        if it.from == it.to {
            Err(format!("{} stands still", user.account()))
        } else {
            Ok(())
        }
    });
    let mut talk = Talk::with(rules, counting(&calls)).await;

    let still = talk
        .say(&event("move", json!([{"from": "e2", "to": "e2"}])))
        .await;
    assert_eq!(
        still,
        report("error::validation", json!(["move", "ann stands still"]))
    );
    talk.say(&event("move", json!([1]))).await;
    assert_eq!(calls.get(), 0);

    talk.say(&event("move", json!([{"from": "e2", "to": "e4"}])))
        .await;
    assert_eq!(calls.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_validator_may_ask_somebody() {
    let calls = Counter::default();
    let asks = layer().validate_async("slow", |args: Args, user: User| async move {
        sleep(Duration::from_secs(3)).await;
        match (args.get::<&str>(0), user.account()) {
            (Ok("good"), "ann") => Ok(()),
            (Ok("bad"), "ann") => Err("asked, and no"),
            _ => panic!("somebody asked something else"),
        }
    });
    let mut talk = Talk::with(asks, counting(&calls)).await;

    talk.client
        .send_all([
            event("slow", json!(["good"])),
            event("slow", json!(["bad"])),
            event("slow", json!(["other"])),
            event("open", json!([])),
        ])
        .await;

    assert_eq!(talk.client.message().await, report("slow", json!(["good"])));
    let refused = report("error::validation", json!(["slow", "asked, and no"]));
    assert_eq!(talk.client.message().await, refused);
    let panicked = report("error::validation", json!(["slow", "validator failed"]));
    assert_eq!(talk.client.message().await, panicked);
    assert_eq!(
        talk.client.message().await,
        report("open", json!([])),
        "and it comes last"
    );
    assert_eq!(calls.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_a_validator_returns_is_what_the_handler_sees() {
    fn upper(args: &Args, _: &User) -> Result<Args, String> {
        let text: String = args.get(0).map_err(|_| "no text")?;
        Ok(Args::from_values(vec![json!(text.to_uppercase())]))
    }
    let transforming = layer().validate("now", upper).validate_async(
        "later",
        |args: Args, user: User| async move {
            sleep(Duration::from_secs(1)).await;
            upper(&args, &user)
        },
    );
    let raw = service_fn(|message: Message| {
        let raw = message.raw_input().as_str().unwrap().to_owned();
        let text = message.args().get::<String>(0).unwrap();
        ready(Ok::<_, Infallible>(Reply::args((text, raw))))
    });
    let mut talk = Talk::with(transforming, raw).await;

    for name in ["now", "later"] {
        let sent = event(name, json!(["abc"]));
        assert_eq!(talk.say(&sent).await, report(name, json!(["ABC", sent])));
        let refused = talk.say(&event(name, json!([]))).await;
        assert_eq!(
            refused,
            report("error::validation", json!([name, "no text"]))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_validator_that_panics_refuses() {
    let calls = Counter::default();
    let panics = layer()
        .validate("panic", |_: &Args, _: &User| -> bool {
            panic!("on purpose")
        })
        .validate_async("panic-later", |_: Args, _: User| async {
            panic!("on purpose") as bool
        });
    let mut talk = Talk::with(panics, counting(&calls)).await;

    for name in ["panic", "panic-later"] {
        let heard = talk.say(&event(name, json!([]))).await;
        assert_eq!(
            heard,
            report("error::validation", json!([name, "validator failed"]))
        );
    }
    assert_eq!(calls.get(), 0);
    assert_eq!(
        talk.say(&event("open", json!([]))).await,
        report("open", json!([]))
    );
}

/// Answers by the name of the event.
async fn answers(message: Message) -> Result<Reply, BoxError> {
    Ok(match message.event() {
        "nothing" => Reply::none(),
        "args" => Reply::args(("a", 1)),
        "event" => Reply::event("other", ("b",)),
        "option" => None::<Value>.into(),
        "public" => return Err(PublicError::new("the game is over").into()),
        "secret" => return Err("SELECT password FROM users".into()),
        "panic" => panic!("on purpose"),
        "reserved" => Reply::event("error::json", ()),
        "unprintable" => Reply::args((std::collections::HashMap::from([((1, 2), 3)]),)),
        "long" => return Err(PublicError::new("ü".repeat(1000)).into()),
        "slow" => {
            sleep(Duration::from_secs(60)).await;
            Reply::none()
        }
        _ => Reply::args(message.args().clone()),
    })
}

fn all() -> PrimacronLayer {
    [
        "nothing",
        "args",
        "event",
        "option",
        "public",
        "secret",
        "panic",
        "reserved",
        "unprintable",
        "long",
        "slow",
    ]
    .into_iter()
    .fold(layer(), |layer, name| {
        layer.validate(name, |_: &Args, _: &User| true)
    })
}

#[tokio::test(start_paused = true)]
async fn a_message_with_an_id_gets_the_reply_as_its_acknowledgement() {
    let mut talk = Talk::with(all(), service_fn(answers)).await;

    for (name, heard) in [
        ("nothing", json!([])),
        ("option", json!([])),
        ("args", json!(["a", 1])),
        ("event", json!(["b"])),
    ] {
        let sent = asking(u64::MAX, name, json!([]));
        assert_eq!(talk.say(&sent).await, ack(u64::MAX, heard), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_without_an_id_gets_events() {
    let mut talk = Talk::with(all(), service_fn(answers)).await;

    talk.hears_nothing(&event("nothing", json!([]))).await;
    talk.hears_nothing(&event("option", json!([]))).await;
    assert_eq!(
        talk.say(&event("args", json!([]))).await,
        report("args", json!(["a", 1]))
    );
    assert_eq!(
        talk.say(&event("event", json!([]))).await,
        report("other", json!(["b"]))
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_an_event_and_an_answer() {
    let mut talk = Talk::with(all(), service_fn(answers)).await;

    for (name, text) in [
        ("public", "the game is over"),
        ("secret", FAILED),
        ("panic", FAILED),
        ("unprintable", FAILED),
    ] {
        let heard = talk.say(&asking(5, name, json!([]))).await;
        assert_eq!(heard, report("error::handler", json!([name, text])));
        assert_eq!(talk.client.message().await, json!({"id": 5, "error": text}));
        let Notice::Handler { event, user, .. } = talk.notice("error::handler").await else {
            unreachable!()
        };
        assert_eq!((&*event, user.account()), (name, "ann"));
    }
    let refused = talk.say(&asking(6, "unknown", json!([]))).await;
    assert_eq!(refused["event"], "error::validation");
    let answer = json!({"id": 6, "error": "no validator for this event"});
    assert_eq!(talk.client.message().await, answer);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_handles_the_next_message() {
    let mut talk = Talk::with(all(), service_fn(answers)).await;

    let heard = talk.say(&event("panic", json!([]))).await;

    assert_eq!(heard, report("error::handler", json!(["panic", FAILED])));
    assert_eq!(
        talk.say(&event("open", json!([1]))).await,
        report("open", json!([1]))
    );
    let Notice::Handler { error, .. } = talk.notice("error::handler").await else {
        unreachable!()
    };
    assert_eq!(error.to_string(), "handler panicked");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_when_called_handles_the_next_message() {
    let handler = service_fn(|message: Message| {
        assert_ne!(message.event(), "panic", "on purpose");
        ready(Ok::<_, Infallible>(Reply::args(("fine",))))
    });
    let mut talk = Talk::with(all(), handler).await;

    let heard = talk.say(&event("panic", json!([]))).await;

    assert_eq!(heard, report("error::handler", json!(["panic", FAILED])));
    assert_eq!(
        talk.say(&event("open", json!([]))).await,
        report("open", json!(["fine"]))
    );
}

#[tokio::test(start_paused = true)]
async fn a_public_text_comes_through_layers_and_others_stay_private() {
    let handler = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(10)
        .timeout(Duration::from_secs(5))
        .service(service_fn(answers));
    let mut talk = Talk::with(all(), handler).await;

    let public = talk.say(&event("public", json!([]))).await;
    assert_eq!(public["args"], json!(["public", "the game is over"]));
    let secret = talk.say(&event("secret", json!([]))).await;
    assert_eq!(secret["args"], json!(["secret", FAILED]));
    let late = talk.say(&event("slow", json!([]))).await;
    assert_eq!(late["args"], json!(["slow", FAILED]));

    let mut told = Vec::new();
    for _ in 0..3 {
        let Notice::Handler { error, .. } = talk.notice("error::handler").await else {
            unreachable!()
        };
        told.push(error.to_string());
    }
    assert_eq!(
        told,
        [
            "the game is over",
            "SELECT password FROM users",
            "request timed out"
        ]
    );
}

#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Outer(#[source] PublicError);

#[tokio::test(start_paused = true)]
async fn a_public_text_is_found_among_the_sources() {
    let wraps = service_fn(|_: Message| ready(Err::<Reply, _>(Outer(PublicError::new("inner")))));
    let mut talk = Talk::with(layer(), wraps).await;

    let heard = talk.say(&event("open", json!([]))).await;

    assert_eq!(heard, report("error::handler", json!(["open", "inner"])));
}

#[tokio::test(start_paused = true)]
async fn a_client_hears_256_bytes_at_most() {
    let verbose = all().validate("verbose", |_: &Args, _: &User| {
        Verdict::refuse(Refusal::new("x".repeat(10_000)))
    });
    let mut talk = Talk::with(verbose, service_fn(answers)).await;
    let text = |heard: &Value, at: usize| heard["args"][at].as_str().unwrap().len();

    let heard = talk.say(&event("verbose", json!([]))).await;
    assert_eq!(text(&heard, 1), 256);

    let heard = talk.say(&asking(1, "long", json!([]))).await;
    assert_eq!(text(&heard, 1), 256, "and no character is cut in two");
    let answer = talk.client.message().await;
    assert_eq!(answer["error"].as_str().unwrap().len(), 256);

    let heard = talk.say(&event(&"n".repeat(10_000), json!([]))).await;
    assert_eq!(text(&heard, 0), 256);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_reported_to_a_client_that_is_not_to_hear_it() {
    let mut talk = Talk::with(all().report_to_client(false), service_fn(answers)).await;

    for message in [
        "not json",
        "[]",
        r#"{"event":"unknown"}"#,
        r#"{"event":"panic"}"#,
    ] {
        talk.hears_nothing(message).await;
    }
    for name in [
        "error::json",
        "error::invalid",
        "error::validation",
        "error::handler",
    ] {
        talk.notice(name).await;
    }
    let answer = talk.say(&asking(3, "secret", json!([]))).await;
    assert_eq!(
        answer,
        json!({"id": 3, "error": FAILED}),
        "an answer that was asked for"
    );
}

#[tokio::test(start_paused = true)]
async fn names_of_errors_are_reserved_on_the_way_out() {
    let sends = service_fn(|message: Message| async move {
        let socket = message.socket();
        let refusals = [
            socket.try_send("error::json", ()),
            socket.try_send_volatile("error::", ()),
            socket.send("error::mine", ()).await,
        ];
        let all = refusals
            .iter()
            .all(|it| matches!(it, Err(SendError::ReservedEvent)));
        Ok::<_, Infallible>(Reply::args((all,)))
    });
    let mut talk = Talk::with(layer(), sends).await;

    assert_eq!(
        talk.say(&event("open", json!([]))).await,
        report("open", json!([true]))
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_cannot_answer_with_the_name_of_an_error() {
    let reserved = all().validate("error::mine", |_: &Args, _: &User| true);
    let mut talk = Talk::with(reserved, service_fn(answers)).await;

    for name in ["reserved", "error::mine"] {
        let heard = talk.say(&event(name, json!([]))).await;
        assert_eq!(heard, report("error::handler", json!([name, FAILED])));
        let Notice::Handler { error, .. } = talk.notice("error::handler").await else {
            unreachable!()
        };
        assert_eq!(error.to_string(), "event name is reserved");
    }
    let answer = talk.say(&asking(1, "reserved", json!([]))).await;
    assert_eq!(answer, ack(1, json!([])), "an answer has no name");
}

#[derive(Clone, Debug, PartialEq)]
struct Login(&'static str);

#[tokio::test(start_paused = true)]
async fn a_message_knows_its_user_and_what_was_kept_of_the_handshake() {
    let handler = service_fn(|message: Message| {
        let user = message.user();
        let login = message.extensions().get::<Login>().map(|login| login.0);
        let other = message.socket().extensions().get::<u8>().is_some();
        let all = json!([
            message.event(),
            user.account(),
            user.session(),
            login,
            other
        ]);
        ready(Ok::<_, Infallible>(all))
    });
    let layer = layer().keep::<Login>().service(handler);
    let app = app(layer)
        .layer(axum::Extension(Login("by cookie")))
        .layer(axum::Extension(7_u8));
    let mut client = Ws::connect(&app, "ann").await;

    client.emit("open", json!([])).await;

    let known = json!(["open", "ann", client.session, "by cookie", false]);
    assert_eq!(client.message().await["args"], known);
}
