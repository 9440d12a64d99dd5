use serde::{Serialize, Serializer};

use super::Args;

/// What can be sent as the arguments of an event: a tuple, an array, a slice or a `Vec` of
/// serializable things, `()` for none, [`Args`] as they came, or a `serde_json::Value` (an array is
/// the arguments, anything else is the only one).
///
/// ```
/// use primacron::{Args, IntoArgs};
///
/// fn send(args: impl IntoArgs) {}
///
/// send(("e4", 1));
/// send(["a", "b"]);
/// send(serde_json::json!({"from": "e2", "to": "e4"}));
/// send(Args::empty());
/// send(());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as the arguments of an event",
    label = "not arguments",
    note = "put a single argument into a tuple: `(value,)`"
)]
pub trait IntoArgs {
    /// Lends the arguments for encoding.
    fn as_args(&self) -> OutgoingArgs<'_>;

    /// Keeps the arguments until they are encoded.
    fn into_owned(self) -> OwnedArgs
    where
        Self: Sized + Send + 'static,
    {
        OwnedArgs(Owned::Boxed(Box::new(self)))
    }
}

/// Arguments on their way out, lent to a [`Codec`](crate::Codec). They serialize as a sequence.
#[derive(Clone, Copy)]
pub struct OutgoingArgs<'a>(Lent<'a>);

#[derive(Clone, Copy)]
enum Lent<'a> {
    Empty,
    Args(&'a Args),
    Sequence(&'a dyn erased_serde::Serialize),
    One(&'a dyn erased_serde::Serialize),
}

impl<'a> OutgoingArgs<'a> {
    /// Arguments that a client sent, if these are such: a codec may then copy their text.
    #[must_use]
    pub fn as_args(&self) -> Option<&'a Args> {
        match self.0 {
            Lent::Args(args) => Some(args),
            _ => None,
        }
    }
}

impl std::fmt::Debug for OutgoingArgs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OutgoingArgs")
    }
}

impl Serialize for OutgoingArgs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Lent::Empty => serializer.collect_seq::<[(); 0]>([]),
            Lent::Args(args) => args.serialize(serializer),
            Lent::Sequence(all) => erased_serde::serialize(all, serializer),
            Lent::One(one) => serializer.collect_seq([one]),
        }
    }
}

/// Arguments that wait to be encoded, as a [`Reply`](crate::Reply) keeps them.
pub struct OwnedArgs(Owned);

enum Owned {
    Args(Args),
    Boxed(Box<dyn IntoArgs + Send>),
}

impl OwnedArgs {
    pub(crate) fn as_args(&self) -> OutgoingArgs<'_> {
        match &self.0 {
            Owned::Args(args) => args.as_args(),
            Owned::Boxed(args) => args.as_args(),
        }
    }
}

impl std::fmt::Debug for OwnedArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnedArgs")
    }
}

impl IntoArgs for () {
    fn as_args(&self) -> OutgoingArgs<'_> {
        OutgoingArgs(Lent::Empty)
    }

    fn into_owned(self) -> OwnedArgs {
        OwnedArgs(Owned::Args(Args::empty()))
    }
}

impl IntoArgs for Args {
    fn as_args(&self) -> OutgoingArgs<'_> {
        OutgoingArgs(Lent::Args(self))
    }

    fn into_owned(self) -> OwnedArgs {
        OwnedArgs(Owned::Args(self))
    }
}

impl IntoArgs for serde_json::Value {
    fn as_args(&self) -> OutgoingArgs<'_> {
        OutgoingArgs(if self.is_array() {
            Lent::Sequence(self)
        } else {
            Lent::One(self)
        })
    }
}

impl<T: IntoArgs> IntoArgs for &T {
    fn as_args(&self) -> OutgoingArgs<'_> {
        (**self).as_args()
    }
}

impl<T: Serialize> IntoArgs for Vec<T> {
    fn as_args(&self) -> OutgoingArgs<'_> {
        OutgoingArgs(Lent::Sequence(self))
    }
}

impl<T: Serialize> IntoArgs for &[T] {
    fn as_args(&self) -> OutgoingArgs<'_> {
        OutgoingArgs(Lent::Sequence(self))
    }
}

impl<T: Serialize, const N: usize> IntoArgs for [T; N]
where
    [T; N]: Serialize,
{
    fn as_args(&self) -> OutgoingArgs<'_> {
        OutgoingArgs(Lent::Sequence(self))
    }
}

macro_rules! tuples {
    ($($name:ident)+) => {
        impl<$($name: Serialize),+> IntoArgs for ($($name,)+) {
            fn as_args(&self) -> OutgoingArgs<'_> {
                OutgoingArgs(Lent::Sequence(self))
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
