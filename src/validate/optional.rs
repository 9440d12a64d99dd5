use serde::de::IgnoredAny;

use crate::message::{Args, IntoVerdict, User, Verdict};

/// Lets messages pass that have no arguments, or `null` as the only one, and asks the validator
/// about all others. What `validate_as::<Option<T>>` is to `validate_as::<T>`.
pub fn optional<F, V>(validator: F) -> impl Fn(&Args, &User) -> Verdict + Send + Sync + 'static
where
    F: Fn(&Args, &User) -> V + Send + Sync + 'static,
    V: IntoVerdict,
{
    move |args: &Args, user: &User| match args.parse::<Option<IgnoredAny>>() {
        Ok(None) => Verdict::pass(),
        _ => validator(args, user).into_verdict(),
    }
}
