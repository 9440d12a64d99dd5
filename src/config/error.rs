/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {problem}")]
pub struct ConfigError {
    pub(super) setting: &'static str,
    pub(super) problem: &'static str,
}

impl ConfigError {
    #[cfg(feature = "redis")]
    pub(crate) const fn new(setting: &'static str, problem: &'static str) -> Self {
        Self { setting, problem }
    }

    /// The name of the setting, as the setter is called.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        self.setting
    }

    /// Panics with this error: in a setter it is the programmer's.
    #[track_caller]
    pub(crate) fn panic(&self) -> ! {
        panic!("{self}")
    }
}
