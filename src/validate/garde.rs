use garde::{Report, Validate};
use serde::de::DeserializeOwned;

use super::shape_and;
use crate::message::{Args, User, Verdict};

/// As [`shape`](super::shape), and then by the rules of a type that derives `garde::Validate`. The
/// client hears which fields break a rule, and which; no value that it sent, unless a rule of your own
/// quotes one, but of a map also the keys, which it may have chosen.
///
/// ```
/// use garde::Validate;
/// use primacron::{PrimacronLayer, validate::garde};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, Validate)]
/// struct Signup {
///     #[garde(ascii, length(min = 3, max = 25))]
///     name: String,
/// }
///
/// let layer = PrimacronLayer::in_memory().validate("signup", garde::<Signup>());
/// # drop(layer);
/// ```
pub fn garde<T>() -> impl Fn(&Args, &User) -> Verdict + Send + Sync + 'static
where
    T: DeserializeOwned + Validate<Context: Default> + Send + 'static,
{
    shape_and(|value: &T, _: &User| value.validate().map_err(|report| text(&report)))
}

/// As [`garde`](fn@garde), for a type whose rules need a context.
pub fn garde_with<T>(
    context: T::Context,
) -> impl Fn(&Args, &User) -> Verdict + Send + Sync + 'static
where
    T: DeserializeOwned + Validate<Context: Send + Sync + 'static> + Send + 'static,
{
    shape_and(move |value: &T, _: &User| {
        value
            .validate_with(&context)
            .map_err(|report| text(&report))
    })
}

/// All faults in one line, in the order of their paths.
fn text(report: &Report) -> String {
    let report = report.to_string();
    let mut faults: Vec<&str> = report.lines().collect();
    faults.sort_unstable();
    faults.join("; ")
}
