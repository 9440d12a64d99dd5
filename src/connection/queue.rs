use std::collections::VecDeque;

use bytes::Bytes;

use crate::message::Frame;

/// What waits to be sent to one client, oldest first.
///
/// The first frame lies in the struct itself: a queue that never holds more than one at a time
/// never allocates.
#[derive(Default)]
pub(super) struct Queue {
    first: Option<Frame>,
    rest: VecDeque<Frame>,
    bytes: usize,
    frames: usize,
    volatile: usize,
}

/// What one write should carry.
pub(crate) enum Batch {
    /// Nothing waits.
    Empty,
    /// One frame, shared and not copied.
    One(Bytes),
    /// Several small ones, copied one after the other.
    Copied,
}

/// A frame from this size on is written from where it lies.
const SHARED_FROM: usize = 4 * 1024;

/// What a queued frame costs beside its bytes, roughly: its place in the queue and its allocation.
const OVERHEAD: usize = 64;

/// A batch is closed when it has grown to this size.
const BATCH: usize = 16 * 1024;

impl Queue {
    pub(super) fn push(&mut self, frame: Frame) {
        self.bytes += frame.len();
        self.frames += 1;
        self.volatile += usize::from(frame.is_volatile());
        if self.first.is_none() {
            self.first = Some(frame);
        } else {
            self.rest.push_back(frame);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        let frame = self.first.take()?;
        self.first = self.rest.pop_front();
        if self.rest.is_empty() {
            // An idle connection owns no buffer.
            self.rest = VecDeque::new();
        }
        self.bytes -= frame.len();
        self.frames -= 1;
        self.volatile -= usize::from(frame.is_volatile());
        Some(frame)
    }

    /// How many bytes are to be sent.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How much memory they take, which is what the limit is about: many small frames take more
    /// than their bytes.
    pub(super) const fn cost(&self) -> usize {
        self.bytes + self.frames * OVERHEAD
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) const fn peek(&self) -> Option<&Frame> {
        self.first.as_ref()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Drops what may be dropped first; whether there was any.
    pub(super) fn drop_volatile(&mut self) -> bool {
        if self.volatile == 0 {
            return false;
        }
        let all = self.first.take().into_iter().chain(self.rest.drain(..));
        let mut kept: VecDeque<_> = all.filter(|frame| !frame.is_volatile()).collect();
        self.bytes = kept.iter().map(Frame::len).sum();
        self.frames = kept.len();
        self.volatile = 0;
        self.first = kept.pop_front();
        self.rest = kept;
        true
    }

    /// Takes as many frames as one write should carry; several are copied into `out`.
    pub(super) fn pop_batch(&mut self, out: &mut Vec<u8>) -> Batch {
        let Some(first) = self.pop() else {
            return Batch::Empty;
        };
        if self.is_empty() || first.len() >= SHARED_FROM {
            return Batch::One(first.into_bytes());
        }
        out.extend_from_slice(first.bytes());
        while let Some(next) = self.peek()
            && next.len() < SHARED_FROM
            && out.len() + next.len() <= BATCH
            && let Some(next) = self.pop()
        {
            out.extend_from_slice(next.bytes());
        }
        Batch::Copied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Frame {
        Frame::packet(text.as_bytes())
    }

    fn drain(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.pop())
            .map(|frame| String::from_utf8_lossy(frame.payload()).into_owned())
            .collect()
    }

    #[test]
    fn frames_come_out_in_order_and_bytes_are_counted() {
        let mut queue = Queue::default();
        for text in ["4a", "4b", "4c"] {
            queue.push(frame(text));
        }
        assert_eq!(queue.bytes(), 12);
        assert_eq!(drain(&mut queue), ["4a", "4b", "4c"]);
        assert_eq!((queue.bytes(), queue.is_empty()), (0, true));
    }

    #[test]
    fn volatile_frames_are_dropped_and_the_others_keep_their_order() {
        let mut queue = Queue::default();
        queue.push(frame("4a").volatile());
        queue.push(frame("4b"));
        queue.push(frame("4c").volatile());
        queue.push(frame("4d"));
        assert!(queue.drop_volatile());
        assert!(!queue.drop_volatile(), "there is nothing left to drop");
        assert_eq!((queue.bytes(), queue.cost()), (8, 8 + 2 * OVERHEAD));
        assert_eq!(drain(&mut queue), ["4b", "4d"]);
    }

    #[test]
    fn an_empty_queue_costs_nothing_again() {
        let mut queue = Queue::default();
        queue.push(frame("4a").volatile());
        queue.push(frame("4b"));
        assert_eq!(queue.cost(), 8 + 2 * OVERHEAD);
        drain(&mut queue);
        assert_eq!(queue.cost(), 0);
        assert!(!queue.drop_volatile());
    }

    #[test]
    fn one_frame_is_shared_several_are_copied() {
        let mut queue = Queue::default();
        let mut out = Vec::new();
        queue.push(frame("4a"));
        assert!(matches!(queue.pop_batch(&mut out), Batch::One(bytes) if &bytes[2..] == b"4a"));
        queue.push(frame("4a"));
        queue.push(frame("4b"));
        assert!(matches!(queue.pop_batch(&mut out), Batch::Copied));
        assert_eq!(out, b"\x81\x024a\x81\x024b");
        assert!(matches!(queue.pop_batch(&mut out), Batch::Empty));
    }

    #[test]
    fn a_large_frame_ends_the_batch() {
        let mut queue = Queue::default();
        let mut out = Vec::new();
        queue.push(frame("4a"));
        queue.push(frame(&"4".repeat(SHARED_FROM)));
        queue.push(frame("4c"));
        assert!(matches!(queue.pop_batch(&mut out), Batch::Copied));
        assert_eq!(out, b"\x81\x024a");
        assert!(matches!(queue.pop_batch(&mut out), Batch::One(_)));
        assert!(matches!(queue.pop_batch(&mut out), Batch::One(_)));
    }
}
