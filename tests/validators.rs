//! Ready-made validators: what they let pass, what they say, and what becomes of several.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod support;

use std::{
    convert::Infallible,
    future::ready,
    panic::{AssertUnwindSafe, catch_unwind},
};

use primacron::{
    Args, IntoVerdict, Message, Notice, PrimacronLayer, Refusal, Reply, User, Verdict,
    validate::{all, any, asking, optional, shape, shape_and},
};
use serde_json::{Value, json};
use tokio::task::yield_now;
use tower::service_fn;

use self::support::{App, Counter, Ws, app, event, notice};

/// Says what a handler finds of a message: its arguments, a text and a number that were parsed.
async fn found(message: Message) -> Result<Reply, Infallible> {
    let args: Value = message.args().all().unwrap();
    Ok(Reply::args(json!([
        args,
        message.data::<String>(),
        message.data::<u64>(),
        message.data::<Value>(),
    ])))
}

fn served<F, V>(validator: F) -> App
where
    F: Fn(&Args, &User) -> V + Send + Sync + 'static,
    V: IntoVerdict,
{
    let layer = PrimacronLayer::in_memory().validate("x", validator);
    app(layer.service(service_fn(found)))
}

/// What a server says to these arguments; the text of a refusal, or what its handler found.
async fn said<F, V>(validator: F, args: Value) -> Result<Value, String>
where
    F: Fn(&Args, &User) -> V + Send + Sync + 'static,
    V: IntoVerdict,
{
    let app = served(validator);
    let mut client = Ws::connect(&app, "ann").await;
    client.send(&event("x", args)).await;
    let heard = client.message().await;
    match heard["event"].as_str().unwrap() {
        "x" => Ok(heard["args"].clone()),
        "error::validation" => Err(heard["args"][1].as_str().unwrap().to_owned()),
        other => panic!("got {other}"),
    }
}

fn passes(_: &Args, _: &User) -> bool {
    true
}

fn refuses(text: &'static str) -> impl Fn(&Args, &User) -> Result<(), Refusal> + Clone {
    move |_: &Args, _: &User| Err(Refusal::new(text))
}

fn replaces(value: Value) -> impl Fn(&Args, &User) -> Result<Args, Refusal> + Clone {
    move |_: &Args, _: &User| Ok(Args::from_values(vec![value.clone()]))
}

/// As a validator, after somebody was asked.
fn later<F, V>(validator: F) -> impl Fn(&Args, &User) -> Verdict + Send + Sync
where
    F: Fn(&Args, &User) -> V + Clone + Send + Sync + 'static,
    V: IntoVerdict + Send,
{
    asking(move |args, user| {
        let validator = validator.clone();
        async move {
            yield_now().await;
            validator(&args, &user).into_verdict()
        }
    })
}

mod several {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_must_agree_and_the_first_refusal_counts() {
        let asked = Counter::default();
        let count = asked.clone();
        let counts = move |_: &Args, _: &User| count.raise() > 0;
        let validator = all((passes, refuses("first"), counts, refuses("second")));

