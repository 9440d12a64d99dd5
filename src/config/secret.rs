use std::fmt;

use hmac::{Hmac, KeyInit, Mac, digest::CtOutput};
use serde::Deserialize;
use sha2::Sha256;

use super::{ConfigError, settings::check};

/// The shortest secret, in bytes.
const SHORTEST: usize = 16;

/// The longest one, in bytes: it travels in a header.
const LONGEST: usize = 1024;

/// A secret that somebody outside shows to publish events: 16 to 1,024 bytes without spaces and
/// control characters, best random ones.
///
/// It is checked where it is used, and never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(Box<str>);

impl<T: Into<Box<str>>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Secrets that count, any of them.
///
/// They are kept, and compared in constant time, as codes under a key of this process: neither
/// their length nor where a guess goes wrong shows in the time that it takes.
#[derive(Clone)]
pub(crate) struct Secrets {
    key: Hmac<Sha256>,
    codes: Vec<CtOutput<Hmac<Sha256>>>,
}

impl Secrets {
    pub(crate) fn new() -> Self {
        let mut key = [0; 64];
        getrandom::fill(&mut key).expect("the operating system has random bytes");
        Self {
            key: Hmac::new(&key.into()),
            codes: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, secret: &Secret) -> Result<(), ConfigError> {
        let bytes = secret.0.as_bytes();
        let setting = "publish_secret";
        let long_enough = bytes.len() >= SHORTEST;
        check(long_enough, setting, "must be at least 16 bytes")?;
        let short_enough = bytes.len() <= LONGEST;
        check(short_enough, setting, "must be at most 1,024 bytes")?;
        let visible = |c: char| !c.is_whitespace() && !c.is_control();
        let plain = secret.0.chars().all(visible);
        check(plain, setting, "must be without spaces")?;
        self.codes.push(self.code(bytes));
        Ok(())
    }

    /// Whether this is one of them.
    pub(crate) fn knows(&self, given: &[u8]) -> bool {
        let given = self.code(given);
        let each = self.codes.iter();
        each.fold(false, |known, code| known | (*code == given))
    }

    fn code(&self, secret: &[u8]) -> CtOutput<Hmac<Sha256>> {
        self.key.clone().chain_update(secret).finalize()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.codes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_as_a_whole() {
        let mut secrets = Secrets::new();
        assert!(!secrets.knows(b""));
        secrets
            .add(&"a secret-that-fits".replace(' ', "-").into())
            .unwrap();
        secrets.add(&"another-one-that-fits".into()).unwrap();

        assert!(secrets.knows(b"a-secret-that-fits"));
        assert!(secrets.knows(b"another-one-that-fits"));
        for bad in [
            "",
            "a-secret-that-fit",
            "a-secret-that-fits-",
            "A-secret-that-fits",
        ] {
            assert!(!secrets.knows(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_secret_that_makes_no_sense_is_refused_by_name() {
        for bad in [
            "",
            "fifteen-bytes-.",
            "with some spaces in it",
            "with-a-line-break\n",
        ] {
            let error = Secrets::new().add(&bad.into()).unwrap_err();
            assert_eq!(error.setting(), "publish_secret", "{bad}");
        }
        assert!(Secrets::new().add(&"x".repeat(1025).into()).is_err());
        assert!(Secrets::new().add(&"sixteen-bytes---".into()).is_ok());
    }

    #[test]
    fn nobody_is_shown_a_secret() {
        let secret = Secret::from("sixteen-bytes---");
        assert!(!format!("{secret:?}").contains("sixteen"));
        let mut secrets = Secrets::new();
        secrets.add(&secret).unwrap();
        assert_eq!(format!("{secrets:?}"), "1 secrets");
    }
}
