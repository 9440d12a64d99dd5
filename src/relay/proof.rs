use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::Mac;
use http::Method;

use crate::reach::Reach;

/// The version of relays.
const VERSION: &str = "1";

/// The longest proof: it names an account of at most 256 bytes.
const LONGEST: usize = 1024;

/// What a proof is about.
pub(super) struct Subject<'a> {
    /// The node that is relayed to.
    pub(super) to: &'a str,
    pub(super) method: &'a Method,
    pub(super) query: &'a str,
    /// Whether the request asks to become a websocket.
    pub(super) upgrade: bool,
}

/// Who relays, for the how manieth time, and what that node found out about the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) from: Box<str>,
    pub(super) number: u64,
    pub(super) whose: Whose,
}

/// Whose request it is, as far as a node has found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Nobody has said so.
    Nobody,
    /// The client says so.
    Claimed(String),
    /// An account function says so.
    Verified(String),
}

impl Whose {
    pub(crate) fn account(&self) -> Option<&str> {
        match self {
            Self::Nobody => None,
            Self::Claimed(account) | Self::Verified(account) => Some(account),
        }
    }

    pub(crate) const fn is_verified(&self) -> bool {
        matches!(self, Self::Verified(_))
    }

    fn encode(&self) -> String {
        match self {
            Self::Nobody => "-".to_owned(),
            Self::Claimed(account) => format!("a{}", URL_SAFE_NO_PAD.encode(account)),
            Self::Verified(account) => format!("v{}", URL_SAFE_NO_PAD.encode(account)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "-" {
            return Some(Self::Nobody);
        }
        let (kind, account) = text.split_at_checked(1)?;
        let account = String::from_utf8(URL_SAFE_NO_PAD.decode(account).ok()?).ok()?;
        match kind {
            "a" => Some(Self::Claimed(account)),
            "v" => Some(Self::Verified(account)),
            _ => None,
        }
    }
}

impl Claim {
    /// Proves the claim to the node with this key.
    pub(super) fn prove(&self, subject: &Subject<'_>, reach: &Reach) -> String {
        let whose = self.whose.encode();
        let claim = format!("{VERSION}.{}.{}.{whose}", self.from, self.number);
        let code = subject.code(&claim, reach).finalize().into_bytes();
        format!("{claim}.{}", URL_SAFE_NO_PAD.encode(code))
    }

    /// The claim, if it is proven.
    pub(super) fn verify(proof: &str, subject: &Subject<'_>, reach: &Reach) -> Option<Self> {
        if proof.len() > LONGEST {
            return None;
        }
        let (claim, code) = proof.rsplit_once('.')?;
        let code = URL_SAFE_NO_PAD.decode(code).ok()?;
        // In constant time. Nothing of the claim is looked at before.
        subject.code(claim, reach).verify_slice(&code).ok()?;
        Self::parse(claim)
    }

    fn parse(claim: &str) -> Option<Self> {
        let mut parts = claim.split('.');
        let version = parts.next()?;
        let from = parts.next().filter(|from| !from.is_empty())?.into();
        let number = parts.next()?.parse().ok()?;
        let whose = Whose::parse(parts.next()?)?;
        let complete = version == VERSION && parts.next().is_none();
        complete.then_some(Self {
            from,
            number,
            whose,
        })
    }
}

impl Subject<'_> {
    fn code(&self, claim: &str, reach: &Reach) -> hmac::Hmac<sha2::Sha256> {
        reach.code(&[
            b"relay",
            self.to.as_bytes(),
            self.method.as_str().as_bytes(),
            self.query.as_bytes(),
            &[u8::from(self.upgrade)],
            claim.as_bytes(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject<'static> = Subject {
        to: "there",
        method: &Method::GET,
        query: "sid=x",
        upgrade: false,
    };

    fn claim() -> Claim {
        Claim {
            from: "here".into(),
            number: 7,
            whose: Whose::Verified("ann.é".to_owned()),
        }
    }

    fn reach() -> Reach {
        Reach::new("http://a".to_owned())
    }

    #[test]
    fn a_proof_is_verified_with_the_same_key() {
        let reach = reach();
        for whose in [
            Whose::Nobody,
            Whose::Claimed(String::new()),
            Whose::Claimed("ann".to_owned()),
            Whose::Verified("ann".to_owned()),
        ] {
            let mut claim = claim();
            claim.whose = whose;
            let proof = claim.prove(&SUBJECT, &reach);
            assert_eq!(Claim::verify(&proof, &SUBJECT, &reach), Some(claim));
            assert_eq!(Claim::verify(&proof, &SUBJECT, &self::reach()), None);
        }
    }

    #[test]
    fn a_proof_is_about_one_request() {
        let reach = reach();
        let proof = claim().prove(&SUBJECT, &reach);
        for other in [
            Subject {
                to: "where",
                ..SUBJECT
            },
            Subject {
                method: &Method::POST,
                ..SUBJECT
            },
            Subject {
                query: "sid=y",
                ..SUBJECT
            },
            Subject {
                upgrade: true,
                ..SUBJECT
            },
        ] {
            assert_eq!(Claim::verify(&proof, &other, &reach), None);
        }
    }

    #[test]
    fn what_is_proven_and_makes_no_sense_is_refused() {
        let reach = reach();
        for (from, account) in [("", 3), ("a.b", 3), ("here", LONGEST)] {
            let mut claim = claim();
            claim.from = from.into();
            claim.whose = Whose::Verified("x".repeat(account));
            let proof = claim.prove(&SUBJECT, &reach);
            assert_eq!(
                Claim::verify(&proof, &SUBJECT, &reach),
                None,
                "{from} {account}"
            );
        }
        for claim in [
            "2.here.7.-",
            "1.here.x.-",
            "1.here.7.-.-",
            "1.here.7.x",
            "1.here.7",
        ] {
            let code = SUBJECT.code(claim, &reach).finalize().into_bytes();
            let proof = format!("{claim}.{}", URL_SAFE_NO_PAD.encode(code));
            assert_eq!(Claim::verify(&proof, &SUBJECT, &reach), None, "{claim}");
        }
    }

    #[test]
    fn no_byte_of_a_proof_can_be_another_one() {
        let reach = reach();
        let proof = claim().prove(&SUBJECT, &reach);
        for index in 0..proof.len() {
            let mut forged = proof.clone().into_bytes();
            forged[index] = if forged[index] == b'1' { b'2' } else { b'1' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(Claim::verify(&forged, &SUBJECT, &reach), None, "{forged}");
        }
        let claimed = proof.replacen(".v", ".a", 1);
        assert_eq!(Claim::verify(&claimed, &SUBJECT, &reach), None);
        for bad in ["", ".", "1.here.7.-", "....", &"x".repeat(2000)] {
            assert_eq!(Claim::verify(bad, &SUBJECT, &reach), None, "{bad}");
        }
    }
}
