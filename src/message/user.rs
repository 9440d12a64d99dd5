use std::{fmt, sync::Arc};

/// Whom a connection belongs to: account, session and socket id.
///
/// Cheap to clone. Two users are equal when all three parts are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct User {
    parts: Arc<Parts>,
}

/// The three texts one after the other, so that an idle connection pays for one allocation.
#[derive(PartialEq, Eq, Hash)]
struct Parts {
    text: Box<str>,
    account: usize,
    session: usize,
}

impl User {
    /// Puts a user together; a server does so at every handshake, tests may do so too.
    #[must_use]
    pub fn new(account: &str, session: &str, sid: &str) -> Self {
        let text = [account, session, sid].concat().into_boxed_str();
        Self {
            parts: Arc::new(Parts {
                text,
                account: account.len(),
                session: account.len() + session.len(),
            }),
        }
    }

    /// Whom the connection belongs to: 1 to 256 bytes without control characters.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.parts.text[..self.parts.account]
    }

    /// Our id of the connection, unguessable and unique in the cluster unless the application
    /// chose it.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.parts.text[self.parts.account..self.parts.session]
    }

    /// Engine.IO's id of the connection. Whoever knows it can speak for the client: it is a
    /// credential, and `Debug` does not show it.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.parts.text[self.parts.session..]
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("account", &self.account())
            .field("session", &self.session())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::User;

    #[test]
    fn parts_come_back_as_given() {
        let user = User::new("ann@é", "s-1", "sid");
        assert_eq!(
            (user.account(), user.session(), user.sid()),
            ("ann@é", "s-1", "sid")
        );
    }

    #[test]
    fn debug_does_not_show_the_sid() {
        let shown = format!("{:?}", User::new("ann", "s", "secret-sid"));
        assert!(
            shown.contains("ann") && !shown.contains("secret"),
            "{shown}"
        );
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(User::new("a", "bc", "d"), User::new("ab", "c", "d"));
    }
}
