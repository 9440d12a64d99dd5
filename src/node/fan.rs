use crate::{
    bus::Sent,
    connection::Connection,
    message::{Frame, IntoArgs, Outlet as _, SendError, encode_event, is_reserved},
};

/// One message for many: encoded when the first of them is met, then shared.
pub(super) struct Fan<'a, A> {
    event: &'a str,
    args: &'a A,
    frame: Option<Result<Frame, SendError>>,
}

impl<'a, A: IntoArgs> Fan<'a, A> {
    pub(super) const fn new(event: &'a str, args: &'a A) -> Self {
        Self {
            event,
            args,
            frame: None,
        }
    }

    pub(super) fn frame(&mut self, connection: &Connection) -> Option<Frame> {
        let frame = self
            .frame
            .get_or_insert_with(|| encode_event(connection.codec(), self.event, self.args));
        frame.as_ref().ok().cloned()
    }

    pub(super) fn into_sent(self) -> Result<Sent, SendError> {
        if is_reserved(self.event) {
            // Even if nobody is there to hear it.
            return Err(SendError::ReservedEvent);
        }
        self.frame.transpose().map(|_| Sent::default())
    }
}
