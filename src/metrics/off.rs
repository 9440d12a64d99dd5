use crate::{
    engine::{CloseReason, Transport},
    notice::Noticeboard,
};

/// Counts nothing and costs nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(());

impl Metrics {
    pub(crate) fn counting(&self, notices: Noticeboard) -> Noticeboard {
        notices
    }

    pub(crate) const fn connected(&self, _: Transport) {}

    pub(crate) const fn upgraded(&self) {}

    pub(crate) const fn disconnected(&self, _: Transport, _: &CloseReason) {}

    pub(crate) const fn received(&self) {}

    pub(crate) const fn sent(&self) {}

    pub(crate) const fn handled(&self, _: &Stopwatch) {}

    pub(crate) const fn settle(&self, _: &mut Backlog, _: usize) {}

    pub(crate) const fn entry_sent(&self, _: usize) {}

    pub(crate) const fn entry_received(&self, _: usize) {}

    pub(crate) const fn presence(&self, _: &'static str, _: [&'static str; 2]) {}
}

pub(crate) struct Stopwatch;

impl Stopwatch {
    pub(crate) const fn start() -> Self {
        Self
    }
}

#[derive(Default)]
pub(crate) struct Backlog(());
