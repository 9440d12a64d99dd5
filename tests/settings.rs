//! Settings that make no sense: a panic in a setter, an error in a `Config`, and both name the setting.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{
    convert::Infallible,
    future::ready,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use primacron::{Args, Config, ConfigError, Message, PrimacronLayer, Transport, User};
use serde_json::Value;

use self::support::{app, get};

fn layer() -> PrimacronLayer {
    PrimacronLayer::in_memory()
}

/// The text of the panic that a setter ends in.
#[track_caller]
fn panic_of(set: impl FnOnce(PrimacronLayer) -> PrimacronLayer) -> String {
    let caller = std::panic::Location::caller();
    match catch_unwind(AssertUnwindSafe(|| set(layer()))) {
        Ok(_) => panic!("the setter at {caller} took the value"),
        Err(panic) => *panic.downcast::<String>().expect("the panic has a text"),
    }
}

fn configure(json: &str) -> Result<PrimacronLayer, ConfigError> {
    layer().configure(&serde_json::from_str::<Config>(json).unwrap())
}

/// The open packet of a layer's handshake.
async fn open_packet(layer: PrimacronLayer, uri: &str) -> Value {
    let handler = tower::service_fn(|_: Message| ready(Ok::<_, Infallible>(())));
    let (_, body) = get(&app(layer.service(handler)), uri).await;
    serde_json::from_str(&body[1..]).expect(&body)
}

#[test]
fn a_path_names_something_below_the_root() {
    for path in ["", "/", "stream", "stream/", "/a?b", "/a#b"] {
        let text = panic_of(|layer| layer.path(path));
        assert_eq!(
            text, "path must begin with a slash and name something",
            "{path}"
        );
    }
}

#[test]
fn what_is_advertised_makes_an_address_with_the_path() {
    const PROBLEM: &str =
        "must be ASCII without |, and with what is advertised and the path at most 512 bytes";
    let long = format!("/{}", "x".repeat(500));
    for path in ["/a|b", "/caf\u{e9}", &long] {
        let advertise = |layer: PrimacronLayer| layer.advertise("http://10.0.0.1:3000");
        let text = panic_of(|layer| advertise(layer.path(path)));
        assert_eq!(text, format!("advertise {PROBLEM}"), "{path}");
        let text = panic_of(|layer| advertise(layer).path(path));
        assert_eq!(text, format!("path {PROBLEM}"), "{path}");

        let config = serde_json::json!({"path": path, "advertise": "http://10.0.0.1:3000"});
        let error = configure(&config.to_string()).unwrap_err();
        assert_eq!(error.setting(), "advertise", "{path}");
        drop(layer().path(path));
    }
    drop(layer().path("/a/b").advertise("http://10.0.0.1:3000/x"));
}

#[test]
fn there_is_a_transport() {
    assert_eq!(
        panic_of(|layer| layer.transports(&[])),
        "transports must not be empty"
    );
}

#[test]
fn times_are_between_a_millisecond_and_a_year() {
    type Setter = fn(PrimacronLayer, Duration) -> PrimacronLayer;
    let setters: [(&str, Setter); 4] = [
        ("ping_interval", PrimacronLayer::ping_interval),
        ("ping_timeout", PrimacronLayer::ping_timeout),
        ("upgrade_timeout", PrimacronLayer::upgrade_timeout),
        ("hold_timeout", PrimacronLayer::hold_timeout),
    ];
    for (name, set) in setters {
        for short in [Duration::ZERO, Duration::from_micros(999)] {
            let text = panic_of(|layer| set(layer, short));
            assert_eq!(text, format!("{name} must be at least a millisecond"));
        }
        for long in [Duration::MAX, Duration::from_secs(366 * 24 * 3600)] {
            let text = panic_of(|layer| set(layer, long));
            assert_eq!(text, format!("{name} must be at most a year"));
        }
        drop(set(layer(), Duration::from_millis(1)));
        drop(set(layer(), Duration::from_secs(365 * 24 * 3600)));
    }
}

#[test]
fn sizes_and_numbers_are_usable() {
    let texts = [
        (
            panic_of(|it| it.max_payload(15)),
            "max_payload must be at least 16 bytes",
        ),
        (
            panic_of(|it| it.max_packets(0)),
            "max_packets must not be zero",
        ),
        (
            panic_of(|it| it.queue_limit(1023)),
            "queue_limit must be at least 1024 bytes",
        ),
        (
            panic_of(|it| it.concurrency(0)),
            "concurrency must not be zero",
        ),
    ];
    for (text, expected) in texts {
        assert_eq!(text, expected);
    }
    drop(
        layer()
            .max_payload(16)
            .max_packets(1)
            .queue_limit(1024)
            .concurrency(1),
    );
}

#[test]
fn an_initial_packet_is_one_packet() {
    let text = panic_of(|layer| layer.initial_packet("a\u{1e}b"));
    assert_eq!(text, "initial_packet must not contain U+001E");
}

