use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;

use super::{Exchange, LastWord};
use crate::{
    config::Settings,
    engine::{CloseReason, Fact, Payload, Rejection, Transport},
    error::RequestError,
    message::Frame,
    notice::Noticeboard,
};

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn rings(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn bell() -> (Arc<Bell>, Waker) {
    let bell = Arc::new(Bell::default());
    (Arc::clone(&bell), Waker::from(bell))
}

fn settings() -> Settings {
    Settings::new(Noticeboard::new())
}

fn polling() -> Exchange {
    Exchange::new(Transport::Polling)
}

fn payload(body: &'static str) -> Payload {
    Payload::decode(Bytes::from_static(body.as_bytes()), 10).unwrap()
}

fn poll_get(exchange: &mut Exchange, waker: &Waker) -> Poll<Result<Bytes, RequestError>> {
    let cx = Context::from_waker(waker);
    exchange.poll_get(&cx, &settings(), &mut Vec::new())
}

fn reason(exchange: &mut Exchange) -> Option<CloseReason> {
    exchange.attend(Waker::noop(), &settings()).close
}

#[test]
fn a_held_get_is_woken_by_a_packet_and_sends_it_from_where_it_lies() {
    let (bell, waker) = bell();
    let mut exchange = polling();
    exchange.hold_get().unwrap();
    assert!(poll_get(&mut exchange, &waker).is_pending());
    let frame = Frame::packet(b"4a");
    let bytes = frame.bytes().as_ptr_range();

    exchange.push(frame, None, &settings());

    assert_eq!(bell.rings(), 1);
    let Poll::Ready(Ok(body)) = poll_get(&mut exchange, &waker) else {
        panic!("there is a packet");
    };
    assert_eq!(body, "4a");
    assert_eq!(body.as_ptr_range().end, bytes.end);
}

#[test]
fn packets_that_wait_together_are_one_body() {
    let mut exchange = polling();
    for packet in ["4a", "4b"] {
        exchange.push(Frame::packet(packet.as_bytes()), None, &settings());
    }
    exchange.hold_get().unwrap();

    let body = poll_get(&mut exchange, Waker::noop());
    assert_eq!(body, Poll::Ready(Ok("4a\x1e4b".into())));
    exchange.hold_get().unwrap();
}

#[test]
fn a_second_request_of_a_kind_closes() {
    let mut exchange = polling();
    exchange.hold_get().unwrap();
    assert!(exchange.hold_get().is_err());
    assert_eq!(reason(&mut exchange), Some(Fact::PollOverlap.reason()));

    let mut exchange = polling();
    exchange.open_post().unwrap();
    assert!(exchange.open_post().is_err());
    assert_eq!(reason(&mut exchange), Some(Fact::PostOverlap.reason()));
}

#[test]
fn the_first_reason_to_close_counts() {
    let mut exchange = polling();
    exchange.request_close(CloseReason::ForcedClose);
    exchange.request_close(CloseReason::Shutdown);
    assert!(!exchange.is_open());
    assert_eq!(reason(&mut exchange), Some(CloseReason::ForcedClose));
}

#[test]
fn a_post_is_answered_once_its_packets_are_handled() {
    let (bell, waker) = bell();
    let cx = Context::from_waker(&waker);
    let mut exchange = polling();
    exchange.open_post().unwrap();
    assert!(exchange.poll_wanted(&cx));
    assert!(exchange.submit_post(payload("4a")));
    assert!(exchange.poll_post(&cx).is_pending());

    let errands = exchange.attend(Waker::noop(), &settings());
    assert_eq!(errands.post.map(Iterator::count), Some(1));
    assert!(exchange.poll_post(&cx).is_pending());
    exchange.finish_post();

    assert_eq!(bell.rings(), 1);
    assert_eq!(exchange.poll_post(&cx), Poll::Ready(Ok(())));
    exchange.open_post().unwrap();
}

#[test]
fn a_post_that_was_left_has_its_place_until_it_is_handled() {
    let mut exchange = polling();
    exchange.open_post().unwrap();
    assert!(exchange.submit_post(payload("4a")));
    assert!(!exchange.announce_candidate(false));
    assert!(exchange.announce_candidate(true));

    exchange.leave_post();

    assert_eq!(reason(&mut exchange), None, "it may be going over");
    exchange.finish_post();
    exchange.open_post().unwrap();
}

#[test]
fn a_request_that_is_left_closes() {
    let mut exchange = polling();
    exchange.hold_get().unwrap();
    exchange.leave_get();
    assert_eq!(reason(&mut exchange), Some(Fact::PollAborted.reason()));

    let mut exchange = polling();
    exchange.open_post().unwrap();
    exchange.leave_post();
    assert_eq!(reason(&mut exchange), Some(Fact::PostAborted.reason()));
}

#[test]
fn a_body_that_comes_after_the_end_is_not_wanted() {
    let mut exchange = polling();
    exchange.open_post().unwrap();
    drop(exchange.begin_close(true, None));
    assert!(!exchange.submit_post(payload("4a")));
}

#[test]
fn a_closing_connection_sends_what_is_queued_and_then_its_last_word() {
    let mut exchange = polling();
    exchange.push(Frame::packet(b"4a"), None, &settings());
    drop(exchange.begin_close(true, Some(LastWord::Close)));
    assert!(!exchange.said_last());

    exchange.hold_get().unwrap();

    let body = poll_get(&mut exchange, Waker::noop());
    assert_eq!(body, Poll::Ready(Ok("4a\x1e1".into())));
    assert!(exchange.said_last());
    let unknown = Err(Rejection::UnknownSid.into());
    assert_eq!(exchange.hold_get(), unknown);
}
