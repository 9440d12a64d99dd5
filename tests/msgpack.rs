//! Messages as MessagePack: what is read as in JSON, what is not, and both transports.

#![cfg(feature = "msgpack")]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::net::{IpAddr, Ipv4Addr};

use axum::http::StatusCode;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use primacron::{
    Args, ArgsError, Codec, DecodeFailure, Envelope, IntoArgs, Json, Message, MsgPack, Outgoing,
    PrimacronLayer, RawInput, Reply, User, WireKind,
    router::{Data, EventRouter},
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::support::{App, Incoming, Polling, Ws, app};

/// A value in MessagePack, maps as maps.
fn packed(value: impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
    value.serialize(&mut serializer).unwrap();
    bytes
}

fn unpacked(bytes: &[u8]) -> Value {
    rmp_serde::from_slice(bytes).unwrap()
}

fn decode(bytes: impl Into<Bytes>) -> Result<Envelope, DecodeFailure> {
    MsgPack.decode(&RawInput::from(bytes.into()))
}

/// The arguments of a message that has these.
fn args(value: impl Serialize) -> Args {
    let message = [
        &[0x82][..],
        &packed("event"),
        &packed("e"),
        &packed("args"),
        &packed(value),
    ];
    decode(message.concat()).unwrap().args().clone()
}

fn encoded(message: &Outgoing<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let kind = MsgPack.encode(message, &mut out).unwrap();
    assert_eq!(kind, WireKind::Binary);
    out
}

fn is_malformed(bytes: impl Into<Bytes>) -> bool {
    matches!(decode(bytes), Err(DecodeFailure::Malformed(_)))
}

mod envelopes {
    use super::*;

    #[test]
    fn an_envelope_has_event_args_and_id_in_any_order() {
        let envelope = decode(packed(json!({
            "x": [1, {}], "id": 7, "args": [1, "b"], "event": "chat",
        })))
        .unwrap();
        assert_eq!((envelope.event(), envelope.id()), ("chat", Some(7)));
        assert_eq!(envelope.args().all::<(u8, &str)>().unwrap(), (1, "b"));
    }

    #[test]
    fn args_may_be_missing() {
        let envelope = decode(packed(json!({"event": "e"}))).unwrap();
        assert!(envelope.args().is_empty() && envelope.id().is_none());
    }

    #[test]
    fn a_map_without_event_is_the_only_argument_of_message() {
        let object = json!({"text": "hi", "args": 5, "id": 3});
        let envelope = decode(packed(&object)).unwrap();
        assert_eq!((envelope.event(), envelope.id()), ("message", Some(3)));
        assert_eq!(envelope.args().all::<(Value,)>().unwrap(), (object,));
    }

    #[test]
    fn what_is_no_message_is_invalid() {
        for value in [
            json!(null),
            json!(5),
            json!("text"),
            json!(["event"]),
            json!({"event": 5}),
            json!({"event": null}),
            json!({"event": "a", "args": {}}),
            json!({"event": "a", "args": null}),
            json!({"event": "a", "id": -1}),
            json!({"event": "a", "id": 1.5}),
            json!({"event": "a", "id": "1"}),
            json!({"id": null}),
        ] {
            let decoded = decode(packed(&value));
            assert!(matches!(decoded, Err(DecodeFailure::Invalid(_))), "{value}");
        }
        let twice = [
            &[0x82][..],
            &packed(("event", "a"))[1..],
            &packed(("event", "a"))[1..],
        ];
        assert!(matches!(
            decode(twice.concat()),
            Err(DecodeFailure::Invalid(_))
        ));
    }

    #[test]
    fn what_is_not_messagepack_is_malformed() {
        let good = packed(json!({"event": "e", "args": [1, "text", [2.5]]}));
        for end in 0..good.len() {
            assert!(is_malformed(good[..end].to_vec()), "cut at {end}");
        }
        assert!(is_malformed([&good[..], &[0xc0]].concat()), "two values");
        assert!(is_malformed(vec![0xc1]));
        assert!(
            is_malformed(vec![0x81, 0xa1, b'k', 0xa1, 0xff]),
            "not UTF-8"
        );
        assert!(is_malformed(vec![0xdf, 0xff, 0xff, 0xff, 0xff]));
        let text = MsgPack.decode(&RawInput::from("{}"));
        assert!(matches!(text, Err(DecodeFailure::Malformed(_))));
    }

    #[test]
    fn what_is_nested_too_deeply_is_refused() {
        let nested = |depth: usize| {
            let args = [vec![0x91; depth], vec![0xc0]].concat();
            let head = [&[0x82][..], &packed(("event", "e"))[1..], &packed("args")].concat();
            decode([head, args].concat())
        };
        let deepest = nested(128).unwrap();
        let read = deepest.args().get::<Value>(0);
        assert!(read.is_ok(), "and can be read: {read:?}");
        for depth in [129, 1_000_000] {
            assert!(matches!(nested(depth), Err(DecodeFailure::Malformed(_))));
        }
    }

    #[test]
    fn an_id_may_be_written_in_any_width() {
        for id in [&[5][..], &[0xcc, 5], &[0xd3, 0, 0, 0, 0, 0, 0, 0, 5]] {
            let message = [&[0x82][..], &packed(("event", "e"))[1..], &packed("id"), id];
            assert_eq!(decode(message.concat()).unwrap().id(), Some(5));
        }
    }

    #[test]
    fn keys_of_other_kinds_mean_nothing() {
        let message = [&[0x82, 5, 6][..], &packed(("event", "e"))[1..]];
        assert_eq!(decode(message.concat()).unwrap().event(), "e");
    }

    #[test]
    fn events_and_answers_are_written() {
        let args = ("a", 2);
        let event = encoded(&Outgoing::new("x", args.as_args()));
        assert_eq!(unpacked(&event), json!({"event": "x", "args": ["a", 2]}));
    }
}

mod arguments {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize, Serialize)]
    struct Move {
        from: String,
        to: Option<u8>,
    }

    #[test]
    fn they_are_read_as_in_json() {
        let two = args(json!(["a", 2]));
        assert_eq!((two.len(), two.is_empty()), (2, false));
        assert_eq!(two.get::<&str>(0), Ok("a"));
        assert_eq!(two.get::<u8>(1), Ok(2));
        assert_eq!(two.get::<f64>(1), Ok(2.0));
        assert_eq!(two.get::<u8>(2), Err(ArgsError::Missing(2)));
        assert_eq!(two.parse::<(&str, u8)>().unwrap(), ("a", 2));
        assert_eq!(two.parse::<Option<(&str, u8)>>().unwrap(), Some(("a", 2)));
        assert!(two.all::<(&str,)>().is_err(), "more than that takes");
        assert!(
            two.all::<(&str, u8, u8)>().is_err(),
            "fewer than that takes"
        );
        assert!(matches!(two.get::<u8>(0), Err(ArgsError::Mismatch { .. })));
        assert_eq!(two.as_json(), None);

        let one = args(json!([{"from": "e2", "to": null}]));
        let expected = Move {
            from: "e2".into(),
            to: None,
        };
        assert_eq!(one.parse::<Move>().unwrap(), expected);
        assert_eq!(one.all::<(Move,)>().unwrap(), (expected,));

        let none = args(json!([]));
        assert_eq!((none.len(), none.is_empty()), (0, true));
        assert_eq!(none.parse::<()>(), Ok(()));
        assert_eq!(none.parse::<Option<u8>>(), Ok(None));
        assert_eq!(none.all::<Vec<u8>>(), Ok(vec![]));
    }

    #[test]
    fn types_look_as_they_do_in_json() {
        #[derive(Debug, PartialEq, Deserialize, Serialize)]
        enum Kind {
            Plain,
            Tagged { at: IpAddr },
        }
        let at = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let kinds = (Kind::Plain, Kind::Tagged { at });
        let sent = encoded(&Outgoing::new("e", kinds.as_args()));
        assert_eq!(
            unpacked(&sent),
            json!({"event": "e", "args": ["Plain", {"Tagged": {"at": "127.0.0.1"}}]})
        );
        let read = decode(sent).unwrap();
        assert_eq!(read.args().all::<(Kind, Kind)>().unwrap(), kinds);
    }

    #[test]
    fn bytes_stay_bytes() {
        let one = args([serde_bytes(&[1, 255])]);
        assert_eq!(one.get::<&[u8]>(0).unwrap(), [1, 255]);
        let again = encoded(&Outgoing::new("e", one.as_args()));
        assert_eq!(
            decode(again).unwrap().args().get::<&[u8]>(0).unwrap(),
            [1, 255]
        );
        assert_eq!(serde_json::to_value(&one).unwrap(), json!([[1, 255]]));
        let binary = Args::binary(vec![1, 255]);
        let sent = encoded(&Outgoing::new("e", binary.as_args()));
        assert_eq!(
            decode(sent).unwrap().args().get::<&[u8]>(0).unwrap(),
            [1, 255]
        );
    }

    /// What serde takes for bytes.
    fn serde_bytes(bytes: &'static [u8]) -> impl Serialize {
        struct AsBytes(&'static [u8]);
        impl Serialize for AsBytes {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_bytes(self.0)
            }
        }
        AsBytes(bytes)
    }

    #[test]
    fn they_may_be_sent_by_another_codec() {
        let value = json!([1, -2, 2.5, "s", null, true, {"k": [{}]}]);
        let mut out = Vec::new();
        let message = args(&value);
        Json.encode(&Outgoing::new("e", message.as_args()), &mut out)
            .unwrap();
        let sent: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(sent, json!({"event": "e", "args": value}));

        let extension = [
            &[0x82][..],
            &packed(("event", "e"))[1..],
            &packed("args"),
            &[0x91, 0xd4, 5, 1],
        ];
        let extension = decode(extension.concat()).unwrap();
        let sent = Json.encode(&Outgoing::new("e", extension.args().as_args()), &mut out);
        assert!(sent.is_err());

        let json = Args::from_json("[1, 2]").unwrap();
        let sent = encoded(&Outgoing::new("e", json.as_args()));
        assert_eq!(unpacked(&sent)["args"], json!([1, 2]));
    }
}

