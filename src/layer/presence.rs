use std::time::Duration;

use super::PrimacronLayer;
use crate::config::FencedPolicy;

/// # Presence
///
/// How the directory of sessions is kept in Redis, or in the memory of a
/// [`Cluster`](crate::Cluster); for a node that is alone none of it matters.
impl<M> PrimacronLayer<M> {
    /// What the names of all keys in Redis begin with; `primacron` by default. Nodes of the same
    /// namespace are one cluster.
    #[must_use]
    #[track_caller]
    pub fn namespace(self, namespace: &str) -> Self {
        self.try_set(|settings| settings.presence.set_namespace(namespace))
    }

    /// How often a node renews its lease (500 ms by default), after how long without it others
    /// suspect it and say [`Uncertain`](crate::Find::Uncertain) of its sessions (2.5 s), and after
    /// how long they give it up (4 s). All nodes of a cluster should agree.
    #[must_use]
    #[track_caller]
    pub fn liveness(self, lease: Duration, suspect: Duration, dead: Duration) -> Self {
        self.try_set(|settings| settings.presence.set_liveness(lease, suspect, dead))
    }

    /// How long the open packet of a new connection waits until all nodes can find it; 100 ms by
    /// default. It does not wait while Redis is away.
    #[must_use]
    #[track_caller]
    pub fn presence_wait(self, wait: Duration) -> Self {
        self.try_set(|settings| settings.presence.set_wait(wait))
    }

    /// Whether a connection that cannot be found in that time, or while Redis is away, is refused
    /// with 503; `false` by default.
    #[must_use]
    pub fn require_presence(self, required: bool) -> Self {
        self.set(|settings| settings.presence.required = required)
    }

    /// How many entries go to Redis at once; 512 by default. They are written in steps of 64, so that
    /// Redis serves others in between: a step takes it less than a millisecond.
    #[must_use]
    #[track_caller]
    pub fn presence_batch(self, commands: usize) -> Self {
        self.try_set(|settings| settings.presence.set_batch(commands))
    }

    /// How many entries a second are written at most when there are many, after a restart of Redis
    /// say; 50,000 by default.
    #[must_use]
    #[track_caller]
    pub fn presence_rate(self, entries: u32) -> Self {
        self.try_set(|settings| settings.presence.set_rate(entries))
    }

    /// How many removals may wait for Redis to come back; 100,000 by default. With more, all
    /// entries are written again under a new epoch, in which the old ones do not count.
    #[must_use]
    #[track_caller]
    pub fn presence_backlog(self, entries: usize) -> Self {
        self.try_set(|settings| settings.presence.set_backlog(entries))
    }

    /// What becomes of the clients of a node that the others have given up;
    /// [`Keep`](FencedPolicy::Keep) by default.
    #[must_use]
    pub fn fenced_policy(self, policy: FencedPolicy) -> Self {
        self.set(|settings| settings.presence.fenced = policy)
    }

    /// Whether an index in Redis lists the sessions of this node; `true` by default.
    ///
    /// It is what others clear up by when the node dies: they remove its entries and tell each
    /// session by [`Notice::Leave`](crate::Notice::Leave). Where many come and go at once, Redis works
    /// about 11 us for a connect, and 5 us for a close; without the index 11 us and 4 us. A session takes
    /// 340 bytes of Redis, and 260 bytes without. Where few come at a time, both together cost about
    /// 30 us, and 26 us without. (Redis 7.0, two sessions an account.)
    ///
    /// Without it nobody tells of the sessions of a node that died. They are found no more in the same
    /// time as ever, because entries of dead nodes do not count; what is left of them goes when it is
    /// read, or [expires](Self::presence_expiry). Sessions that end as they should are told of as
    /// ever. Nodes that do and nodes that do not may be of one cluster: an account that has sessions of
    /// both is kept in whichever way it began. What expires is written again all the time, of a million
    /// sessions 1,700 a second. In the memory of a [`Cluster`](crate::Cluster) it is
    /// the same, and costs next to nothing either way.
    #[must_use]
    pub fn leave_feed(self, listed: bool) -> Self {
        self.set(|settings| settings.presence.leave_feed = listed)
    }

    /// How long entries stay in Redis that no index lists and nobody writes again; an hour by
    /// default, and four dead times at least. It matters without a [leave feed](Self::leave_feed).
    ///
    /// A node writes its own again six times as often, evenly spread. If it gets as far behind as half
    /// of this time, the part in question does not count as written until it is, and what is not found
    /// there is [`Uncertain`](crate::Find::Uncertain).
    #[must_use]
    #[track_caller]
    pub fn presence_expiry(self, expiry: Duration) -> Self {
        self.try_set(|settings| settings.presence.set_expiry(expiry))
    }

    /// How long one command or batch may take before Redis counts as away; 1 s by default.
    #[must_use]
    #[track_caller]
    pub fn command_timeout(self, timeout: Duration) -> Self {
        self.try_set(|settings| settings.presence.set_command_timeout(timeout))
    }

    /// Lets clients speak with any node: a request that belongs to a connection of another node is
    /// relayed to it, on both transports, so that no balancer has to keep clients on their node.
    /// By default it is refused with 400, and the client connects anew.
    ///
    /// `uri` is where other nodes reach this one, like `http://10.0.0.1:3000`, with a path where the
    /// layer is nested below one. It goes into the node's lease, together with a random key: who
    /// relays proves that it can read the leases, and nothing else is ever dialled. Relays arrive at
    /// `/stream/relay`, right below the endpoint; layers around this one must let them pass. The
    /// account function, and what decides about accounts around it, runs on the node that the client
    /// speaks to.
    ///
    /// A node with an account function answers 403 to what comes by way of a node without one: give
    /// all of them one, or none.
    ///
    /// Nodes speak plain HTTP with one another: the network between them must be yours. A relayed
    /// websocket costs the node on its way two buffers of 8 KB beside the two connections. When that
    /// node is [drained](crate::Handle::drain), it stops reading such websockets one by one, over
    /// three quarters of the window, and their own nodes close them; a message that is half on its way
    /// is lost. A node of its own has nobody to relay to.
    #[must_use]
    #[track_caller]
    pub fn advertise(self, uri: &str) -> Self {
        self.try_set(|settings| settings.set_advertise(uri))
    }
}
