use crate::{
    cluster::Cluster,
    condition::Condition,
    node::{Handle, Memory},
};

/// # What may happen to a cluster
///
/// With the feature `testing`.
impl Cluster {
    /// Kills a node, as the signal `KILL` does a process: it reaches nobody from now on, its
    /// websockets end without a close frame, and it takes no new connections. What it stored is
    /// left to the others to find out about. It does not come back; as with a process, what comes
    /// back is another node: one more [`layer`](Self::layer).
    ///
    /// A tower service cannot hang up: requests of long polling are answered with an error, new ones
    /// with 503. Drop what serves the node to go further.
    ///
    /// # Panics
    ///
    /// When the node is of another cluster.
    #[track_caller]
    pub fn kill(&self, node: &Handle) {
        self.memory_of(node).node().set(Condition::Away);
        node.kill();
    }

    /// Stops a node, as the signal `STOP` does a process, as far as others see it: whatever it asks
    /// the others or tells them waits until it goes [on](Self::resume), and so does what they send
    /// to it. Its own clients are served all the while.
    ///
    /// # Panics
    ///
    /// When the node is of another cluster.
    #[track_caller]
    pub fn stop(&self, node: &Handle) {
        self.set(node, Condition::Well, Condition::Stalled);
    }

    /// Lets a node go on that was stopped.
    ///
    /// # Panics
    ///
    /// When the node is of another cluster.
    #[track_caller]
    pub fn resume(&self, node: &Handle) {
        self.set(node, Condition::Stalled, Condition::Well);
    }

    /// From now on the memory takes what it is asked and answers nothing, as Redis does when it is
    /// stopped: each node gives it up after its
    /// [`command_timeout`](crate::PrimacronLayer::command_timeout).
    pub fn stall(&self) {
        self.memory.store().set(Condition::Stalled);
    }

    /// From now on nobody reaches the memory, as when Redis is down.
    pub fn cut_off(&self) {
        self.memory.store().set(Condition::Away);
    }

    /// Lets everybody reach the memory again.
    pub fn recover(&self) {
        self.memory.store().set(Condition::Well);
    }

    /// Loses everything that is in memory, as `FLUSHALL` does.
    pub fn flush(&self) {
        self.memory.flush();
    }

    #[track_caller]
    fn memory_of<'a>(&self, node: &'a Handle) -> &'a Memory {
        let memory = node.memory();
        let memory = memory.filter(|memory| memory.is_shared_with(&self.memory));
        memory.expect("the node is one of this cluster")
    }

    /// Who was killed stays so.
    #[track_caller]
    fn set(&self, node: &Handle, from: Condition, to: Condition) {
        self.memory_of(node).node().replace(from, to);
    }
}