proptest! {
    #[test]
    fn no_bytes_are_a_panic(bytes: Vec<u8>, index in 0..3_usize) {
        if let Ok(envelope) = decode(bytes) {
            let args = envelope.args();
            drop((args.get::<Value>(index), args.parse::<Value>(), args.all::<Vec<Value>>()));
            drop((args.len(), serde_json::to_string(args)));
        }
    }

    /// Random bytes are seldom a message: these nearly are.
    #[test]
    fn no_broken_message_is_a_panic(
        text: String,
        number: i64,
        at: prop::sample::Index,
        byte: u8,
    ) {
        let value = json!({"event": "e", "args": [text, number, {"k": [number, text]}], "id": 1});
        let mut bytes = packed(value);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(envelope) = decode(bytes) {
            let args = envelope.args();
            let all = args.all::<Vec<Value>>();
            prop_assert!(all.is_err() || all.unwrap().len() == args.len());
            drop((args.parse::<Value>(), serde_json::to_string(args)));
        }
    }

    #[test]
    fn what_was_written_is_read(text: String, numbers: Vec<i64>, event: String, float: f64) {
        let sent = (text, numbers, float);
        let envelope = decode(encoded(&Outgoing::new(&event, sent.as_args()))).unwrap();
        prop_assert_eq!(envelope.event(), event);
        let read: (String, Vec<i64>, f64) = envelope.args().all().unwrap();
        prop_assert_eq!((&read.0, &read.1, read.2.to_bits()), (&sent.0, &sent.1, sent.2.to_bits()));
        // As a client's they are copied.
        let again = encoded(&Outgoing::new("e", envelope.args().as_args()));
        let read: (String, Vec<i64>, f64) = decode(again).unwrap().args().all().unwrap();
        prop_assert_eq!((read.0, read.1), (sent.0, sent.1));
    }
}

