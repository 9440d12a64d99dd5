use super::Output;

/// Outputs that wait to be polled, each at most once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outbox(u8);

/// An output without content. They leave in the order given here: what was
/// meant for the old transport before the switch to the new one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    DropCandidate,
    ProbeReply,
    Ping,
    Noop,
    Switch,
}

impl Outbox {
    pub(super) const fn add(&mut self, signal: Signal) {
        self.0 |= 1 << signal as u8;
    }

    pub(super) const fn remove(&mut self, signal: Signal) {
        self.0 &= !(1 << signal as u8);
    }

    pub(super) fn take(&mut self) -> Option<Output> {
        let signal = ORDER
            .into_iter()
            .find(|signal| self.0 & (1 << *signal as u8) != 0)?;
        self.remove(signal);
        Some(signal.output())
    }
}

impl Signal {
    const fn output(self) -> Output {
        match self {
            Self::DropCandidate => Output::DropCandidate,
            Self::ProbeReply => Output::ProbeReply,
            Self::Ping => Output::Ping,
            Self::Noop => Output::Noop,
            Self::Switch => Output::Switch,
        }
    }
}

const ORDER: [Signal; 5] = [
    Signal::DropCandidate,
    Signal::ProbeReply,
    Signal::Ping,
    Signal::Noop,
    Signal::Switch,
];
