use jsonschema::{PatternOptions, ValidationError, Validator, error::ValidationErrorKind};
use serde_json::Value;

use crate::message::{Args, ArgsError, Refusal, User, Verdict};

/// Lets messages pass that have one argument, which fits a JSON Schema. The handler finds it as a
/// [`serde_json::Value`].
///
/// The client hears where in the argument the first fault is, and what, like
/// `/name: value is shorter than 3 characters`. No value that it sent is quoted, but where the fault
/// is may hold names of properties that it chose. Patterns are matched in linear time, hence
/// look-around and back-references are refused.
///
/// ```
/// use primacron::{PrimacronLayer, validate::json_schema};
/// use serde_json::json;
///
/// let schema = json!({
///     "type": "object",
///     "properties": {"name": {"type": "string", "minLength": 3}},
///     "required": ["name"],
/// });
/// let layer = PrimacronLayer::in_memory().validate("signup", json_schema(&schema));
/// # drop(layer);
/// ```
///
/// # Panics
///
/// When it is no schema, or refers to one elsewhere: nothing is ever fetched. For schemas from
/// outside there is [`try_json_schema`].
#[track_caller]
pub fn json_schema(schema: &Value) -> impl Fn(&Args, &User) -> Verdict + Send + Sync + 'static {
    match try_json_schema(schema) {
        Ok(validator) => validator,
        Err(error) => panic!("json_schema is given {error}"),
    }
}

/// As [`json_schema`], for a schema from outside.
///
/// # Errors
///
/// When it is no schema, or refers to one elsewhere.
pub fn try_json_schema(
    schema: &Value,
) -> Result<impl Fn(&Args, &User) -> Verdict + Send + Sync + 'static, SchemaError> {
    let schema = build(schema)?;
    Ok(move |args: &Args, _: &User| match args.all::<(Value,)>() {
        Ok((only,)) => judge(&schema, only),
        Err(error) => Verdict::refuse(error.into()),
    })
}

/// As [`json_schema`], for all arguments as one array, however many there are. The handler finds
/// that array.
///
/// # Panics
///
/// As [`json_schema`].
#[track_caller]
pub fn json_schema_of_all(
    schema: &Value,
) -> impl Fn(&Args, &User) -> Verdict + Send + Sync + 'static {
    match try_json_schema_of_all(schema) {
        Ok(validator) => validator,
        Err(error) => panic!("json_schema_of_all is given {error}"),
    }
}

/// As [`json_schema_of_all`], for a schema from outside.
///
/// # Errors
///
/// When it is no schema, or refers to one elsewhere.
pub fn try_json_schema_of_all(
    schema: &Value,
) -> Result<impl Fn(&Args, &User) -> Verdict + Send + Sync + 'static, SchemaError> {
    let schema = build(schema)?;
    Ok(move |args: &Args, _: &User| match args.all::<Value>() {
        Ok(all) => judge(&schema, all),
        Err(error) => Verdict::refuse(error.into()),
    })
}

/// Why a JSON Schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no usable schema: {0}")]
pub struct SchemaError(String);

fn build(schema: &Value) -> Result<Validator, SchemaError> {
    jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map_err(|error| SchemaError(error.to_string()))
}

fn judge(schema: &Validator, value: Value) -> Verdict {
    if let Err(error) = schema.validate(&value) {
        let cause = ArgsError::Mismatch {
            expected: "JSON Schema",
            reason: error.to_string(),
        };
        return Verdict::refuse(Refusal::with_cause(text(&error), cause));
    }
    Verdict::parsed(value)
}

/// Where and what, without values that the client sent.
fn text(error: &ValidationError<'_>) -> String {
    let what = match error.kind() {
        // These quote names that the client chose.
        kind @ (ValidationErrorKind::AdditionalProperties { .. }
        | ValidationErrorKind::UnevaluatedProperties { .. }
        | ValidationErrorKind::PropertyNames { .. }) => format!("does not fit {}", kind.keyword()),
        _ => error.masked().to_string(),
    };
    match error.instance_path().as_str() {
        "" => what,
        path => format!("{path}: {what}"),
    }
}
