//! Spans of connections and messages, as a subscriber sees them.

#![cfg(all(feature = "testing", feature = "tracing"))]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::{
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::Router;
use primacron::{
    Args, Message, PrimacronLayer, PublicError, Transport, User,
    testing::{Client, ClientBuilder},
};
use tower::service_fn;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

/// What was heard: events with the spans around them, and spans that began and ended.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    events: Vec<String>,
    spans: Vec<String>,
    ended: usize,
    everything: String,
}

/// The fields of a span.
struct Fields(String);

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut text = Text::default();
        attributes.record(&mut text);
        let span = context.span(id).unwrap();
        let mut heard = self.0.lock().unwrap();
        let level = attributes.metadata().level();
        heard
            .spans
            .push(format!("{level} {}", attributes.metadata().name()));
        heard.everything.push_str(&text.0);
        span.extensions_mut().insert(Fields(text.0));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut text = Text::default();
        values.record(&mut text);
        let span = context.span(id).unwrap();
        self.0.lock().unwrap().everything.push_str(&text.0);
        span.extensions_mut().get_mut::<Fields>().unwrap().0 += &text.0;
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let mut line = String::new();
        for span in context.event_scope(event).into_iter().flatten() {
            let fields = span.extensions().get::<Fields>().unwrap().0.clone();
            line = format!("{}{fields} > {line}", span.name());
        }
        let mut heard = self.0.lock().unwrap();
        heard.everything.push_str(&text.0);
        heard.events.push(line + text.0.trim());
    }

    fn on_close(&self, _: Id, _: Context<'_, S>) {
        self.0.lock().unwrap().ended += 1;
    }
}

impl Log {
    /// Listens on this thread.
    fn listen(level: LevelFilter) -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = Registry::default().with(log.clone().with_filter(level));
        let guard = tracing::subscriber::set_default(subscriber);
        (log, guard)
    }

    /// The only event that holds this text.
    fn event(&self, text: &str) -> String {
        let heard = self.0.lock().unwrap();
        let found: Vec<_> = heard
            .events
            .iter()
            .filter(|event| event.contains(text))
            .collect();
        assert_eq!(found.len(), 1, "{text}: {:#?}", heard.events);
        // A number of the process, which other tests share.
        let (before, rest) = found[0].split_once(" id=").unwrap_or((found[0], ""));
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        format!("{before}{rest}")
    }

    fn spans(&self) -> Vec<String> {
        self.0.lock().unwrap().spans.clone()
    }
}

async fn handle(message: Message) -> Result<(), PublicError> {
    tracing::info!("begins {}", message.event());
    tokio::time::sleep(Duration::from_secs(1)).await;
    tracing::info!("goes on with {}", message.event());
    match message.event() {
        "fail" => Err(PublicError::new("no")),
        _ => Ok(()),
    }
}

fn app() -> Router {
    let layer = PrimacronLayer::in_memory()
        .validate("work", |_: &Args, _: &User| {
            tracing::info!("validates work");
            true
        })
        .validate_async("ask", async |_: Args, _: User| {
            tracing::info!("asks");
            tokio::time::sleep(Duration::from_secs(1)).await;
            tracing::info!("knows");
            true
        })
        .validate("fail", |_: &Args, _: &User| true)
        .validate("never", |_: &Args, _: &User| false)
        .service(service_fn(handle));
    Router::new().layer(layer)
}

fn ann(transport: Transport) -> ClientBuilder {
    Client::builder(&app()).account("ann").transport(transport)
}

const ON_WEBSOCKET: &str = r#"connection account="ann" transport="websocket" > "#;

