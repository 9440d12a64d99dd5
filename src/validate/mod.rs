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

mod optional;
mod typed;

pub use self::{
    optional::optional,
    typed::{asking, shape, shape_and},
};
