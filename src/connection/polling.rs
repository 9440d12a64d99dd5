use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::upgrade::Upgraded;

use super::{Connection, connection::tell, watch::Fate};
use crate::{
    engine::{Fact, Payload},
    error::RequestError,
};

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
    pub(crate) fn hold_get(self: Arc<Self>) -> Result<HeldGet, RequestError> {
        self.exchange.lock().hold_get()?;
        Ok(HeldGet {
            connection: Some(self),
        })
    }

    /// A POST arrived, its body is still to be read.
    ///
    /// # Errors
    ///
    /// As [`hold_get`](Self::hold_get).
    pub(crate) fn open_post(self: Arc<Self>) -> Result<OpenPost, RequestError> {
        self.exchange.lock().open_post()?;
        Ok(OpenPost {
            connection: Some(self),
        })
    }

    /// A websocket wants to take over; whether it may try. Then
    /// [`hand_over`](Self::hand_over) brings it, or
    /// [`withdraw_candidate`](Self::withdraw_candidate) says that it never came.
    pub(crate) fn announce_candidate(&self) -> bool {
        let allowed = self.settings().timing().allow_upgrades;
        self.exchange.lock().announce_candidate(allowed)
    }

    /// Gives the announced websocket to the task of the connection, or back when that has ended.
    pub(crate) fn hand_over(&self, candidate: Upgraded) -> Result<(), Upgraded> {
        self.exchange.lock().hand_over(candidate)
    }

    /// The announced websocket did not come.
    pub(crate) fn withdraw_candidate(&self) {
        self.free_candidate();
    }

    /// All that is queued as the body of a GET, as far as one body goes.
    fn poll_get(&self, cx: &Context<'_>) -> Poll<Result<Bytes, RequestError>> {
        let mut written = Vec::new();
        let mut exchange = self.exchange.lock();
        let answer = exchange.poll_get(cx, self.settings(), &mut written);
        drop(exchange);
        tell(written, Fate::Written);
        answer
    }
}

/// A GET that waits for something to send.
pub(crate) struct HeldGet {
    connection: Option<Arc<Connection>>,
}

impl HeldGet {
    /// The body of the answer.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Bytes, RequestError>> {
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
            connection.exchange.lock().leave_get();
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
        let connection = self.connection.as_ref();
        connection.is_some_and(|connection| connection.exchange.lock().poll_wanted(cx))
    }

    /// Hands the packets to the task of the connection; whether that still waited for them.
    pub(crate) fn submit(&self, payload: Payload) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(|connection| connection.exchange.lock().submit_post(payload))
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
        let handled = connection.exchange.lock().poll_post(cx);
        if handled.is_ready() {
            self.connection = None;
        }
        handled
    }

    /// The request is answered without its packets; the connection lives on.
    pub(crate) fn finish(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.exchange.lock().close_post();
        }
    }

    /// The request is answered without its packets, and the connection closes.
    pub(crate) fn fail(&mut self, fact: Fact) {
        if let Some(connection) = &self.connection {
            connection.exchange.lock().request_close(fact.reason());
        }
        self.finish();
    }
}

impl Drop for OpenPost {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.exchange.lock().leave_post();
        }
    }
}
