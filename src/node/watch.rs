mod account;

use std::fmt;

use self::account::OfAccount;
use super::{Handle, feed::All};
use crate::presence::Movement;

/// Joins and leaves: of one account, made by [`Handle::watch`], or of all, made by
/// [`Handle::watch_all`].
///
/// It keeps its node alive, as a [`Handle`] does.
pub struct Watch {
    handle: Handle,
    of: Of,
}

enum Of {
    Account(Box<OfAccount>),
    All(All),
}

/// # Who comes and goes
impl Handle {
    /// The joins and leaves of an account on all nodes, from now on; first a join for each of its
    /// sessions that is there already.
    ///
    /// While somebody waits for [`Watch::next`], the account is read once a lease (500 ms by
    /// default): one small script in Redis for each watched account. A session that came and went
    /// between two looks is not told of, and nobody is said to have left while the directory is not
    /// known for sure.
    #[must_use]
    pub fn watch(&self, account: &str) -> Watch {
        Watch {
            handle: self.clone(),
            of: Of::Account(Box::new(OfAccount::new(account))),
        }
    }

    /// The joins and leaves of all accounts on all nodes, from now on; first a join for each session
    /// that is there already.
    ///
    /// As long as the [`Watch`] lives, every node tells this one who comes and goes there. What the
    /// nodes that are alive have told is told here at least once and in order: of one session the
    /// generations never fall. Who was on a node that died has left within 5 s by the usual periods,
    /// if he is not elsewhere by then; nobody is said to have left because Redis lost what it knew,
    /// or because this node does not reach it.
    ///
    /// ```
    /// use primacron::{Handle, Movement};
    ///
    /// # async fn example(handle: Handle) {
    /// let mut everybody = handle.watch_all();
    /// loop {
    ///     match everybody.next().await {
    ///         Movement::Join { account, session, node, .. } => {
    ///             println!("{account} is connected to {node} with {session}");
    ///         }
    ///         Movement::Leave { account, session, .. } => println!("{account} left with {session}"),
    ///         _ => {}
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # What it costs
    ///
    /// Nothing where nobody watches: not on the nodes, and not in Redis. Where somebody does:
    ///
    /// - Each node sends what came and went to each node that watches, as one entry of the bus with
    ///   512 movements at most, and gets a small one back. Between two of them it waits 10 ms, and in
    ///   larger clusters 2 ms for each node: so all of them together send a node that watches 500
    ///   entries a second at most, however many come and go. A movement takes about 10 bytes and the
    ///   names of account and session. Who is there already comes the same way. A silent node is asked
    ///   once in 10 s whether something was lost.
    /// - The node that watches remembers all sessions of the cluster, one million of each node at
    ///   most: 90 to 120 bytes for each with names of 32 bytes together, and once, however many watch
    ///   on it. When a node dies it looks through all of them.
    ///
    /// A reader may be slow: beyond 8,192 movements that wait, it is told of each session only what
    /// has become of it when its turn comes, and [`Watch::missed`] counts what it does not hear. Its
    /// memory is bounded by that of what is there, and of what it was told.
    ///
    /// A node of its own, without Redis, looks at its connections twice a second while somebody waits.
    #[must_use]
    pub fn watch_all(&self) -> Watch {
        Watch {
            handle: self.clone(),
            of: Of::All(All::begin(self)),
        }
    }
}

impl Watch {
    /// The next join or leave.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, nothing is missed.
    pub async fn next(&mut self) -> Movement {
        match &mut self.of {
            Of::Account(account) => account.next(&self.handle).await,
            Of::All(all) => all.next(&self.handle).await,
        }
    }

    /// How many movements were overtaken by later ones of the same session before they could be read.
    /// What has become of a session is heard all the same. Always 0 for one account, where nothing
    /// is known of what happens between two looks.
    #[must_use]
    pub fn missed(&self) -> u64 {
        match &self.of {
            Of::Account(_) => 0,
            Of::All(all) => all.missed(),
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = match &self.of {
            Of::Account(account) => Some(account.name()),
            Of::All(_) => None,
        };
        f.debug_struct("Watch")
            .field("account", &account)
            .finish_non_exhaustive()
    }
}
