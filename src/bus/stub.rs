use std::{sync::Arc, time::Duration};

use super::{Answer, Call, Refused, Unreached};

#[derive(Clone, Debug)]
pub(crate) struct Bus;

impl Bus {
    pub(crate) fn post(&self, _: &str, _: &Call) -> Result<(), Refused> {
        Err(Refused::BusOffline)
    }
    pub(crate) fn ask(
        &self,
        _: &str,
        _: &Call,
        _: Duration,
    ) -> impl Future<Output = Result<Answer, Unreached>> + Send + 'static + use<> {
        std::future::ready(Err(Unreached::Uncertain))
    }
    pub(crate) async fn finish(&self) {}
}

pub(crate) trait Deliver: Send + Sync {
    fn deliver(&self, from: &Arc<str>, call: Call, asker: Asker);
}

pub(crate) struct Asker;
impl Asker {
    pub(crate) fn answer(self, _: Answer) {}
    pub(crate) const fn waits(&self) -> bool {
        true
    }
    pub(crate) fn refuse(self, _: Refused) {}
}
