use std::{borrow::Cow, fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    account::is_name,
    bus::Wait,
    message::{Args, is_reserved},
    node::To,
};

/// How long an event for one session may take to get as far as is wanted.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is to be published.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) to: Target,
    pub(super) event: String,
    pub(super) args: Args,
}

/// For whom it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    Session {
        account: String,
        session: String,
        wait: Wait,
    },
    Account(String),
    All,
}

/// Why a body is not to be published.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is not JSON.
    Broken(String),
    /// It is JSON, and says something else.
    Invalid(String),
}

impl Document {
    /// # Errors
    ///
    /// What is wrong with the body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let text = simdutf8::compat::from_utf8(body)
            .map_err(|error| Unreadable::Broken(error.to_string()))?;
        let fields: Fields<'_> =
            serde_json::from_str(text).map_err(|error| unread(text, &error))?;
        // A list of values would be taken for the fields, in order.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(Unreadable::Invalid("not an object".to_owned()));
        }
        fields.into_document().map_err(Unreadable::Invalid)
    }
}

/// A value of the wrong type hides what stands behind it: the whole decides whether this is JSON.
fn unread(text: &str, error: &serde_json::Error) -> Unreadable {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Unreadable::Invalid(error.to_string()),
        Err(error) => Unreadable::Broken(error.to_string()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    to: Whom,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "given")]
    args: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "given")]
    wait: Option<Cow<'a, str>>,
}

impl Fields<'_> {
    fn into_document(self) -> Result<Document, String> {
        let args = match self.args.map(RawValue::get) {
            None => Args::empty(),
            Some(args) => Args::from_json(args).map_err(|_| "args is not an array")?,
        };
        if is_reserved(&self.event) {
            return Err("event names that begin with `error::` are reserved".to_owned());
        }
        Ok(Document {
            to: self.to.until(self.wait.as_deref())?,
            event: self.event.into_owned(),
            args,
        })
    }
}

/// What is there must not be null.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(json: D) -> Result<Option<T>, D::Error> {
    T::deserialize(json).map(Some)
}

enum Whom {
    Session(String, String),
    Account(String),
    All,
}

impl Whom {
    fn until(self, wait: Option<&str>) -> Result<Target, String> {
        let name = |name: String, what| match is_name(&name) {
            true => Ok(name),
            false => Err(format!(
                "{what} must be 1 to 256 bytes without control characters"
            )),
        };
        if wait.is_some() && !matches!(self, Self::Session(..)) {
            return Err("wait is for one session".to_owned());
        }
        Ok(match self {
            Self::Session(account, session) => Target::Session {
                account: name(account, "account")?,
                session: name(session, "session")?,
                wait: match wait {
                    None | Some("enqueued") => Wait::enqueued(PATIENCE),
                    Some("written") => Wait::written(PATIENCE),
                    Some(_) => return Err("wait must be enqueued or written".to_owned()),
                },
            },
            Self::Account(account) => Target::Account(name(account, "account")?),
            Self::All => Target::All,
        })
    }
}

impl<'de> Deserialize<'de> for Whom {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(AnyWhom)
    }
}

struct AnyWhom;

impl<'de> Visitor<'de> for AnyWhom {
    type Value = Whom;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"{"session": [ACCOUNT, SESSION]}, {"account": ACCOUNT} or "all""#)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Whom, E> {
        match text {
            "all" => Ok(Whom::All),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Whom, M::Error> {
        let whom = match map.next_key::<Cow<'de, str>>()?.as_deref() {
            Some("session") => {
                let (account, session) = map.next_value()?;
                Whom::Session(account, session)
            }
            Some("account") => Whom::Account(map.next_value()?),
            _ => {
                return Err(M::Error::custom(format_args!(
                    "expected {}",
                    Expected(&self)
                )));
            }
        };
        match map.next_key::<IgnoredAny>()? {
            None => Ok(whom),
            Some(_) => Err(M::Error::custom("to has more than one key")),
        }
    }
}

struct Expected<'a>(&'a AnyWhom);

impl fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

impl<'a> Target {
    /// For whom it is, where nothing is waited for.
    pub(super) fn as_to(&'a self) -> To<'a> {
        match self {
            Self::Session {
                account, session, ..
            } => To::session(account, session),
            Self::Account(account) => To::Account(account),
            Self::All => To::All,
        }
    }
}
