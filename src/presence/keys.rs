use std::{fmt::Write as _, sync::Arc};

/// Into how many parts the directory is divided, each in one slot of a Cluster.
pub(super) const BUCKETS: u8 = 64;

/// The names of everything that is stored.
///
/// A key begins with its hash tag, and nothing before the tag's end comes from a client: an account
/// ends its key, so that no account runs into another or into a different slot.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    namespace: Arc<str>,
}

#[cfg_attr(
    not(feature = "redis"),
    allow(
        dead_code,
        reason = "memory has no keys; notices name them all the same"
    )
)]
impl Keys {
    pub(super) fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.into(),
        }
    }

    /// HASH node -> lease.
    pub(super) fn leases(&self) -> String {
        format!("{{{}:n}}:leases", self.namespace)
    }

    /// LIST of what a node lost to others.
    pub(super) fn evictions(&self, node: &str) -> String {
        format!("{{{}:n}}:x:{node}", self.namespace)
    }

    /// The claim to clear up after a node.
    pub(super) fn claim(&self, node: &str) -> String {
        format!("{{{}:n}}:claim:{node}", self.namespace)
    }

    /// HASH session -> entry.
    pub(super) fn account(&self, account: &str) -> String {
        let mut key = self.part(bucket(account), 'a');
        key.push(':');
        key.push_str(account);
        key
    }

    /// What tells one life of a bucket from the next.
    pub(super) fn marker(&self, bucket: u8) -> String {
        self.part(bucket, 'm')
    }

    /// HASH node -> the marker and epoch under which it has written all its part.
    pub(super) fn written(&self, bucket: u8) -> String {
        self.part(bucket, 'w')
    }

    /// SET of the sessions that a node has in a bucket.
    pub(super) fn index(&self, bucket: u8, node: &str) -> String {
        let mut key = self.part(bucket, 'i');
        key.push(':');
        key.push_str(node);
        key
    }

    /// HASH who is followed and who follows, as a member -> when that was last said.
    pub(super) fn follows(&self, account: &str) -> String {
        let mut key = self.part(bucket(account), 'f');
        key.push(':');
        key.push_str(account);
        key
    }

    fn part(&self, bucket: u8, kind: char) -> String {
        let mut key = String::with_capacity(self.namespace.len() + 8);
        // Writing into a String does not fail.
        let _ = write!(key, "{{{}:{bucket}}}:{kind}", self.namespace);
        key
    }
}

/// The bucket of an account: the same on every node and in every version. (FNV-1a)
pub(super) fn bucket(account: &str) -> u8 {
    let hash = account
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    u8::try_from((hash ^ (hash >> 32)) % u64::from(BUCKETS)).unwrap_or(0)
}

/// An account and a session as one text, for the index of a node.
pub(super) fn member(account: &str, session: &str) -> String {
    format!("{}:{account}{session}", account.len())
}

/// What [`member`] made of account and session.
pub(super) fn parse_member(member: &str) -> Option<(&str, &str)> {
    let (length, names) = member.split_once(':')?;
    names.split_at_checked(length.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_with_braces_stays_in_its_bucket() {
        let keys = Keys::new("ns");
        for account in ["}x{", "{other:3}", "a:m", "ann"] {
            let tag = format!("{{ns:{}}}:a:", bucket(account));
            assert_eq!(keys.account(account), format!("{tag}{account}"));
        }
    }

    #[test]
    fn no_account_is_named_like_something_else() {
        let keys = Keys::new("ns");
        let others =
            (0..BUCKETS).flat_map(|b| [keys.marker(b), keys.written(b), keys.index(b, "n")]);
        let others: Vec<String> = others.collect();
        for account in ["m", "w", ":m", "i:n", ""] {
            assert!(!others.contains(&keys.account(account)), "{account}");
        }
    }

    #[test]
    fn members_do_not_run_into_each_other() {
        assert_ne!(member("a", "bc"), member("ab", "c"));
        assert_ne!(member("1:a", "b"), member("1", ":ab"));
        assert_eq!(parse_member(&member("é:1", "s")), Some(("é:1", "s")));
        for bad in ["", "x", "9:a", "1:é", "-1:a", ":"] {
            assert_eq!(parse_member(bad), None, "{bad}");
        }
    }

    #[test]
    fn accounts_spread_over_the_buckets() {
        let mut counts = [0; BUCKETS as usize];
        for number in 0..6400 {
            counts[usize::from(bucket(&format!("account-{number}")))] += 1;
        }
        assert!(
            counts.iter().all(|count| (40..=180).contains(count)),
            "{counts:?}"
        );
    }
}
