//! Ready-made validators, and what puts several together.
//!
//! A validator is a function of a message's arguments and its user that gives something a verdict
//! can be made of, `Fn(&Args, &User) -> impl IntoVerdict`. Those here are such functions too, so that
//! they go wherever a closure goes.
//!
//! ```
//! use primacron::{Args, PrimacronLayer, User, validate};
//!
//! let layer = PrimacronLayer::in_memory()
//!     .validate("move", validate::shape::<(String, String)>())
//!     .validate("chat", |args: &Args, _: &User| args.get::<&str>(0).is_ok());
//! # drop(layer);
//! ```
//!
//! # Several in one
//!
//! [`all`], [`any`] and [`optional`] make one validator of others, whatever these are.
//!
//! # What a validator does wrong
//!
//! One that panics refuses its message, and that alone: the client hears `validator failed`, the
//! application the notice `error::validation`.

mod compose;
#[cfg(feature = "garde")]
mod garde;
#[cfg(feature = "json-schema")]
mod json_schema;
mod optional;
mod typed;

#[cfg(feature = "garde")]
pub use self::garde::{garde, garde_with};
#[cfg(feature = "json-schema")]
pub use self::json_schema::{
    SchemaError, json_schema, json_schema_of_all, try_json_schema, try_json_schema_of_all,
};
pub use self::{
    compose::{BoxValidator, IntoValidators, all, any},
    optional::optional,
    typed::{asking, shape, shape_and},
};
