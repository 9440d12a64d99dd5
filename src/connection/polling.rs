use std::{
    mem,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use hyper::upgrade::Upgraded;

use super::{
    Connection,
    exchange::{Candidate, Exchange, Get, LastWord, Polling, Post, Stage},
    watch::{Fate, Watcher},
};
use crate::{
    engine::{CloseReason, DecodeError, Payload, Rejection, Transport, put_binary, put_packet},
    error::RequestError,
    message::WireKind,
};

/// What a client hears of a POST whose body is no payload.
const MALFORMED: &str = "malformed payload";

/// The requests of a client on long polling, as they reach its connection.
///
/// A [`HeldGet`] and an [`OpenPost`] stand for a request under way: dropped before their answer,
/// the client has gone away in the middle.
impl Connection {
    /// A GET arrived.
    ///
    /// # Errors
    ///
    /// When the connection has ended, is on another transport, or holds a GET already; the latter
    /// closes it.
    pub(crate) fn hold_get(self: &Arc<Self>, now: Instant) -> Result<HeldGet, RequestError> {
        let mut exchange = self.exchange.lock();
        exchange.check_request(now)?;
        let polling = exchange.polling()?;
        if let Get::Held(_) = polling.get {
            exchange.request_close(CloseReason::TransportError("overlap from client"));
            return Err(RequestError::Bad("overlapping poll"));
        }
        polling.get = Get::Held(None);
        if polling.last_word == Some(LastWord::Noop) {
            // That one was for the poll before.
            polling.last_word = None;
        }
        Ok(HeldGet {
            connection: Some(Arc::clone(self)),
        })
    }

    /// A POST arrived, its body is still to be read.
    ///
    /// # Errors
    ///
    /// As [`hold_get`](Self::hold_get).
    pub(crate) fn open_post(self: &Arc<Self>, now: Instant) -> Result<OpenPost, RequestError> {
        let mut exchange = self.exchange.lock();
        exchange.check_request(now)?;
        if exchange.stage != Stage::Open {
            return Err(Rejection::UnknownSid.into());
        }
        let polling = exchange.polling()?;
        if !matches!(polling.post, Post::None) {
            exchange.request_close(CloseReason::TransportError(
                "data request overlap from client",
            ));
            return Err(RequestError::Bad("overlapping data request"));
        }
        polling.post = Post::Reading(None);
        Ok(OpenPost {
            connection: Some(Arc::clone(self)),
        })
    }

    /// A websocket wants to take over; whether it may try. Then
    /// [`hand_over`](Self::hand_over) brings it, or
    /// [`withdraw_candidate`](Self::withdraw_candidate) says that it never came.
    pub(crate) fn announce_candidate(&self) -> bool {
        let mut exchange = self.exchange.lock();
        let may = exchange.stage == Stage::Open && exchange.transport == Transport::Polling;
        let allowed = self.endpoint.settings.timing().allow_upgrades;
        match &mut exchange.polling {
            Some(polling) if may && allowed && matches!(polling.candidate, Candidate::None) => {
                polling.candidate = Candidate::Announced;
                true
            }
            _ => false,
        }
    }

    /// Gives the announced websocket to the task of the connection, or back when that has ended.
    pub(crate) fn hand_over(&self, candidate: Upgraded) -> Result<(), Upgraded> {
        let mut exchange = self.exchange.lock();
        if exchange.stage != Stage::Open {
            return Err(candidate);
        }
        match &mut exchange.polling {
            Some(polling) => polling.candidate = Candidate::Arrived(candidate),
            None => return Err(candidate),
        }
        exchange.wake_driver();
        Ok(())
    }

    /// The announced websocket did not come.
    pub(crate) fn withdraw_candidate(&self) {
        self.free_candidate();
    }

    /// All that is queued as the body of a GET, as far as one body goes.
    fn poll_get(&self, cx: &Context<'_>) -> Poll<Result<Vec<u8>, RequestError>> {
        let mut taken = Vec::new();
        let answer = self.take_answer(cx, &mut taken);
        taken.into_iter().for_each(|one| one.tell(Fate::Written));
        answer
    }

    fn take_answer(
        &self,
        cx: &Context<'_>,
        taken: &mut Vec<Watcher>,
    ) -> Poll<Result<Vec<u8>, RequestError>> {
        let mut exchange = self.exchange.lock();
        let limit = self.endpoint.settings.max_payload();
        let was_full = exchange.queue.cost() >= self.endpoint.settings.queue_limit();
        let mut body = Vec::new();
        if exchange.transport == Transport::Polling {
            exchange.take_body(&mut body, limit);
            exchange.settle(self.metrics());
            *taken = exchange.queue.written();
        }
        if was_full {
            exchange.made_room();
        } else {
            exchange.wake_senders();
        }
        let stage = exchange.stage;
        let queue_is_empty = exchange.queue.is_empty() || exchange.transport != Transport::Polling;
        let Ok(polling) = exchange.polling() else {
            return Poll::Ready(Err(Rejection::UnknownSid.into()));
        };
        if queue_is_empty
            && (body.is_empty() || stage != Stage::Open)
            && let Some(word) = polling.last_word.take()
        {
            put_packet(&mut body, word.packet());
            polling.get = Get::None;
            exchange.wake_driver();
            return Poll::Ready(Ok(body));
        }
        if !body.is_empty() {
            polling.get = Get::None;
            return Poll::Ready(Ok(body));
        }
        if stage != Stage::Open {
            polling.get = Get::None;
            return Poll::Ready(Err(Rejection::UnknownSid.into()));
        }
        polling.get = Get::Held(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// The client went away in the middle of a request.
    fn abandon(&self, free: impl FnOnce(&mut Polling), how: &'static str) {
        let mut exchange = self.exchange.lock();
        let on_polling = exchange.transport == Transport::Polling;
        let Some(polling) = &mut exchange.polling else {
            return;
        };
        free(polling);
        // A client that goes over to a websocket may abort its last requests.
        if on_polling && matches!(polling.candidate, Candidate::None) {
            exchange.request_close(CloseReason::TransportError(how));
        }
    }
}

impl Exchange {
    fn check_request(&self, now: Instant) -> Result<(), RequestError> {
        let polling = self.polling.as_deref();
        let expired = polling
            .and_then(|polling| polling.expires_at)
            .is_some_and(|at| at <= now);
        if self.stage == Stage::Open && expired {
            self.wake_driver();
        }
        let farewell = polling.is_some_and(|polling| polling.last_word.is_some());
        match self.stage {
            Stage::Open if expired => Err(Rejection::UnknownSid.into()),
            Stage::Open if self.transport != Transport::Polling => {
                Err(RequestError::Bad("transport mismatch"))
            }
            Stage::Closing if farewell => Ok(()),
            Stage::Open => Ok(()),
            Stage::Closing | Stage::Closed => Err(Rejection::UnknownSid.into()),
        }
    }

    fn polling(&mut self) -> Result<&mut Polling, RequestError> {
        self.polling
            .as_deref_mut()
            .ok_or(RequestError::Bad("transport mismatch"))
    }

    fn take_body(&mut self, body: &mut Vec<u8>, limit: usize) {
        while let Some(next) = self.queue.peek()
            && (body.is_empty() || body.len() + encoded_len(next) <= limit)
            && let Some(frame) = self.queue.pop()
        {
            match frame.kind() {
                WireKind::Text => put_packet(body, frame.payload()),
                WireKind::Binary => put_binary(body, frame.payload()),
            }
        }
    }
}

/// Bytes in a GET body, separator included.
fn encoded_len(frame: &crate::message::Frame) -> usize {
    match frame.kind() {
        WireKind::Text => frame.payload().len() + 1,
        WireKind::Binary => frame.payload().len().div_ceil(3) * 4 + 2,
    }
}

impl Polling {
    pub(super) fn take_post(&mut self) -> Option<Payload> {
        match mem::take(&mut self.post) {
            Post::Submitted(payload, waker) => {
                self.post = Post::Handling(waker);
                Some(payload)
            }
            other => {
                self.post = other;
                None
            }
        }
    }

    pub(super) fn take_candidate(&mut self) -> Option<Upgraded> {
        match mem::take(&mut self.candidate) {
            Candidate::Arrived(candidate) => {
                self.candidate = Candidate::Taken;
                Some(candidate)
            }
            other => {
                self.candidate = other;
                None
            }
        }
    }
}

/// A GET that waits for something to send.
pub(crate) struct HeldGet {
    connection: Option<Arc<Connection>>,
}

impl HeldGet {
    /// The body of the answer.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Vec<u8>, RequestError>> {
        let Some(connection) = &self.connection else {
            return Poll::Pending;
        };
        let answer = connection.poll_get(cx);
        if answer.is_ready() {
            self.connection = None;
        }
        answer
    }
}

impl Drop for HeldGet {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            let free = |polling: &mut Polling| polling.get = Get::None;
            connection.abandon(free, "poll connection closed prematurely");
        }
    }
}