        assert_eq!(said(validator, json!([])).await, Err("first".to_owned()));
        assert_eq!(asked.get(), 0, "nobody is asked after a refusal");
        assert_eq!(
            said(all((passes, passes)), json!([1])).await,
            Ok(json!([[1], null, null, null]))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn each_sees_what_those_before_it_made_of_the_arguments() {
        let validator = all((replaces(json!(7)), shape::<u64>()));
        assert_eq!(
            said(validator, json!(["x"])).await,
            Ok(json!([[7], null, 7, null]))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_of_arguments_that_were_replaced_is_forgotten() {
        let validator = all((shape::<u64>(), replaces(json!("new"))));
        assert_eq!(
            said(validator, json!([5])).await,
            Ok(json!([["new"], null, null, null]))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_value_that_was_parsed_last_is_found() {
        let validator = all((shape::<u64>(), shape::<Value>(), passes));
        assert_eq!(
            said(validator, json!([5])).await,
            Ok(json!([[5], null, null, 5]))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_any_is_enough() {
        let asked = Counter::default();
        let count = asked.clone();
        let counts = move |_: &Args, _: &User| count.raise() > 0;
        let validator = any((refuses("a"), shape::<u64>(), counts));
        let app = served(validator);
        let mut client = Ws::connect(&app, "ann").await;

        client.emit("x", json!([5])).await;
        assert_eq!(
            client.message().await["args"],
            json!([[5], null, 5, null]),
            "with the value of the one that agreed"
        );
        assert_eq!(asked.get(), 0);
        client.emit("x", json!(["no number"])).await;
        client.message().await;
        assert_eq!(asked.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_refusal_of_the_last_counts_when_nobody_agrees() {
        let validator = any((refuses("a"), refuses("b")));
        assert_eq!(said(validator, json!([])).await, Err("b".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_optional_may_be_missing() {
        let validator = || optional(shape::<u64>());
        assert_eq!(
            said(validator(), json!([])).await,
            Ok(json!([[], null, null, null]))
        );
        assert_eq!(
            said(validator(), json!([null])).await,
            Ok(json!([[null], null, null, null]))
        );
        assert_eq!(
            said(validator(), json!([5])).await,
            Ok(json!([[5], null, 5, null]))
        );
        for wrong in [json!(["x"]), json!([null, null]), json!([5, 5])] {
            assert!(said(validator(), wrong).await.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_somebody_are_waited_for_in_their_turn() {
        let rule = shape_and(|number: &u64, _: &User| match number % 2 {
            0 => Ok(()),
            _ => Err("odd"),
        });
        let validator = all((
            later(passes),
            later(replaces(json!(8))),
            rule,
            later(passes),
        ));
        assert_eq!(
            said(validator, json!(["x"])).await,
            Ok(json!([[8], null, 8, null]))
        );

        let refused = all((later(passes), later(refuses("late")), refuses("never")));
        assert_eq!(said(refused, json!([])).await, Err("late".to_owned()));

        let one = any((later(refuses("a")), refuses("b"), later(shape::<u64>())));
        assert_eq!(said(one, json!([5])).await, Ok(json!([[5], null, 5, null])));
        let none = any((later(refuses("a")), later(refuses("b"))));
        assert_eq!(said(none, json!([])).await, Err("b".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn they_go_into_one_another() {
        let inner = any((shape::<u64>(), shape::<String>()));
        let validator = || all(vec![passes as fn(&Args, &User) -> bool, passes]);
        let nested = optional(all((validator(), inner)));
        let app = served(nested);
        let mut client = Ws::connect(&app, "ann").await;
        for (args, heard) in [
            (json!([]), json!([[], null, null, null])),
            (json!([1]), json!([[1], null, 1, null])),
            (json!(["s"]), json!([["s"], "s", null, null])),
        ] {
            client.emit("x", args).await;
            assert_eq!(client.message().await["args"], heard);
        }
    }

    #[test]
    fn a_list_of_nobody_is_no_validator() {
        type Validator = fn(&Args, &User) -> bool;
        let text = |build: fn(Vec<Validator>)| {
            let panic = catch_unwind(AssertUnwindSafe(|| build(Vec::new())));
            *panic.unwrap_err().downcast::<String>().unwrap()
        };
        assert_eq!(text(|none| drop(all(none))), "all needs a validator");
        assert_eq!(text(|none| drop(any(none))), "any needs a validator");
    }
}

mod panics {
    use super::*;

    fn panics(_: &Args, _: &User) -> bool {
        panic!("on purpose")
    }

    #[tokio::test(start_paused = true)]
    async fn a_validator_that_panics_refuses_its_message_and_no_more() {
        let late = asking(|_, _| async {
            yield_now().await;
            panic!("on purpose");
            #[expect(unreachable_code, reason = "says what the future gives")]
            true
        });
        let layer = PrimacronLayer::in_memory()
            .validate("now", panics)
            .validate(
                "at once",
                asking(|_, _| -> std::future::Ready<bool> { panic!() }),
            )
            .validate("late", late)
            .validate("all", all((passes, panics)))
            .validate("any", any((panics, passes)))
            .validate("all late", all((later(passes), panics)))
            .validate("optional", optional(panics))
            .validate("x", passes)
            .service(service_fn(found));
        let mut notices = layer.handle().notices();
        let app = app(layer);
        let mut client = Ws::connect(&app, "ann").await;
        let mut other = Ws::connect(&app, "bob").await;

        for name in [
            "now", "at once", "late", "all", "any", "all late", "optional",
        ] {
            client.emit(name, json!([1])).await;
            assert_eq!(
                client.message().await,
                json!({"event": "error::validation", "args": [name, "validator failed"]})
            );
            let notice = notice(&mut notices, "error::validation").await;
            assert!(matches!(notice, Notice::Validation { event, .. } if event == name));
        }
        for client in [&mut client, &mut other] {
            client.emit("x", json!([])).await;
            assert_eq!(client.message().await["event"], "x", "it goes on");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn asking_takes_what_is_ready_at_once() {
        let validator = asking(|args: Args, _| ready(args.len() == 1));
        assert!(said(validator, json!([1])).await.is_ok());
    }
}

#[cfg(feature = "garde")]
mod garde_types {
    use garde::Validate;
    use primacron::{
        router::{EventRouter, Valid},
        validate::{garde, garde_with},
    };
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Deserialize, Validate)]
    struct Signup {
        #[garde(ascii, length(min = 3, max = 8))]
        name: String,
        #[garde(range(min = 18))]
        age: u8,
    }

    #[tokio::test(start_paused = true)]
    async fn the_client_hears_which_fields_break_a_rule() {
        let signup = |name: &str, age: u8| json!([{"name": name, "age": age}]);

        assert!(said(garde::<Signup>(), signup("anna", 20)).await.is_ok());
        assert_eq!(
            said(garde::<Signup>(), signup("a", 5)).await,
            Err("age: lower than 18; name: length is lower than 3".to_owned())
        );
        assert_eq!(
            said(garde::<Signup>(), json!([{"name": "anna"}])).await,
            Err("arguments do not fit the event".to_owned()),
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_valid_value_is_an_argument() {
        let router = EventRouter::new().on("signup", async |Valid(it): Valid<Signup>| (it.name,));
        let app = app(PrimacronLayer::in_memory().router(router));
        let mut client = Ws::connect(&app, "ann").await;

        client
            .emit("signup", json!([{"name": "anna", "age": 20}]))
            .await;
        assert_eq!(client.message().await["args"], json!(["anna"]));
        client
            .emit("signup", json!([{"name": "anna", "age": 2}]))
            .await;
        assert_eq!(client.message().await["args"][1], "age: lower than 18");
    }

    struct Longest(usize);

    #[derive(Deserialize, Validate)]
    #[garde(context(Longest))]
    struct Text(
        #[garde(custom(|text: &String, longest: &Longest| match text.len() > longest.0 {
            true => Err(garde::Error::new("too long")),
            false => Ok(()),
        }))]
        String,
    );

    #[tokio::test(start_paused = true)]
    async fn rules_may_need_a_context() {
        let validator = || garde_with::<Text>(Longest(3));
        assert!(said(validator(), json!(["abc"])).await.is_ok());
        let text = said(validator(), json!(["abcd"])).await.unwrap_err();
        assert!(text.contains("too long"), "{text}");
    }
}

#[cfg(feature = "json-schema")]
mod json_schemas {
    use std::error::Error;

    use primacron::validate::{
        json_schema, json_schema_of_all, try_json_schema, try_json_schema_of_all,
    };

    use super::*;

    fn signup() -> Value {
        json!({
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 3, "pattern": "^[a-z]+$"},
                "friends": {"type": "array", "items": {"$ref": "#/$defs/friend"}},
            },
            "required": ["name"],
            "additionalProperties": false,
            "$defs": {"friend": {"type": "object", "properties": {"age": {"minimum": 18}}}},
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_text_names_the_path_and_nothing_that_was_sent() {
        let refused =
            async |it: Value| said(json_schema(&signup()), json!([it])).await.unwrap_err();

        let friends = json!({"name": "anna", "friends": [{}, {"age": 17}]});
        assert_eq!(
            refused(friends).await,
            "/friends/1/age: value is less than the minimum of 18"
        );
        assert_eq!(
            refused(json!({"name": "s3"})).await,
            "/name: value is shorter than 3 characters"
        );
        assert_eq!(refused(json!({})).await, r#""name" is a required property"#);
        assert_eq!(
            refused(json!({"name": "anna", "secret": 1})).await,
            "does not fit additionalProperties"
        );
        assert_eq!(
            refused(json!("secret")).await,
            r#"value is not of type "object""#
        );
        let digits = refused(json!({"name": "secret1"})).await;
        assert!(
            digits.starts_with("/name: ") && !digits.contains("secret"),
            "{digits}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_application_hears_the_whole_of_it() {
        let layer = PrimacronLayer::in_memory()
            .validate("x", json_schema(&signup()))
            .service(service_fn(found));
        let mut notices = layer.handle().notices();
        let app = app(layer);
        let mut client = Ws::connect(&app, "ann").await;
        client.emit("x", json!(["the value"])).await;
        let Notice::Validation { error, .. } = notice(&mut notices, "error::validation").await
        else {
            unreachable!()
        };
        let cause = error.source().unwrap().to_string();
        assert!(cause.contains("the value"), "{cause}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_handler_finds_the_document() {
        let heard = said(json_schema(&signup()), json!([{"name": "anna"}])).await;
        assert_eq!(heard.unwrap()[3], json!({"name": "anna"}));
        for args in [json!([]), json!([{"name": "anna"}, 2])] {
            let text = said(json_schema(&signup()), args).await.unwrap_err();
            assert_eq!(text, "arguments do not fit the event", "one argument");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_arguments_are_an_array() {
        let schema =
            json!({"prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 2});
        let validator = || json_schema_of_all(&schema);
        assert_eq!(
            said(validator(), json!(["a", 1])).await.unwrap()[3],
            json!(["a", 1])
        );
        let text = said(validator(), json!(["a", "b"])).await.unwrap_err();
        assert_eq!(text, r#"/1: value is not of type "integer""#);
    }

    #[test]
    fn a_schema_elsewhere_is_refused() {
        for schema in [
            json!({"$ref": "http://127.0.0.1:1/schema.json"}),
            json!({"$ref": "https://example.com/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"$ref": "other.json"}),
            json!({"$id": "http://127.0.0.1:1/a", "properties": {"x": {"$ref": "b"}}}),
            json!({"$schema": "http://127.0.0.1:1/meta"}),
        ] {
            assert!(try_json_schema(&schema).is_err(), "{schema}");
            assert!(try_json_schema_of_all(&schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn what_is_no_schema_is_refused_when_the_layer_is_built() {
        for schema in [
            json!({"type": "nothing"}),
            json!({"pattern": "("}),
            json!({"pattern": "(?=x)"}),
            json!(5),
        ] {
            let built = catch_unwind(AssertUnwindSafe(|| drop(json_schema(&schema))));
            let text = *built
                .expect_err("it was built")
                .downcast::<String>()
                .unwrap();
            assert!(
                text.starts_with("json_schema is given no usable schema: "),
                "{text}"
            );
        }
    }
}
