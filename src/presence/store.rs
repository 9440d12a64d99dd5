use futures_util::future::BoxFuture;

use super::{
    core::CHECKS,
    job::{Beat, Job, Lookup, Reply, Table},
    liveness::Corpse,
    value::Lease,
};
use crate::{error::StoreError, message::User};

/// What a store answers some day; within a time of the store's own.
pub(super) type Later<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// What became of each job of a batch.
pub(super) type Written = Vec<Result<Reply, StoreError>>;

/// The sessions that were removed, with their generations, and where to go on; 0 at the end.
pub(super) type Reaped = (Vec<(User, u64)>, u64);

/// Where the directory is kept. Every write can be repeated.
pub(super) trait Store: Send + Sync + 'static {
    /// Renews the lease of a node and reads all leases.
    fn beat<'a>(&'a self, node: &'a str, beat: &'a Beat) -> Later<'a, Table>;

    /// Writes a batch, in order as far as jobs have to do with each other.
    fn write<'a>(&'a self, node: &'a str, jobs: &'a [Job]) -> Later<'a, Written>;

    /// The same for what was not reached before, without delay for all that is.
    fn probe<'a>(&'a self, node: &'a str, jobs: &'a [Job]) -> Later<'a, Written> {
        self.write(node, jobs)
    }

    /// Reads what there is of a session; marker and commitments only where it is not there, or
    /// with `full`.
    fn find<'a>(&'a self, account: &'a str, session: &'a str, full: bool) -> Later<'a, Lookup>;

    /// Reads what there is of an account.
    fn sessions<'a>(&'a self, account: &'a str) -> Later<'a, Lookup>;

    /// How many buckets are worth a look with each heartbeat.
    fn checks(&self) -> u8 {
        CHECKS
    }

    /// A setting of the store by which it loses what is written, if it has one.
    fn lossy_setting(&self) -> Later<'_, Option<String>> {
        Box::pin(async { Ok(None) })
    }

    /// Tells a node that others have taken the place of its sessions.
    fn evict<'a>(&'a self, node: &'a str, evictions: &'a [String]) -> Later<'a, ()>;

    /// Whether `by` is the one that clears up after a node.
    fn claim<'a>(&'a self, by: &'a str, node: &'a str) -> Later<'a, bool>;

    /// Declares a node dead whose row is still as it was seen; whether it was.
    fn bury<'a>(&'a self, corpse: &'a Corpse) -> Later<'a, bool>;

    /// Removes some of what a node wrote up to an epoch, from a cursor on.
    fn reap<'a>(&'a self, node: &'a str, epoch: u64, bucket: u8, cursor: u64) -> Later<'a, Reaped>;

    /// Removes the row of a node that was buried, once nothing of it is left.
    fn forget<'a>(&'a self, corpse: &'a Corpse) -> Later<'a, ()>;

    /// Remembers for a while that sessions of an account follow others, or no longer: members made
    /// of who is followed and who follows.
    fn follow<'a>(&'a self, account: &'a str, pairs: &'a [String], on: bool) -> Later<'a, ()>;

    /// The last word of a node: its row says that it is dead.
    fn leave<'a>(&'a self, node: &'a str, last: &'a Lease) -> Later<'a, ()>;
}
