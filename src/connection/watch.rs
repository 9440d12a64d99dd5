use std::collections::VecDeque;

/// What became of a frame that somebody watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was given to the transport.
    Written,
    /// The connection closed before: it was surely not sent.
    Lost,
    /// It was being written when the connection broke.
    Unknown,
}

/// Hears once what became of a frame; dropped, it hears that nobody knows.
pub(crate) struct Watcher(Option<Box<dyn FnOnce(Fate) + Send>>);

impl Watcher {
    /// The function is called by whoever writes: it must not block.
    pub(crate) fn new(hear: impl FnOnce(Fate) + Send + 'static) -> Self {
        Self(Some(Box::new(hear)))
    }

    pub(super) fn tell(mut self, fate: Fate) {
        if let Some(hear) = self.0.take() {
            hear(fate);
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(hear) = self.0.take() {
            hear(Fate::Unknown);
        }
    }
}

/// Who watches frames of a queue, in their order: first those of frames that were popped.
#[derive(Default)]
pub(super) struct Watchers {
    all: VecDeque<Watcher>,
    popped: usize,
}

impl Watchers {
    pub(super) fn push(&mut self, watcher: Watcher) {
        self.all.push_back(watcher);
    }

    /// The next frame that is watched was popped.
    pub(super) fn pop(&mut self) {
        self.popped += 1;
    }

    pub(super) const fn has_popped(&self) -> bool {
        self.popped > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn take_popped(&mut self) -> Vec<Watcher> {
        let popped = std::mem::take(&mut self.popped);
        self.all.drain(..popped).collect()
    }

    pub(super) fn take_waiting(&mut self) -> Vec<Watcher> {
        self.all.drain(self.popped..).collect()
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}