#[tokio::test(start_paused = true)]
async fn what_a_handler_says_is_in_its_message_and_connection_across_awaits() {
    for transport in [Transport::Polling, Transport::WebSocket] {
        let (log, _guard) = Log::listen(LevelFilter::DEBUG);
        let mut ann = ann(transport).connect().await;

        ann.ask("work", ()).await.unwrap();

        let inside = format!(
            r#"connection account="ann" transport="{transport}" > message event="work" > "#
        );
        for said in ["begins work", "goes on with work"] {
            assert_eq!(log.event(said), format!("{inside}message={said}"));
        }
        let connected = log.event(r#"name="connect""#);
        assert!(connected.starts_with("connection account="), "{connected}");
        assert!(!connected.contains("> message"), "{connected}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_validators_say_is_in_the_message_too() {
    let (log, _guard) = Log::listen(LevelFilter::DEBUG);
    let mut ann = ann(Transport::WebSocket).connect().await;

    ann.ask("work", ()).await.unwrap();
    ann.ask("ask", ()).await.unwrap();

    for said in ["validates work", "asks", "knows"] {
        let event = log.event(&format!("message={said}"));
        assert_eq!(event, format!("{ON_WEBSOCKET}message > message={said}"));
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_and_failures_are_told_inside_their_message() {
    let (log, _guard) = Log::listen(LevelFilter::DEBUG);
    let mut ann = ann(Transport::WebSocket).connect().await;

    ann.ask("fail", ()).await.unwrap_err();
    ann.ask("never", ()).await.unwrap_err();
    ann.ask("unheard of", ()).await.unwrap_err();

    let failed = log.event("error::handler");
    assert!(
        failed.starts_with(&format!("{ON_WEBSOCKET}message event=\"fail\" > name=")),
        "{failed}"
    );
    for event in ["never", "unheard of"] {
        let refused = log.event(&format!(
            "error::validation\" account=\"ann\" event=\"{event}"
        ));
        assert!(
            refused.starts_with(&format!("{ON_WEBSOCKET}message > name=")),
            "{refused}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_span_a_connection_and_one_a_message_and_all_of_them_end() {
    let (log, _guard) = Log::listen(LevelFilter::DEBUG);
    let mut ann = ann(Transport::Polling).connect().await;
    ann.ask("work", ()).await.unwrap();
    ann.upgrade().await;
    ann.ask("never", ()).await.unwrap_err();
    ann.send_text("{");
    ann.ask("work", ()).await.unwrap();

    ann.close().await;
    tokio::time::sleep(Duration::from_secs(1)).await;

    let mut expected = vec!["INFO connection"];
    expected.extend(["DEBUG message"; 4]);
    assert_eq!(log.spans(), expected);
    assert_eq!(log.0.lock().unwrap().ended, 5);
}

#[tokio::test(start_paused = true)]
async fn at_info_there_is_the_span_of_the_connection_alone() {
    let (log, _guard) = Log::listen(LevelFilter::from_level(Level::INFO));
    let mut ann = ann(Transport::WebSocket).connect().await;

    ann.ask("work", ()).await.unwrap();

    assert_eq!(log.spans(), ["INFO connection"]);
    assert_eq!(
        log.event("begins"),
        format!("{ON_WEBSOCKET}message=begins work")
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_no_part_of_the_request_that_began_it() {
    let (log, _guard) = Log::listen(LevelFilter::DEBUG);
    let request = tracing::info_span!("request");
    let entered = request.enter();
    let mut ann = Box::pin(ann(Transport::Polling).connect()).await;
    drop(entered);

    ann.ask("work", ()).await.unwrap();

    assert!(log.event("begins").starts_with("connection "));
}

#[tokio::test(start_paused = true)]
async fn nothing_tells_a_socket_id_a_session_or_a_payload() {
    let (log, _guard) = Log::listen(LevelFilter::TRACE);
    for transport in [Transport::Polling, Transport::WebSocket] {
        let mut ann = ann(transport).connect().await;
        for event in ["work", "fail", "never", "ask"] {
            drop(ann.ask(event, ("a secret",)).await);
        }
        ann.send_text("{ a secret");
        ann.send_text("[\"a secret\"]");
        let (sid, session) = (ann.sid().to_owned(), ann.session().to_owned());
        ann.close().await;

        let heard = log.0.lock().unwrap();
        for secret in ["a secret", &sid, &session] {
            assert!(!heard.everything.contains(secret), "{secret}");
        }
    }
}
