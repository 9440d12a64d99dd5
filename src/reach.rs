use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use http::{
    Uri,
    uri::{Authority, Scheme},
};
use sha2::Sha256;

/// The longest address, in bytes.
const LONGEST: usize = 512;

/// Bytes of a key.
const KEY: usize = 16;

/// So much of its node's id stands at the beginning of a socket id.
pub(crate) const TAG: usize = 8;

/// Characters of the random part of a socket id.
const RANDOM: usize = 22;

/// Bytes of the code at the end of a socket id, and its characters.
const CODE: usize = 6;
const CODE_TEXT: usize = 8;

/// How other nodes reach one: its address, and the key by which they prove that they are nodes.
///
/// Both stand in the node's lease. The key is random and lasts as long as the node runs: whoever
/// may read the leases may relay, and nobody has to configure or to exchange anything.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Reach {
    uri: Box<str>,
    key: [u8; KEY],
}

impl Reach {
    /// With a new key.
    pub(crate) fn new(uri: String) -> Self {
        let mut key = [0; KEY];
        getrandom::fill(&mut key).expect("the operating system has random bytes");
        let uri = uri.into();
        Self { uri, key }
    }

    pub(crate) fn parse(uri: &str, key: &str) -> Option<Self> {
        let mut bytes = [0; KEY];
        let fits = key.len() == 22 && URL_SAFE_NO_PAD.decode_slice(key, &mut bytes) == Ok(KEY);
        (fits && is_address(uri)).then(|| Self {
            uri: uri.into(),
            key: bytes,
        })
    }

    pub(crate) fn encode(&self) -> String {
        format!("{}|{}", self.uri, URL_SAFE_NO_PAD.encode(self.key))
    }

    /// Where its endpoint is, without a slash at the end.
    pub(crate) const fn uri(&self) -> &str {
        &self.uri
    }

    /// A socket id that names its node, and that only nodes can make.
    pub(crate) fn stamp(&self, node: &str, random: &str) -> String {
        let named = [tag(node).unwrap_or_default(), random].concat();
        let code = self.sid_code(&named);
        named + &code
    }

    /// Whether a socket id was made by this node.
    pub(crate) fn has_stamped(&self, sid: &str) -> bool {
        let Some((named, code)) = sid.split_at_checked(TAG + RANDOM) else {
            return false;
        };
        // Whoever guesses needs a request a guess, and learns nothing but where a client is not.
        self.sid_code(named) == code
    }

    /// Proves something to this node.
    pub(crate) fn code(&self, of: &[&[u8]]) -> Hmac<Sha256> {
        let mut code =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length will do");
        for part in of {
            // No part runs into the next one.
            code.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            code.update(part);
        }
        code
    }

    fn sid_code(&self, named: &str) -> String {
        let code = self.code(&[b"sid", named.as_bytes()]).finalize();
        URL_SAFE_NO_PAD.encode(&code.into_bytes()[..CODE])
    }
}

/// The key is a credential.
impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Reach").field(&self.uri).finish()
    }
}

/// What a socket id of this node begins with.
fn tag(node: &str) -> Option<&str> {
    node.get(..TAG)
}

/// What the node begins with that has made a socket id; nothing if no node makes such.
pub(crate) fn tag_of(sid: &str) -> Option<&str> {
    let stamped = sid.len() == TAG + RANDOM + CODE_TEXT;
    stamped.then(|| sid.get(..TAG))?
}

/// Whether requests can be sent there: `http://`, a host, perhaps a port and a path.
pub(crate) fn is_address(text: &str) -> bool {
    let plain = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
    let Ok(uri) = text.parse::<Uri>() else {
        return false;
    };
    plain
        && uri.scheme() == Some(&Scheme::HTTP)
        && uri.authority().is_some_and(is_place)
        && uri.query().is_none()
        && !text.contains(['#', '|'])
}

