use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::{super::watch::Watcher, Exchange, Stage, requests::LastWord};
use crate::{
    config::Settings,
    engine::{Fact, Rejection, Transport, put_binary, put_packet},
    error::RequestError,
    message::{Frame, WireKind},
};

/// The GET that is being held.
#[derive(Default)]
pub(super) enum Get {
    #[default]
    None,
    Held(Option<Waker>),
}

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
        let was_full = !self.has_room(settings);
        let on_polling = self.transport == Transport::Polling;
        let mut body = Bytes::new();
        if on_polling {
            body = self.take_body(settings.max_payload());
            self.settle(settings);
            *written = self.written();
        }
        if was_full {
            self.made_room();
        } else {
            self.wake_senders();
        }
        let is_open = self.stage == Stage::Open;
        let has_more = on_polling && !self.queue.is_empty();
        let Some(requests) = self.requests.as_deref_mut() else {
            return Poll::Ready(Err(Rejection::UnknownSid.into()));
        };
        let is_last = !has_more && (body.is_empty() || !is_open);
        if is_last && let Some(word) = requests.last_word.take() {
            let mut all = Vec::from(body);
            put_packet(&mut all, word.packet());
            body = all.into();
            self.wake_driver();
        } else if body.is_empty() && is_open {
            requests.get = Get::Held(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        self.close_get();
        Poll::Ready(if body.is_empty() {
            Err(Rejection::UnknownSid.into())
        } else {
            Ok(body)
        })
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
        if let Some(requests) = &mut self.requests {
            requests.get = Get::None;
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
