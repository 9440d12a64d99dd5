use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

/// Carries a body from a request that comes in to one that goes out, a piece at a time.
pub(super) fn pipe(hint: SizeHint) -> (Inlet, Outlet) {
    let state = Arc::new(Mutex::new(State::default()));
    let inlet = Inlet(Arc::clone(&state));
    (inlet, Outlet { state, hint })
}

#[derive(Default)]
struct State {
    piece: Option<Bytes>,
    end: Option<Result<(), Broken>>,
    /// The other request is over.
    unwanted: bool,
    giver: Option<Waker>,
    taker: Option<Waker>,
}

/// A body that did not come to its end.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body broke off")]
pub(super) struct Broken;

/// Where pieces go in. Dropped before the end, the body breaks off.
pub(super) struct Inlet(Arc<Mutex<State>>);

impl Inlet {
    /// Whether there is room for a piece; `false` if nobody wants any more.
    pub(super) fn poll_ready(&self, cx: &Context<'_>) -> Poll<bool> {
        let mut state = self.0.lock();
        if state.unwanted {
            return Poll::Ready(false);
        }
        if state.piece.is_none() {
            return Poll::Ready(true);
        }
        state.giver = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn give(&self, piece: Bytes) {
        let mut state = self.0.lock();
        state.piece = Some(piece);
        state.wake_taker();
    }

    pub(super) fn finish(&self) {
        self.end(Ok(()));
    }

    fn end(&self, end: Result<(), Broken>) {
        let mut state = self.0.lock();
        state.end.get_or_insert(end);
        state.wake_taker();
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.end(Err(Broken));
    }
}

impl State {
    fn wake_taker(&mut self) {
        if let Some(taker) = self.taker.take() {
            taker.wake();
        }
    }
}

/// The body of the request that goes out.
pub(super) struct Outlet {
    state: Arc<Mutex<State>>,
    hint: SizeHint,
}

impl Body for Outlet {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut state = self.state.lock();
        if let Some(piece) = state.piece.take() {
            if let Some(giver) = state.giver.take() {
                giver.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match state.end {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(broken)) => Poll::Ready(Some(Err(broken))),
            None => {
                state.taker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.state.lock();
        state.piece.is_none() && matches!(state.end, Some(Ok(())))
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        state.unwanted = true;
        if let Some(giver) = state.giver.take() {
            giver.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Waker};

    use super::*;

    async fn next(outlet: &mut Outlet) -> Option<Result<Bytes, Broken>> {
        let frame = poll_fn(|cx| Pin::new(&mut *outlet).poll_frame(cx)).await;
        frame.map(|frame| frame.map(|frame| frame.into_data().unwrap()))
    }

    fn ready(inlet: &Inlet) -> Poll<bool> {
        inlet.poll_ready(&Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_body_whose_giver_goes_away_breaks_off() {
        let (inlet, mut outlet) = pipe(SizeHint::default());
        inlet.give("x".into());
        drop(inlet);
        assert_eq!(next(&mut outlet).await.unwrap().unwrap(), "x");
        assert!(next(&mut outlet).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_body_that_was_finished_ends() {
        let (inlet, mut outlet) = pipe(SizeHint::default());
        inlet.give("x".into());
        inlet.finish();
        drop(inlet);
        assert!(!outlet.is_end_stream());
        assert_eq!(next(&mut outlet).await.unwrap().unwrap(), "x");
        assert!(outlet.is_end_stream() && next(&mut outlet).await.is_none());
    }

    #[tokio::test]
    async fn there_is_room_for_one_piece_as_long_as_somebody_wants_it() {
        let (inlet, mut outlet) = pipe(SizeHint::default());
        assert_eq!(ready(&inlet), Poll::Ready(true));
        inlet.give("x".into());
        assert_eq!(ready(&inlet), Poll::Pending);
        drop(next(&mut outlet).await);
        assert_eq!(ready(&inlet), Poll::Ready(true));
        drop(outlet);
        assert_eq!(ready(&inlet), Poll::Ready(false));
    }
}
