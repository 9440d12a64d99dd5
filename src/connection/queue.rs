use std::{collections::VecDeque, mem};

use bytes::Bytes;

use super::watch::{Watcher, Watchers};
use crate::message::{Encoded, Frame};

/// What waits to be sent to one client, oldest first.
///
/// The first frame lies in the struct itself: a queue that never holds more than one at a time
/// never allocates.
#[derive(Default)]
pub(super) struct Queue {
    first: Option<Frame>,
    rest: VecDeque<Frame>,
    /// Answers behind all of them, small and one after the other, for a websocket.
    run: Vec<u8>,
    bytes: usize,
    frames: u32,
    volatile: u32,
    /// Who wants to hear of frames that are here, or on their way out.
    watchers: Option<Box<Watchers>>,
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

/// Room that a second answer makes for more of them, in bytes.
const RUN: usize = 1024;

impl Queue {
    pub(super) fn push(&mut self, frame: Frame) {
        self.seal();
        self.bytes += frame.len();
        self.frames += 1;
        self.volatile += u32::from(frame.is_volatile());
        self.place(frame);
    }

    /// As [`push`](Self::push), for a frame that only a websocket will carry: small ones share an
    /// allocation, and count as one.
    pub(super) fn append(&mut self, frame: &Encoded<'_>) {
        let frame = frame.bytes();
        if frame.len() >= SHARED_FROM {
            return self.push(Frame::run(frame.to_vec()));
        }
        if self.run.len() + frame.len() > BATCH {
            self.seal();
        }
        if self.run.is_empty() {
            self.frames += 1;
        } else if self.run.capacity() - self.run.len() < frame.len() {
            self.run.reserve(RUN.max(frame.len()));
        }
        self.bytes += frame.len();
        self.run.extend_from_slice(frame);
    }

    fn place(&mut self, frame: Frame) {
        if self.first.is_none() {
            self.first = Some(frame);
        } else {
            self.rest.push_back(frame);
        }
    }

    /// What comes next stands behind the run, and so that ends.
    fn seal(&mut self) {
        if !self.run.is_empty() {
            let mut run = mem::take(&mut self.run);
            // What waits takes no more than what is counted.
            run.shrink_to_fit();
            self.place(Frame::run(run));
        }
    }

    /// Copies the run, which nothing stands before.
    fn pop_run(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.run);
        self.bytes -= self.run.len();
        self.frames -= u32::from(!self.run.is_empty());
        self.run = Vec::new();
    }

    /// As [`push`](Self::push); the watcher hears what becomes of the frame.
    pub(super) fn push_watched(&mut self, frame: Frame, watcher: Watcher) {
        self.push(frame.watched());
        self.watchers.get_or_insert_default().push(watcher);
    }

    /// All that was popped is with the transport.
    #[must_use = "watchers are told without a lock"]
    pub(super) fn written(&mut self) -> Vec<Watcher> {
        let told = self.watchers.as_mut().map(|all| all.take_popped());
        if self.watchers.as_ref().is_some_and(|all| all.is_empty()) {
            self.watchers = None;
        }
        told.unwrap_or_default()
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        if self.first.is_none() {
            self.seal();
        }
        let frame = self.first.take()?;
        self.first = self.rest.pop_front();
        if self.rest.is_empty() {
            // An idle connection owns no buffer.
            self.rest = VecDeque::new();
        }
        self.bytes -= frame.len();
        self.frames -= 1;
        self.volatile -= u32::from(frame.is_volatile());
        if frame.is_watched()
            && let Some(watchers) = &mut self.watchers
        {
            watchers.pop();
        }
        Some(frame)
    }

    /// How many bytes are to be sent.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How much memory they take, which is what the limit is about: many small frames take more
    /// than their bytes.
    pub(super) const fn cost(&self) -> usize {
        self.bytes + self.frames as usize * OVERHEAD
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none() && self.run.is_empty()
    }

    pub(super) const fn peek(&self) -> Option<&Frame> {
        self.first.as_ref()
    }

    /// Drops what waits. Who watches what is on its way out goes on to do so.
    #[must_use = "watchers are told without a lock"]
    pub(super) fn clear(&mut self) -> Vec<Watcher> {
        let mut watchers = self.watchers.take();
        let told = watchers.as_mut().map(|all| all.take_waiting());
        *self = Self::default();
        self.watchers = watchers.filter(|all| !all.is_empty());
        told.unwrap_or_default()
    }

    /// Whether somebody wants to hear of what was popped.
    pub(super) fn is_watched(&self) -> bool {
        self.watchers.as_ref().is_some_and(|all| all.has_popped())
    }

    /// Drops what may be dropped first; whether there was any.
    pub(super) fn drop_volatile(&mut self) -> bool {
        if self.volatile == 0 {
            return false;
        }
        self.seal();
        let all = self.first.take().into_iter().chain(self.rest.drain(..));
        let mut kept: VecDeque<Frame> = all.filter(|frame| !frame.is_volatile()).collect();
        self.bytes = kept.iter().map(Frame::len).sum();
        self.frames = u32::try_from(kept.len()).unwrap_or(u32::MAX);
        self.volatile = 0;
        self.first = kept.pop_front();
        self.rest = kept;
        true
    }