/// A POST that is being read or handled.
pub(crate) struct OpenPost {
    connection: Option<Arc<Connection>>,
}

impl OpenPost {
    /// Whether the connection still waits for the body; woken when it does no longer.
    pub(crate) fn poll_wanted(&mut self, cx: &Context<'_>) -> bool {
        let Some(connection) = &self.connection else {
            return false;
        };
        match &mut connection.exchange.lock().polling {
            Some(polling) => match &mut polling.post {
                Post::Reading(waker) => {
                    *waker = Some(cx.waker().clone());
                    true
                }
                _ => false,
            },
            None => false,
        }
    }

    /// Hands the packets to the task of the connection.
    pub(crate) fn submit(&self, payload: Payload) {
        if let Some(connection) = &self.connection {
            let mut exchange = connection.exchange.lock();
            let open = exchange.stage == Stage::Open;
            if let Some(polling) = &mut exchange.polling {
                polling.post = if open {
                    Post::Submitted(payload, None)
                } else {
                    Post::Done
                };
            }
            exchange.wake_driver();
        }
    }

    /// Ready when all packets were handled.
    ///
    /// # Errors
    ///
    /// A bad request when something in the body is no packet.
    pub(crate) fn poll_handled(&mut self, cx: &Context<'_>) -> Poll<Result<(), RequestError>> {
        let Some(connection) = &self.connection else {
            return Poll::Ready(Ok(()));
        };
        let mut malformed = false;
        if let Some(polling) = &mut connection.exchange.lock().polling {
            if let Post::Submitted(_, waker) | Post::Handling(waker) = &mut polling.post {
                *waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            malformed = polling.malformed;
        }
        self.finish();
        Poll::Ready(if malformed {
            Err(RequestError::Bad(MALFORMED))
        } else {
            Ok(())
        })
    }

    /// The request is answered without its packets; the connection lives on.
    pub(crate) fn finish(&mut self) {
        if let Some(connection) = self.connection.take()
            && let Some(polling) = &mut connection.exchange.lock().polling
        {
            polling.post = Post::None;
        }
    }

    /// Nothing of the body is delivered; the connection closes.
    pub(crate) fn refuse(&mut self, error: DecodeError) -> RequestError {
        self.fail(CloseReason::Malformed(error));
        RequestError::Bad(MALFORMED)
    }

    /// The request broke off or is not for us: the connection closes.
    pub(crate) fn fail(&mut self, reason: CloseReason) {
        if let Some(connection) = &self.connection {
            connection.exchange.lock().request_close(reason);
        }
        self.finish();
    }
}

impl Drop for OpenPost {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            let free = |polling: &mut Polling| {
                match &polling.post {
                    Post::Reading(_) | Post::Done => polling.post = Post::None,
                    // What was submitted is handled all the same.
                    Post::Submitted(..) | Post::Handling(_) => polling.abandoned = true,
                    Post::None => {}
                }
            };
            connection.abandon(free, "data request connection closed prematurely");
        }
    }
}
