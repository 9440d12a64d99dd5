use crate::{
    bus::Sent,
    message::{Codec, Frame, IntoArgs, SendError, encode_event, is_reserved},
};

/// One message for many: encoded when the first of them is met, then shared.
pub(super) struct Fan<'a, A> {
    codec: &'a dyn Codec,
    event: &'a str,
    args: &'a A,
    frame: Option<Result<Frame, SendError>>,
}

impl<'a, A: IntoArgs> Fan<'a, A> {
    pub(super) const fn new(codec: &'a dyn Codec, event: &'a str, args: &'a A) -> Self {
        Self {
            codec,
            event,
            args,
            frame: None,
        }
    }

    pub(super) fn frame(&mut self) -> Option<Frame> {
        let frame = self
            .frame
            .get_or_insert_with(|| encode_event(self.codec, self.event, self.args));
        frame.as_ref().ok().cloned()
    }

    /// What was wrong with the message, even if nobody is there to hear it.
    pub(super) fn finish(self, sent: Sent) -> Result<Sent, SendError> {
        if is_reserved(self.event) {
            return Err(SendError::ReservedEvent);
        }
        self.frame.transpose().map(|_| sent)
    }
}