mod transports {
    use super::*;

    fn served() -> App {
        let echo = async |message: Message| Reply::args(message.args().clone());
        let router = EventRouter::new()
            .on("sum", async |Data((a, b)): Data<(i64, i64)>| (a + b,))
            .on_validated("echo", |args: &Args, _: &User| !args.is_empty(), echo);
        app(PrimacronLayer::in_memory().codec(MsgPack).router(router))
    }

    /// What a client says, and what it hears.
    fn talk() -> Vec<(Vec<u8>, Vec<Value>)> {
        vec![
            (
                packed(json!({"event": "sum", "args": [1, 2]})),
                vec![json!({"event": "sum", "args": [3]})],
            ),
            (
                packed(json!({"event": "echo", "args": ["x", {"k": null}], "id": 4})),
                vec![json!({"id": 4, "args": ["x", {"k": null}]})],
            ),
            (
                packed(json!({"event": "sum", "args": ["x"], "id": 5})),
                vec![
                    json!({
                        "event": "error::validation",
                        "args": ["sum", "arguments do not fit the event"],
                    }),
                    json!({"id": 5, "error": "arguments do not fit the event"}),
                ],
            ),
            (
                vec![0xc1],
                vec![json!({"event": "error::json", "args": []})],
            ),
            (
                packed(json!({"event": 5})),
                vec![json!({"event": "error::invalid", "args": []})],
            ),
        ]
    }

    #[tokio::test(start_paused = true)]
    async fn a_websocket_carries_binary_frames() {
        let app = served();
        let mut client = Ws::connect(&app, "ann").await;
        for (said, heard) in talk() {
            client.send_binary(&said).await;
            for expected in heard {
                let Incoming::Binary(bytes) = client.next().await else {
                    panic!("no binary frame in place of {expected}")
                };
                assert_eq!(unpacked(&bytes), expected);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn long_polling_carries_base64() {
        let app = served();
        let mut client = Polling::connect(&app, "ann").await;
        for (said, heard) in talk() {
            let payload = format!("b{}", BASE64_STANDARD.encode(said));
            assert_eq!(client.post(payload).await.0, StatusCode::OK);
            for expected in heard {
                let packet = client.packet().await;
                let bytes = BASE64_STANDARD.decode(packet.strip_prefix('b').unwrap());
                assert_eq!(unpacked(&bytes.unwrap()), expected);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_text_frame_is_no_message() {
        let app = served();
        let mut client = Ws::connect(&app, "ann").await;
        client.send(r#"{"event":"sum","args":[1,2]}"#).await;
        let Incoming::Binary(bytes) = client.next().await else {
            panic!("no binary frame")
        };
        assert_eq!(
            unpacked(&bytes),
            json!({"event": "error::json", "args": []})
        );
    }
}
