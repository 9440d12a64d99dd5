use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Bytes of randomness in an id.
const RANDOM: usize = 16;

/// An id that nobody guesses: 22 characters of the URL-safe base64 alphabet.
pub(crate) fn random_id() -> String {
    let mut bytes = [0; RANDOM];
    // A system without randomness cannot run a server that hands out credentials.
    getrandom::fill(&mut bytes).expect("the operating system has random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Two of them, for the price of one call into the system.
pub(crate) fn two_random_ids() -> (String, String) {
    let mut bytes = [0; 2 * RANDOM];
    getrandom::fill(&mut bytes).expect("the operating system has random bytes");
    let (one, two) = bytes.split_at(RANDOM);
    (URL_SAFE_NO_PAD.encode(one), URL_SAFE_NO_PAD.encode(two))
}