    /// Takes as many frames as one write should carry; several are copied into `out`.
    pub(super) fn pop_batch(&mut self, out: &mut Vec<u8>) -> Batch {
        if self.is_empty() {
            return Batch::Empty;
        }
        let alone = self.rest.is_empty() && self.run.is_empty();
        let shared = |first: &Frame| alone || first.len() >= SHARED_FROM;
        if self.peek().is_some_and(shared)
            && let Some(first) = self.pop()
        {
            return Batch::One(first.into_bytes());
        }
        while let Some(next) = self.peek()
            && next.len() < SHARED_FROM
            && out.len() + next.len() <= BATCH
            && let Some(next) = self.pop()
        {
            out.extend_from_slice(next.bytes());
        }
        if self.first.is_none() && out.len() + self.run.len() <= BATCH {
            self.pop_run(out);
        }
        Batch::Copied
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        connection::watch::Fate,
        message::{Args, IntoArgs, Outgoing, Raw},
    };

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

    /// A watcher, and what it heard.
    fn watcher() -> (Watcher, std::sync::mpsc::Receiver<Fate>) {
        let (tell, told) = std::sync::mpsc::channel();
        let watcher = Watcher::new(move |fate| {
            let _ = tell.send(fate);
        });
        (watcher, told)
    }

    #[test]
    fn a_watcher_hears_of_its_frame_when_that_is_written_and_not_before() {
        let mut queue = Queue::default();
        let (first, first_fate) = watcher();
        let (second, second_fate) = watcher();
        queue.push(frame("4a").volatile());
        queue.push_watched(frame("4b"), first);
        queue.push(frame("4c"));
        queue.push_watched(frame("4d"), second);
        queue.drop_volatile();

        queue.pop();
        assert!(queue.is_watched());
        assert!(first_fate.try_recv().is_err(), "it may still break off");
        queue
            .written()
            .into_iter()
            .for_each(|one| one.tell(Fate::Written));
        assert_eq!(first_fate.try_recv(), Ok(Fate::Written));
        assert!(!queue.is_watched());

        queue.pop();
        queue.pop();
        queue
            .written()
            .into_iter()
            .for_each(|one| one.tell(Fate::Written));
        assert_eq!(second_fate.try_recv(), Ok(Fate::Written));
        assert!(queue.watchers.is_none(), "nobody pays for what is over");
    }

    #[test]
    fn what_waits_is_lost_with_the_queue_and_what_was_popped_is_not_known() {
        let mut queue = Queue::default();
        let (popped, popped_fate) = watcher();
        let (waiting, waiting_fate) = watcher();
        queue.push_watched(frame("4a"), popped);
        queue.push_watched(frame("4b"), waiting);
        queue.pop();

        queue
            .clear()
            .into_iter()
            .for_each(|one| one.tell(Fate::Lost));

        assert_eq!(waiting_fate.try_recv(), Ok(Fate::Lost));
        assert!(popped_fate.try_recv().is_err());
        drop(queue);
        assert_eq!(popped_fate.try_recv(), Ok(Fate::Unknown));
    }

