use rustls::crypto::{CryptoProvider, ring};

/// Names the cryptography of this process, unless the application has: without that rustls panics
/// where more than one is compiled in.
pub(super) fn choose_cryptography() {
    if CryptoProvider::get_default().is_none() {
        // An error says that somebody else did so just now.
        drop(ring::default_provider().install_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_cryptography_after_it_and_it_may_be_asked_for_twice() {
        choose_cryptography();
        choose_cryptography();
        assert!(CryptoProvider::get_default().is_some());
    }
}
