use std::{any::Any, sync::Arc};

use crate::message::{Args, Found, IntoVerdict, Refusal, User, Verdict};

/// Lets messages pass that all of the validators let pass, asked in this order; the first refusal
/// counts, and later validators are not asked.
///
/// Arguments that one of them puts in place of the message's own are what those after it see, and
/// what the handler sees. The handler finds the value that was parsed last; one that was parsed
/// before arguments were replaced is forgotten.
///
/// ```
/// use primacron::{Args, PrimacronLayer, User, validate::{all, shape}};
///
/// let members_only = |_: &Args, user: &User| match user.account() {
///     "guest" => Err("only for members"),
///     _ => Ok(()),
/// };
/// let layer = PrimacronLayer::in_memory()
///     .validate("move", all((members_only, shape::<(String, String)>())));
/// # drop(layer);
/// ```
///
/// # Panics
///
/// When there are none: that would let everything pass.
#[track_caller]
pub fn all(
    validators: impl IntoValidators,
) -> impl Fn(&Args, &User) -> Verdict + Send + Sync + 'static {
    let list = list(validators, "all");
    move |args: &Args, user: &User| All::of(Asked::first(&list, args, user)).run()
}

/// Lets messages pass that one of the validators lets pass, asked in this order; those after it are
/// not asked. If none does, the refusal of the last one counts.
///
/// # Panics
///
/// When there are none.
#[track_caller]
pub fn any(
    validators: impl IntoValidators,
) -> impl Fn(&Args, &User) -> Verdict + Send + Sync + 'static {
    let list = list(validators, "any");
    move |args: &Args, user: &User| one_of(Asked::first(&list, args, user), None)
}

/// A validator of whatever type; it is one itself, and goes wherever a closure goes.
pub type BoxValidator = Box<dyn Fn(&Args, &User) -> Verdict + Send + Sync>;

/// Several validators: a tuple of two to eight, or a `Vec` of one type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of validators",
    note = "put validators into a tuple: `all((first, second))`; each is a `Fn(&Args, &User) -> impl IntoVerdict` that is `Send + Sync + 'static`"
)]
pub trait IntoValidators {
    /// All of them, in their order.
    fn into_validators(self) -> Vec<BoxValidator>;
}

impl<F, V> IntoValidators for Vec<F>
where
    F: Fn(&Args, &User) -> V + Send + Sync + 'static,
    V: IntoVerdict,
{
    fn into_validators(self) -> Vec<BoxValidator> {
        self.into_iter().map(boxed).collect()
    }
}

macro_rules! tuples {
    ($($validator:ident $verdict:ident,)+) => {
        impl<$($validator, $verdict,)+> IntoValidators for ($($validator,)+)
        where
            $($validator: Fn(&Args, &User) -> $verdict + Send + Sync + 'static,)+
            $($verdict: IntoVerdict,)+
        {
            #[expect(non_snake_case, reason = "a variable is named as its type")]
            fn into_validators(self) -> Vec<BoxValidator> {
                let ($($validator,)+) = self;
                vec![$(boxed($validator)),+]
            }
        }
    };
}

tuples!(A A1, B B1,);
tuples!(A A1, B B1, C C1,);
tuples!(A A1, B B1, C C1, D D1,);
tuples!(A A1, B B1, C C1, D D1, E E1,);
tuples!(A A1, B B1, C C1, D D1, E E1, F F1,);
tuples!(A A1, B B1, C C1, D D1, E E1, F F1, G G1,);
tuples!(A A1, B B1, C C1, D D1, E E1, F F1, G G1, H H1,);

fn boxed<F, V>(validator: F) -> BoxValidator
where
    F: Fn(&Args, &User) -> V + Send + Sync + 'static,
    V: IntoVerdict,
{
    Box::new(move |args: &Args, user: &User| validator(args, user).into_verdict())
}

#[track_caller]
fn list(validators: impl IntoValidators, name: &str) -> List {
    let list: List = validators.into_validators().into();
    assert!(!list.is_empty(), "{name} needs a validator");
    list
}

type List = Arc<[BoxValidator]>;

/// How far a list of validators was asked about a message.
struct Asked {
    list: List,
    next: usize,
    args: Args,
    user: User,
}

impl Asked {
    fn first(list: &List, args: &Args, user: &User) -> Self {
        Self {
            list: Arc::clone(list),
            next: 0,
            args: args.clone(),
            user: user.clone(),
        }
    }
}

/// The verdict of the next validator; none after the last one.
impl Iterator for Asked {
    type Item = Verdict;

    fn next(&mut self) -> Option<Verdict> {
        let validator = self.list.get(self.next)?;
        self.next += 1;
        Some(validator(&self.args, &self.user))
    }
}

/// What all validators so far made of a message.
struct All {
    asked: Asked,
    replaced: bool,
    data: Option<Box<dyn Any + Send>>,
}

impl All {
    fn of(asked: Asked) -> Self {
        Self {
            asked,
            replaced: false,
            data: None,
        }
    }

    fn run(mut self) -> Verdict {
        while let Some(verdict) = self.asked.next() {
            self = match self.add(verdict) {
                Ok(all) => all,
                Err(verdict) => return verdict,
            };
        }
        Verdict(match (self.replaced, self.data) {
            (true, data) => Found::Replace(self.asked.args, data),
            (false, Some(data)) => Found::Parsed(data),
            (false, None) => Found::Pass,
        })
    }

    /// Gives a verdict back that ends the list or must be waited for.
    fn add(mut self, verdict: Verdict) -> Result<Self, Verdict> {
        match verdict.0 {
            Found::Pass => {}
            Found::Parsed(data) => self.data = Some(data),
            Found::Replace(args, data) => {
                self.asked.args = args;
                self.replaced = true;
                self.data = data;
            }
            Found::Refuse(refusal) => return Err(Verdict::refuse(refusal)),
            Found::Later(answer) => {
                return Err(Verdict(Found::Later(Box::pin(async move {
                    self.add(answer.await)
                        .map_or_else(|verdict| verdict, Self::run)
                }))));
            }
        }
        Ok(self)
    }
}

/// The first verdict that lets the message pass, beginning with this one.
fn one_of(mut asked: Asked, first: Option<Verdict>) -> Verdict {
    let mut refusal = Refusal::default();
    let mut next = first.or_else(|| asked.next());
    while let Some(verdict) = next {
        match verdict.0 {
            Found::Refuse(again) => refusal = again,
            Found::Later(answer) => {
                return Verdict(Found::Later(Box::pin(async move {
                    one_of(asked, Some(answer.await))
                })));
            }
            passed => return Verdict(passed),
        }
        next = asked.next();
    }
    Verdict::refuse(refusal)
}
