/// Whether the other nodes are reached, and what there is to be told of it.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Whether our inbox could be read the last time.
    reading: Option<bool>,
    /// Whether it could be kept the last time.
    keeping: Option<bool>,
    online: Option<bool>,
}

/// What a line is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Reading,
    Keeping,
    Writing,
}

impl Line {
    pub(super) const fn is_online(&self) -> bool {
        matches!(self.online, Some(true))
    }

    /// It did not work; whether that is news.
    pub(super) fn lose(&mut self, by: Use) -> bool {
        self.set(by, false);
        self.online.replace(false) != Some(false)
    }

    /// It worked; whether everything does again. `failing` says whether some node cannot be written
    /// to.
    pub(super) fn regain(&mut self, by: Use, failing: impl FnOnce() -> bool) -> bool {
        self.set(by, true);
        let works = self.keeping == Some(true) && self.reading != Some(false);
        if self.is_online() || !works || failing() {
            return false;
        }
        self.online = Some(true);
        true
    }

    const fn set(&mut self, by: Use, works: bool) {
        match by {
            Use::Reading => self.reading = Some(works),
            Use::Keeping => self.keeping = Some(works),
            Use::Writing => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_that_it_is_lost_and_once_that_it_is_back() {
        let mut line = Line::default();
        assert!(
            !line.regain(Use::Reading, || false),
            "there is no inbox yet"
        );
        assert!(line.regain(Use::Keeping, || false));
        assert!(!line.regain(Use::Keeping, || false));

        assert!(line.lose(Use::Reading));
        assert!(!line.lose(Use::Writing));
        assert!(!line.regain(Use::Keeping, || false), "it cannot be read");
        assert!(
            !line.regain(Use::Reading, || true),
            "a node cannot be reached"
        );
        assert!(line.regain(Use::Reading, || false));
        assert!(line.is_online());
    }
}
