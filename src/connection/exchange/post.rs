use std::{
    mem,
    task::{Context, Poll},
};

use super::{Exchange, requests::Post};
use crate::{
    engine::{Fact, Payload},
    error::RequestError,
};

/// The POST under way.
impl Exchange {
    /// Whether its body is still waited for; woken when it is no longer.
    pub(in crate::connection) fn poll_wanted(&mut self, cx: &Context<'_>) -> bool {
        match self.requests.as_deref_mut().map(|all| &mut all.post) {
            Some(Post::Reading(waker)) => {
                *waker = Some(cx.waker().clone());
                true
            }
            _ => false,
        }
    }

    /// Its packets are for the task; whether they were still waited for.
    pub(in crate::connection) fn submit_post(&mut self, payload: Payload) -> bool {
        match self.requests.as_deref_mut().map(|all| &mut all.post) {
            Some(post @ Post::Reading(_)) => {
                *post = Post::Submitted(payload, None);
                self.wake_driver();
                true
            }
            _ => false,
        }
    }

    /// Ready when all packets were handled, or never will be; then another one may come.
    pub(in crate::connection) fn poll_post(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Result<(), RequestError>> {
        let Some(requests) = self.requests.as_deref_mut() else {
            return Poll::Ready(Ok(()));
        };
        if let Post::Submitted(_, waker) | Post::Handling(waker) = &mut requests.post {
            *waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        requests.post = Post::None;
        Poll::Ready(if requests.malformed {
            Err(RequestError::MALFORMED)
        } else {
            Ok(())
        })
    }

    /// It is answered without its packets.
    pub(in crate::connection) fn close_post(&mut self) {
        if let Some(requests) = &mut self.requests {
            requests.post = Post::None;
        }
    }

    /// Its client went away. What was submitted is handled all the same.
    pub(in crate::connection) fn leave_post(&mut self) {
        let Some(requests) = &mut self.requests else {
            return;
        };
        match &requests.post {
            Post::None | Post::Reading(_) | Post::Done => requests.post = Post::None,
            Post::Submitted(..) | Post::Handling(_) => requests.abandoned = true,
        }
        self.abandoned(Fact::PostAborted);
    }

    /// All packets were handled, or never will be.
    pub(in crate::connection) fn finish_post(&mut self) {
        let Some(requests) = &mut self.requests else {
            return;
        };
        let waker = match &mut requests.post {
            Post::Reading(waker) | Post::Submitted(_, waker) | Post::Handling(waker) => {
                waker.take()
            }
            Post::None | Post::Done => return,
        };
        requests.post = if mem::take(&mut requests.abandoned) {
            Post::None
        } else {
            Post::Done
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// It holds bytes that are no packet; the connection is about to close.
    pub(in crate::connection) fn blame_post(&mut self) {
        if let Some(requests) = &mut self.requests {
            requests.malformed = true;
        }
    }
}