    #[test]
    fn a_watched_frame_is_not_dropped_for_room() {
        let mut queue = Queue::default();
        let (one, fate) = watcher();
        queue.push_watched(frame("4a").volatile(), one);
        assert!(!queue.drop_volatile());
        assert_eq!(drain(&mut queue), ["4a"]);
        assert!(fate.try_recv().is_err());
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

    /// Appends an answer, as only a websocket is sent it.
    fn append(queue: &mut Queue, text: &str) {
        let args = Args::text(text);
        let message = Outgoing::new("message", args.as_args());
        Frame::encode_with(&Raw, &message, |answer| queue.append(answer)).unwrap();
    }

    #[test]
    fn answers_are_one_frame_and_keep_their_place_among_others() {
        let mut queue = Queue::default();
        let mut out = Vec::new();
        append(&mut queue, "a");
        append(&mut queue, "b");
        assert_eq!((queue.bytes(), queue.cost()), (8, 8 + OVERHEAD));
        queue.push(frame("4c").volatile());
        append(&mut queue, "d");
        assert_eq!((queue.bytes(), queue.cost()), (16, 16 + 3 * OVERHEAD));
        assert!(matches!(queue.pop_batch(&mut out), Batch::Copied));
        assert_eq!(out, b"\x81\x024a\x81\x024b\x81\x024c\x81\x024d");
        assert_eq!((queue.cost(), queue.is_empty()), (0, true));
        assert!(matches!(queue.pop_batch(&mut out), Batch::Empty));
    }

    #[test]
    fn answers_alone_are_a_batch_and_leave_no_buffer() {
        let mut queue = Queue::default();
        let mut out = Vec::new();
        append(&mut queue, "a");
        assert!(!queue.is_empty());
        assert!(matches!(queue.pop_batch(&mut out), Batch::Copied));
        assert_eq!(out, b"\x81\x024a");
        assert_eq!((queue.cost(), queue.run.capacity()), (0, 0));
    }

    #[test]
    fn answers_that_are_followed_by_others_take_no_more_memory_than_is_counted() {
        let mut queue = Queue::default();
        append(&mut queue, "first");
        append(&mut queue, "second");
        queue.push(frame("4c"));
        let answers = queue.pop().unwrap().into_bytes();
        assert_eq!(&answers[..], b"\x81\x064first\x81\x074second");
        assert_eq!(answers.try_into_mut().unwrap().capacity(), 8 + 9);
    }

    #[test]
    fn answers_stay_when_volatile_frames_are_dropped() {
        let mut queue = Queue::default();
        let mut out = Vec::new();
        append(&mut queue, "a");
        queue.push(frame("4b").volatile());
        append(&mut queue, "c");
        assert!(queue.drop_volatile());
        assert_eq!((queue.bytes(), queue.cost()), (8, 8 + 2 * OVERHEAD));
        queue.pop_batch(&mut out);
        assert_eq!(out, b"\x81\x024a\x81\x024c");
    }

    #[test]
    fn answers_beyond_a_batch_and_large_ones_are_written_in_turn() {
        let mut queue = Queue::default();
        let text = "x".repeat(1000);
        for _ in 0..20 {
            append(&mut queue, &text);
        }
        append(&mut queue, &"y".repeat(SHARED_FROM));
        append(&mut queue, "z");
        let mut written = Vec::new();
        loop {
            let mut out = Vec::new();
            match queue.pop_batch(&mut out) {
                Batch::Empty => break,
                Batch::One(bytes) => written.extend_from_slice(&bytes),
                Batch::Copied => {
                    assert!(out.len() <= BATCH);
                    written.extend_from_slice(&out);
                }
            }
        }
        assert_eq!(written.len(), 20 * (4 + 1001) + (4 + 1 + SHARED_FROM) + 4);
        assert!(written.ends_with(b"y\x81\x024z"));
        assert_eq!(queue.cost(), 0);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push(usize, bool),
        Append(usize),
        DropVolatile,
        PopBatch,
        Pop,
    }

    fn op() -> impl Strategy<Value = Op> {
        let size = || prop_oneof![4 => 1..60_usize, 1 => 900..1100_usize, 1 => 4000..4100_usize];
        prop_oneof![
            3 => (size(), any::<bool>()).prop_map(|(size, volatile)| Op::Push(size, volatile)),
            6 => size().prop_map(Op::Append),
            1 => Just(Op::DropVolatile),
            1 => Just(Op::PopBatch),
            1 => Just(Op::Pop),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_queued_leaves_in_its_order(ops in prop::collection::vec(op(), 0..80)) {
            let mut queue = Queue::default();
            let mut model: VecDeque<(Vec<u8>, bool)> = VecDeque::new();
            for (number, op) in ops.into_iter().chain(vec![Op::PopBatch; 200]).enumerate() {
                let text = |size: usize| format!("{:x<size$}", format!("4{number}"));
                let mut taken = Vec::new();
                match op {
                    Op::Push(size, volatile) => {
                        let one = frame(&text(size));
                        model.push_back((one.bytes().to_vec(), volatile));
                        queue.push(if volatile { one.volatile() } else { one });
                    }
                    Op::Append(size) => {
                        let text = text(size);
                        model.push_back((frame(&text).bytes().to_vec(), false));
                        append(&mut queue, &text[1..]);
                    }
                    Op::DropVolatile => {
                        let before = model.len();
                        model.retain(|(_, volatile)| !volatile);
                        assert_eq!(queue.drop_volatile(), model.len() < before);
                    }
                    Op::PopBatch => match queue.pop_batch(&mut taken) {
                        Batch::Empty => assert!(model.is_empty()),
                        Batch::One(bytes) => taken = bytes.to_vec(),
                        Batch::Copied => assert!((1..=BATCH).contains(&taken.len())),
                    },
                    Op::Pop => taken = queue.pop().map(Frame::into_bytes).unwrap_or_default().to_vec(),
                }
                let mut taken = &taken[..];
                while !taken.is_empty() {
                    let (next, _) = model.pop_front().unwrap();
                    taken = taken.strip_prefix(&next[..]).unwrap();
                }
                assert_eq!(queue.bytes(), model.iter().map(|(it, _)| it.len()).sum::<usize>());
                assert_eq!(queue.is_empty(), model.is_empty());
                assert!(queue.cost() <= queue.bytes() + model.len() * OVERHEAD);
                assert_eq!(queue.cost() > 0, !model.is_empty());
            }
            assert!(model.is_empty());
            assert_eq!((queue.cost(), queue.run.capacity(), queue.rest.capacity()), (0, 0, 0));
        }
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