#[test]
fn a_cookie_has_a_name() {
    for name in ["", "a b", "a=b", "a;b", "ü", "a\r\n"] {
        assert_eq!(
            panic_of(|layer| layer.cookie(name)),
            "cookie must be a cookie name"
        );
    }
}

#[test]
fn origins_are_origins() {
    for origin in [
        "",
        "example.com",
        "https://",
        "https://a/b",
        "://a",
        "https://a b",
    ] {
        let text = panic_of(|layer| layer.allowed_origins([origin]));
        let expected = "allowed_origins must be origins like https://example.com, or *";
        assert_eq!(text, expected, "{origin}");
    }
    drop(layer().allowed_origins(["*", "https://a:8080", "capacitor://localhost"]));
}

#[test]
fn an_event_has_one_validator() {
    let twice = |set: fn(PrimacronLayer) -> PrimacronLayer| {
        panic_of(|layer| set(layer.validate("chat", |_: &Args, _: &User| true)))
    };
    for text in [
        twice(|layer| layer.validate("chat", |_: &Args, _: &User| true)),
        twice(|layer| layer.validate_as::<u32>("chat")),
        twice(|layer| layer.validate_with("chat", |_: &u32, _: &User| Ok::<(), String>(()))),
        twice(|layer| layer.validate_async("chat", |_: Args, _: User| ready(true))),
    ] {
        assert_eq!(
            text,
            r#"validate has a validator for the event "chat" already"#
        );
    }
}

#[test]
fn a_config_error_names_its_setting() {
    for (json, setting) in [
        (r#"{"path": "stream"}"#, "path"),
        (r#"{"transports": []}"#, "transports"),
        (
            r#"{"transports": ["polling", "carrier-pigeon"]}"#,
            "transports",
        ),
        (r#"{"ping_interval_ms": 0}"#, "ping_interval"),
        (r#"{"ping_timeout_ms": 0}"#, "ping_timeout"),
        (
            r#"{"upgrade_timeout_ms": 18446744073709551615}"#,
            "upgrade_timeout",
        ),
        (r#"{"hold_timeout_ms": 0}"#, "hold_timeout"),
        (r#"{"max_payload": 1}"#, "max_payload"),
        (r#"{"max_packets": 0}"#, "max_packets"),
        (r#"{"allowed_origins": ["example.com"]}"#, "allowed_origins"),
        (r#"{"queue_limit": 0}"#, "queue_limit"),
        (r#"{"concurrency": 0}"#, "concurrency"),
    ] {
        let error = configure(json).expect_err(json);
        assert_eq!(error.setting(), setting);
        assert!(error.to_string().starts_with(setting), "{error}");
    }
}

#[test]
fn unknown_keys_and_wrong_types_are_refused() {
    for (json, named) in [
        (r#"{"ping_interval": 1}"#, "ping_interval"),
        (r#"{"Path": "/a"}"#, "Path"),
        (r#"{"queue_policy": "explode"}"#, "explode"),
        (r#"{"max_payload": -1}"#, "-1"),
        (r#"{"concurrency": "2"}"#, "\"2\""),
    ] {
        let error = serde_json::from_str::<Config>(json).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn an_empty_config_changes_nothing() {
    let before = format!("{:?}", layer());
    assert_eq!(format!("{:?}", configure("{}").unwrap()), before);
}

#[tokio::test(start_paused = true)]
async fn what_a_config_sets_is_in_force() {
    let layer = configure(
        r#"{"path": "/live", "transports": ["polling"], "ping_interval_ms": 1000,
            "ping_timeout_ms": 2000, "max_payload": 300, "handshake_data": false,
            "allow_upgrades": true, "report_to_client": true, "queue_policy": "drop_volatile"}"#,
    );

    let open = open_packet(layer.unwrap(), "/live/?EIO=4&transport=polling&account=ann").await;

    assert_eq!(
        (&open["pingInterval"], &open["pingTimeout"]),
        (&1000.into(), &2000.into())
    );
    assert_eq!(
        (&open["maxPayload"], &open["upgrades"]),
        (&300.into(), &Value::Array(vec![]))
    );
    assert_eq!(
        open.as_object().unwrap().len(),
        5,
        "no session and no account: {open}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_defaults_are_those_of_the_docs() {
    let open = open_packet(layer(), "/stream/?EIO=4&transport=polling&account=ann").await;

    assert_eq!(
        (&open["pingInterval"], &open["pingTimeout"]),
        (&25_000.into(), &20_000.into())
    );
    assert_eq!(open["maxPayload"], 1_000_000);
    assert_eq!(open["upgrades"], serde_json::json!(["websocket"]));
    assert_eq!(open["account"], "ann");
    assert_eq!(open["session"].as_str().map(str::len), Some(22));
}

#[tokio::test(start_paused = true)]
async fn without_upgrades_or_websockets_none_is_offered() {
    let uri = "/stream/?EIO=4&transport=polling&account=ann";
    for layer in [
        layer().allow_upgrades(false),
        layer().transports(&[Transport::Polling]),
    ] {
        assert_eq!(
            open_packet(layer, uri).await["upgrades"],
            Value::Array(vec![])
        );
    }
}
