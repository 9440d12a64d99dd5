use std::task::{Context, Poll};

use bytes::Bytes;

use super::{
    super::watch::Watcher,
    Exchange, Stage,
    requests::{Get, LastWord},
};
use crate::{
    config::Settings,
    engine::{Fact, Rejection, Transport, put_binary, put_packet},
    error::RequestError,
    message::{Frame, WireKind},
};

/// The held GET.
impl Exchange {
    /// The body of its answer: all that is queued, as far as one body goes. Who watched what goes
    /// is put into `written`.
    pub(in crate::connection) fn poll_get(
        &mut self,
        cx: &Context<'_>,
        settings: &Settings,
        written: &mut Vec<Watcher>,
    ) -> Poll<Result<Bytes, RequestError>> {
        let mut body = Bytes::new();
        if self.transport == Transport::Polling {
            body = self.take_queued(settings);
            *written = self.written();
        }
        if let Some(word) = self.take_last_word(&body) {
            let mut all = Vec::from(body);
            put_packet(&mut all, word.packet());
            body = all.into();
            self.wake_driver();
        }
        if !body.is_empty() {
            self.close_get();
            return Poll::Ready(Ok(body));
        }
        if self.stage == Stage::Open {
            self.set_get(Get::Held(Some(cx.waker().clone())));
            return Poll::Pending;
        }
        self.close_get();
        Poll::Ready(Err(Rejection::UnknownSid.into()))
    }

    fn take_queued(&mut self, settings: &Settings) -> Bytes {
        let was_full = !self.has_room(settings);
        let body = self.take_body(settings.max_payload());
        self.settle(settings);
        if was_full {
            self.made_room();
        } else {
            self.wake_senders();
        }
        body
    }

    /// What follows a body, if nothing else does: an open connection says it instead of packets, one
    /// that closes behind the last of them.
    fn take_last_word(&mut self, body: &Bytes) -> Option<LastWord> {
        let has_more = self.transport == Transport::Polling && !self.queue.is_empty();
        if has_more || (!body.is_empty() && self.stage == Stage::Open) {
            return None;
        }
        self.requests.as_mut()?.last_word.take()
    }

    /// A packet that is alone is shared, several are copied one after the other.
    fn take_body(&mut self, limit: usize) -> Bytes {
        let Some(first) = self.queue.pop() else {
            return Bytes::new();
        };
        if self.queue.is_empty() && first.kind() == WireKind::Text {
            return first.into_payload();
        }
        let mut body = Vec::with_capacity(limit.min(self.queue.bytes() + first.len()));
        put(&mut body, &first);
        while let Some(next) = self.queue.peek()
            && body.len() + encoded_len(next) <= limit
            && let Some(frame) = self.queue.pop()
        {
            put(&mut body, &frame);
        }
        body.into()
    }

    fn close_get(&mut self) {
        self.set_get(Get::None);
    }

    fn set_get(&mut self, get: Get) {
        if let Some(requests) = &mut self.requests {
            requests.get = get;
        }
    }

    /// It has something to look at.
    pub(super) fn wake_get(&mut self) {
        if let Some(requests) = &mut self.requests
            && let Get::Held(waker) = &mut requests.get
            && let Some(waker) = waker.take()
        {
            waker.wake();
        }
    }

    /// It ends without a message.
    pub(in crate::connection) fn release_get(&mut self) {
        if let Some(requests) = &mut self.requests
            && requests.holds_get()
        {
            requests.last_word = Some(LastWord::Noop);
            self.wake_get();
        }
    }

    /// Its client went away.
    pub(in crate::connection) fn leave_get(&mut self) {
        self.close_get();
        self.abandoned(Fact::PollAborted);
    }
}

fn put(body: &mut Vec<u8>, frame: &Frame) {
    match frame.kind() {
        WireKind::Text => put_packet(body, frame.payload()),
        WireKind::Binary => put_binary(body, frame.payload()),
    }
}

/// Bytes in a GET body, separator included.
fn encoded_len(frame: &Frame) -> usize {
    match frame.kind() {
        WireKind::Text => frame.payload().len() + 1,
        WireKind::Binary => frame.payload().len().div_ceil(3) * 4 + 2,
    }
}
