use std::error::Error;

use crate::message::{Args, IntoArgs, Reply};

/// What a handler of a [`EventRouter`](super::EventRouter) may return: `()`, arguments (a tuple, an array, a
/// `Vec`, [`Args`], a `serde_json::Value`), a [`Reply`], an `Option` of these, or a `Result` of these
/// whose error is any error.
///
/// The client reads the text of an error only if that is a [`PublicError`](crate::PublicError), or
/// has one among its sources.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "not a reply",
    note = "return `()`, arguments such as `(value,)`, a `Reply`, or a `Result` of these with an error that is `Into<Box<dyn Error + Send + Sync>>`"
)]
pub trait IntoReply {
    /// Makes the reply.
    ///
    /// # Errors
    ///
    /// What the handler failed with.
    fn into_reply(self) -> Result<Reply, Box<dyn Error + Send + Sync>>;
}

impl IntoReply for Reply {
    fn into_reply(self) -> Result<Reply, Box<dyn Error + Send + Sync>> {
        Ok(self)
    }
}

impl<R: IntoReply> IntoReply for Option<R> {
    fn into_reply(self) -> Result<Reply, Box<dyn Error + Send + Sync>> {
        self.map_or_else(|| Ok(Reply::none()), R::into_reply)
    }
}

impl<R, E> IntoReply for Result<R, E>
where
    R: IntoReply,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn into_reply(self) -> Result<Reply, Box<dyn Error + Send + Sync>> {
        self.map_err(Into::into)?.into_reply()
    }
}

impl IntoReply for () {
    fn into_reply(self) -> Result<Reply, Box<dyn Error + Send + Sync>> {
        Ok(Reply::none())
    }
}

macro_rules! arguments {
    ($([$($names:tt)*] $arguments:ty;)+) => {$(
        impl<$($names)*> IntoReply for $arguments
        where
            $arguments: IntoArgs + Send + 'static,
        {
            fn into_reply(self) -> Result<Reply, Box<dyn Error + Send + Sync>> {
                Ok(Reply::args(self))
            }
        }
    )+};
}

arguments! {
    [] Args;
    [] serde_json::Value;
    [T] Vec<T>;
    [T, const N: usize] [T; N];
    [A] (A,);
    [A, B] (A, B);
    [A, B, C] (A, B, C);
    [A, B, C, D] (A, B, C, D);
    [A, B, C, D, E] (A, B, C, D, E);
    [A, B, C, D, E, F] (A, B, C, D, E, F);
    [A, B, C, D, E, F, G] (A, B, C, D, E, F, G);
    [A, B, C, D, E, F, G, H] (A, B, C, D, E, F, G, H);
}