/// Whether it is a host, perhaps with a port, and nobody's name.
fn is_place(authority: &Authority) -> bool {
    let (text, host) = (authority.as_str(), authority.host());
    let port = |rest: &str| {
        let digits = rest.strip_prefix(':')?;
        let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
        plain.then(|| digits.parse::<u16>().ok())?
    };
    let usable = |rest: &str| rest.is_empty() || port(rest).is_some_and(|port| port > 0);
    !host.is_empty() && text.strip_prefix(host).is_some_and(usable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::random_id;

    #[test]
    fn a_reach_comes_back_as_written() {
        let reach = Reach::new("http://10.0.0.1:3000/stream".to_owned());
        let text = reach.encode();
        let (uri, key) = text.split_once('|').unwrap();
        assert_eq!(Reach::parse(uri, key), Some(reach));
    }

    #[test]
    fn what_is_no_address_is_not_read() {
        let key = "AAAAAAAAAAAAAAAAAAAAAA";
        for bad in [
            "",
            "/stream",
            "10.0.0.1:3000",
            "https://a:1/",
            "ftp://a:1/",
            "http://",
            "http:///x",
            "http://:80/",
            "http://a@b/",
            "http://a/?b",
            "http://a/#b",
            "http://a b/",
            "http://a/|",
            "http://a:99999/",
            "http://a:0/",
            "http://a:/",
            "http://a:+1/",
            "http://é/",
        ] {
            assert_eq!(Reach::parse(bad, key), None, "{bad}");
        }
        for good in [
            "http://a",
            "http://[::1]:3000/x/stream",
            "http://10.0.0.1:1/stream",
        ] {
            assert!(Reach::parse(good, key).is_some(), "{good}");
        }
        for bad in [
            "",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAA!",
        ] {
            assert_eq!(Reach::parse("http://a", bad), None, "{bad}");
        }
    }

    #[test]
    fn a_socket_id_is_stamped_by_its_node_alone() {
        let (node, other) = (random_id(), random_id());
        let reach = Reach::new("http://a".to_owned());
        let sid = reach.stamp(&node, &random_id());

        assert_eq!(tag_of(&sid), Some(&node[..TAG]));
        assert_ne!(tag_of(&sid), Some(&other[..TAG]));
        assert!(reach.has_stamped(&sid));
        assert!(!Reach::new("http://a".to_owned()).has_stamped(&sid));
        for index in 0..sid.len() {
            let mut forged = sid.clone().into_bytes();
            forged[index] = if forged[index] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(!reach.has_stamped(&forged), "{index}");
        }
    }

    #[test]
    fn an_address_has_a_longest() {
        let key = "AAAAAAAAAAAAAAAAAAAAAA";
        let fits = format!("http://a/{}", "x".repeat(LONGEST - 9));
        assert!(Reach::parse(&fits, key).is_some());
        assert_eq!(Reach::parse(&format!("{fits}x"), key), None);
    }

    #[test]
    fn no_part_of_what_is_proven_runs_into_the_next_one() {
        let reach = Reach::new("http://a".to_owned());
        let code = |of: &[&[u8]]| reach.code(of).finalize().into_bytes();
        assert_eq!(code(&[b"ab", b"c"]), code(&[b"ab", b"c"]));
        assert_ne!(code(&[b"ab", b"c"]), code(&[b"a", b"bc"]));
        assert_ne!(code(&[b"ab", b"c"]), code(&[b"abc"]));
    }

    #[test]
    fn what_no_node_makes_names_none() {
        for bad in ["", "x", &"x".repeat(37), &"x".repeat(39), &"é".repeat(19)] {
            let reach = Reach::new("http://a".to_owned());
            assert!(tag_of(bad).is_none() || !reach.has_stamped(bad), "{bad}");
        }
        assert_eq!(tag_of(&random_id()), None);
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let reach = Reach::parse("http://a", "AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        assert_eq!(format!("{reach:?}"), "Reach(\"http://a\")");
    }
}
