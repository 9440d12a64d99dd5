use serde::de::DeserializeOwned;

use crate::message::{Args, Found, IntoVerdict, Refusal, User, Verdict};

/// Lets messages pass whose arguments are a `T`, and hands the value on: one argument is read as
/// `T`, several as the tuple `T`.
///
/// What [`PrimacronLayer::validate_as`](crate::PrimacronLayer::validate_as) registers.
pub fn shape<T>() -> impl Fn(&Args, &User) -> Verdict + Clone + Send + Sync + 'static
where
    T: DeserializeOwned + Send + 'static,
{
    |args: &Args, _: &User| match args.parse::<T>() {
        Ok(value) => Verdict::parsed(value),
        Err(error) => Verdict::refuse(error.into()),
    }
}

/// As [`shape`], and then rules about the value.
///
/// What [`PrimacronLayer::validate_with`](crate::PrimacronLayer::validate_with) registers.
pub fn shape_and<T, F, E>(rules: F) -> impl Fn(&Args, &User) -> Verdict + Send + Sync + 'static
where
    T: DeserializeOwned + Send + 'static,
    F: Fn(&T, &User) -> Result<(), E> + Send + Sync + 'static,
    E: Into<Refusal> + 'static,
{
    move |args: &Args, user: &User| {
        let value = match args.parse::<T>() {
            Ok(value) => value,
            Err(error) => return Verdict::refuse(error.into()),
        };
        match rules(&value, user) {
            Ok(()) => Verdict::parsed(value),
            Err(error) => Verdict::refuse(error.into()),
        }
    }
}

/// Decides by asking somebody. While the future is pending, nothing more is read from that client.
///
/// What [`PrimacronLayer::validate_async`](crate::PrimacronLayer::validate_async) registers.
pub fn asking<F, R>(ask: F) -> impl Fn(&Args, &User) -> Verdict + Send + Sync + 'static
where
    F: Fn(Args, User) -> R + Send + Sync + 'static,
    R: Future<Output: IntoVerdict> + Send + 'static,
{
    move |args: &Args, user: &User| {
        let answer = ask(args.clone(), user.clone());
        Verdict(Found::Later(Box::pin(async move {
            answer.await.into_verdict()
        })))
    }
}
