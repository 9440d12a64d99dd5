//! Nodes whose transport and whose peers do whatever they can do, in random order, against what was
//! promised: nothing comes twice or out of order, and every outcome is true.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::cast::{say, text};
use crate::{
    bus::{
        Answer, Outcome, Unreached,
        core::{Core, Step},
        entry::{self, Item},
        inboxes::{Appended, Failed},
        marks::{Marks, Verdict},
    },
    error::StoreError,
    presence::Life,
};

const NODES: usize = 3;
const STEPS: usize = 4000;
const SEEDS: u64 = 40;
const CAP: usize = 3;

/// Numbers that look random and are the same every time. (xorshift64*)
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        mixed as usize % sides
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.roll(times) == 0
    }
}

/// What a node's writer does for one destination.
enum Flush {
    Idle,
    UnderWay(Bytes),
}

struct Node {
    core: Core,
    marks: Marks,
    flushes: BTreeMap<usize, Flush>,
    /// None while it is gone.
    inbox: Option<VecDeque<Bytes>>,
    life: Life,
    /// Calls whose answer comes later.
    owed: Vec<(String, u64)>,
}

/// A call, and what is known of it.
struct Asked {
    number: usize,
    from: usize,
    to: usize,
    id: u64,
    answer: oneshot::Receiver<Result<Answer, Unreached>>,
}

struct World {
    dice: Dice,
    now: Instant,
    nodes: Vec<Node>,
    /// Appends that nobody waits for, and that may come to pass.
    limbo: Vec<(usize, Bytes)>,
    asked: Vec<Asked>,
    next: usize,
    /// What came, by sender and receiver.
    arrived: BTreeMap<(usize, usize), Vec<usize>>,
    /// What was said of calls.
    outcomes: BTreeMap<usize, Result<Answer, Unreached>>,
    missed: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "time has to begin somewhere")]
        let now = Instant::now();
        // Some can send one or two calls at a time, others all of them.
        let entry = if seed.is_multiple_of(2) { 64 } else { 4096 };
        let node = |index: usize| Node {
            core: Core::new(&index.to_string(), 4096).with_entry(entry),
            marks: Marks::default(),
            flushes: BTreeMap::new(),
            inbox: Some(VecDeque::new()),
            life: Life::Live,
            owed: Vec::new(),
        };
        Self {
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            now,
            nodes: (0..NODES).map(node).collect(),
            limbo: Vec::new(),
            asked: Vec::new(),
            next: 0,
            arrived: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            missed: 0,
        }
    }

    fn lives(&self) -> impl Fn(&str) -> Life + use<> {
        let lives: Vec<Life> = self.nodes.iter().map(|node| node.life).collect();
        move |name| lives[index(name)]
    }

    fn step(&mut self) {
        match self.dice.roll(21) {
            0..4 => self.call(),
            4..9 => self.write(),
            9..14 => self.read(),
            14 => self.pay(),
            15 => self.give_up(),
            16 => self.now += Duration::from_millis(self.dice.roll(400) as u64),
            17 => self.come_late(),
            18 => self.strike(),
            19 => self.look_around(),
            _ => self.hear(),
        }
    }

    fn pair(&mut self) -> (usize, usize) {
        let from = self.dice.roll(NODES);
        let other = 1 + self.dice.roll(NODES - 1);
        (from, (from + other) % NODES)
    }

    fn call(&mut self) {
        let (from, to) = self.pair();
        for _ in 0..=self.dice.roll(3) {
            let number = self.next;
            self.next += 1;
            let call = say(&number.to_string());
            let core = &mut self.nodes[from].core;
            if self.dice.once_in(3) {
                let _ = core.post(self.now, &to.to_string(), &call);
                continue;
            }
            let (waiter, answer) = oneshot::channel();
            match core.ask(self.now, &to.to_string(), &call, waiter) {
                Ok(id) => self.asked.push(Asked {
                    number,
                    from,
                    to,
                    id,
                    answer,
                }),
                Err(refused) => {
                    let refused = Err(Unreached::Refused(refused));
                    self.outcomes.insert(number, refused);
                }
            }
        }
    }

    /// A writer goes on: it begins an attempt, or hears what became of one.
    fn write(&mut self) {
        let from = self.dice.roll(NODES);
        let lives = self.lives();
        let node = &mut self.nodes[from];
        for name in node.core.take_ready() {
            let old = node.flushes.insert(index(&name), Flush::Idle);
            assert!(old.is_none(), "somebody looked after it already");
        }
        let choices: Vec<usize> = node.flushes.keys().copied().collect();
        if choices.is_empty() {
            return;
        }
        let to = choices[self.dice.roll(choices.len())];
        let name = to.to_string();
        let flush = self.nodes[from].flushes.remove(&to);
        let Some(Flush::UnderWay(bytes)) = flush else {
            let next = self.nodes[from].core.next(self.now, &name, &lives);
            if let Some(bytes) = next {
                let under_way = Flush::UnderWay(bytes);
                self.nodes[from].flushes.insert(to, under_way);
            }
            return;
        };
        let result = self.attempt(to, &bytes);
        let step = self.nodes[from].core.settle(&name, &result, &lives);
        assert!(step != Step::Full || result == Ok(Appended::Full));
        self.nodes[from].flushes.insert(to, Flush::Idle);
    }

    fn attempt(&mut self, to: usize, bytes: &Bytes) -> Result<Appended, Failed> {
        let error = || StoreError::Unreachable("on purpose".into());
        match self.dice.roll(8) {
            0 => Err(Failed::Surely(error())),
            1 => Err(Failed::Perhaps(error())),
            2 => {
                self.append(to, bytes);
                Err(Failed::Perhaps(error()))
            }
            3 => {
                self.limbo.push((to, bytes.clone()));
                Err(Failed::Perhaps(error()))
            }
            _ => Ok(self.append(to, bytes)),
        }
    }

    fn append(&mut self, to: usize, bytes: &Bytes) -> Appended {
        match &mut self.nodes[to].inbox {
            None => Appended::Gone,
            Some(inbox) if inbox.len() >= CAP => Appended::Full,
            Some(inbox) => {
                inbox.push_back(bytes.clone());
                Appended::Done
            }
        }
    }

    fn come_late(&mut self) {
        if !self.limbo.is_empty() {
            let some = self.dice.roll(self.limbo.len());
            let (to, bytes) = self.limbo.swap_remove(some);
            self.append(to, &bytes);
        }
    }

    fn read(&mut self) {
        let reader = self.dice.roll(NODES);
        self.read_one(reader);
    }

    /// Whether there was one.
    fn read_one(&mut self, reader: usize) -> bool {
        let inbox = &mut self.nodes[reader].inbox;
        let entry = inbox.as_mut().and_then(VecDeque::pop_front);
        let Some(entry) = entry else {
            return false;
        };
        self.receive(reader, &entry);
        true
    }

    fn receive(&mut self, reader: usize, entry: &Bytes) {
        let (head, rest) = entry::head(entry).unwrap();
        let node = &mut self.nodes[reader];
        let Verdict::New { from, missed } = node.marks.handle(self.now, &head) else {
            return;
        };
        self.missed += missed;
        for item in entry::items(rest).unwrap() {
            match item {
                Item::Call(id, call) => {
                    let number: usize = text(&call).parse().unwrap();
                    let way = (index(&from), reader);
                    self.arrived.entry(way).or_default().push(number);
                    if let Some(id) = id {
                        self.nodes[reader].owed.push((from.to_string(), id));
                    }
                }
                Item::Answer(id, answer) => {
                    let core = &mut self.nodes[reader].core;
                    core.handle_answer(&from, id, answer);
                }
            }
        }
    }

    /// A node answers some of what it was asked.
    fn pay(&mut self) {
        let node = self.dice.roll(NODES);
        let node = &mut self.nodes[node];
        for (to, id) in std::mem::take(&mut node.owed) {
            let answer = Ok(Answer::Forward(Outcome::Enqueued));
            node.core.answer(self.now, &to, id, answer);
        }
    }

    fn give_up(&mut self) {
        if !self.asked.is_empty() {
            let some = self.dice.roll(self.asked.len());
            self.give_up_on(some);
        }
    }

    fn give_up_on(&mut self, some: usize) {
        let mut asked = self.asked.swap_remove(some);
        let core = &mut self.nodes[asked.from].core;
        let unreached = core.give_up(&asked.to.to_string(), asked.id);
        let outcome = asked.answer.try_recv().unwrap_or(Err(unreached));
        self.outcomes.insert(asked.number, outcome);
    }

    /// An inbox is lost or comes back, or a node is said to be dead, or to live.
    fn strike(&mut self) {
        let node = self.dice.roll(NODES);
        let calm = !self.dice.once_in(4);
        let node = &mut self.nodes[node];
        node.inbox = match node.inbox.take() {
            Some(inbox) if calm => Some(inbox),
            Some(_) => None,
            None => Some(VecDeque::new()),
        };
        node.life = match self.dice.roll(6) {
            0 => Life::Dead,
            1 => Life::Suspect,
            2 => Life::Unknown,
            _ => Life::Live,
        };
    }

    fn look_around(&mut self) {
        let node = self.dice.roll(NODES);
        let lives = self.lives();
        // Now and then so much later that nodes are forgotten.
        if self.dice.once_in(50) {
            self.sleep();
        }
        let node = &mut self.nodes[node];
        node.core.look_around(self.now, &lives);
        node.marks.look_around(self.now, &lives);
    }

    /// So much time passes that nothing is on its way any more.
    fn sleep(&mut self) {
        let lives = self.lives();
        self.now += Duration::from_secs(100_000);
        self.limbo.clear();
        for reader in 0..NODES {
            while self.read_one(reader) {}
        }
        let lost = Err(Failed::Perhaps(StoreError::Unreachable("lost".into())));
        for node in &mut self.nodes {
            for (to, flush) in &mut node.flushes {
                if matches!(flush, Flush::UnderWay(_)) {
                    node.core.settle(&to.to_string(), &lost, &lives);
                    *flush = Flush::Idle;
                }
            }
        }
    }

    /// Takes down what was said of calls.
    fn hear(&mut self) {
        let outcomes = &mut self.outcomes;
        self.asked.retain_mut(|asked| {
            let Ok(outcome) = asked.answer.try_recv() else {
                return true;
            };
            outcomes.insert(asked.number, outcome);
            false
        });
    }

    /// Everything comes to rest.
    fn end(&mut self) {
        for node in &mut self.nodes {
            node.life = Life::Live;
            node.inbox.get_or_insert_default();
        }
        for _ in 0..2000 {
            self.write();
            self.come_late();
            self.read();
            self.pay();
        }
        self.hear();
        while !self.asked.is_empty() {
            self.give_up_on(0);
        }
    }

    fn check(&self) {
        for (way, numbers) in &self.arrived {
            let in_order = numbers.is_sorted_by(|one, next| one < next);
            assert!(in_order, "{way:?}: {numbers:?}");
        }
        let arrived: HashSet<usize> = self.arrived.values().flatten().copied().collect();
        for (number, outcome) in &self.outcomes {
            let came = arrived.contains(number);
            match outcome {
                Ok(_) => assert!(came, "{number} was answered and did not come"),
                Err(Unreached::Unknown) => {}
                Err(other) => assert!(!came, "{number} came: {other}"),
            }
        }
    }
}

fn index(name: &str) -> usize {
    name.parse().unwrap()
}

#[test]
fn nothing_comes_twice_or_out_of_order_and_every_outcome_is_true() {
    let (mut answered, mut arrived, mut missed) = (0, 0, 0);
    let mut refused = HashSet::new();
    for seed in 1..=SEEDS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.check();
        world.end();
        world.check();
        arrived += world.arrived.values().map(Vec::len).sum::<usize>();
        missed += world.missed;
        for outcome in world.outcomes.values() {
            match outcome {
                Ok(_) => answered += 1,
                Err(unreached) => drop(refused.insert(unreached.to_string())),
            }
        }
    }
    // It was no idle play.
    assert!(
        answered > 5_000 && arrived > answered,
        "{answered} of {arrived}"
    );
    assert!(missed > 100, "{missed}");
    let mut refused: Vec<String> = refused.into_iter().collect();
    refused.sort();
    assert_eq!(
        refused,
        [
            "no answer in time",
            "node is gone",
            "node is not known well enough",
            "refused: bus offline",
            "refused: inbox full",
        ]
    );
}

#[test]
fn what_never_left_is_taken_back_at_its_deadline() {
    let mut world = World::new(1);
    let lives = world.lives();
    let (waiter, _answer) = oneshot::channel();
    let core = &mut world.nodes[0].core;
    let first = core.ask(world.now, "1", &say("1"), waiter).unwrap();
    core.post(world.now, "1", &say("2")).unwrap();
    let before = core.next(world.now, "1", &lives).unwrap();

    let surely = Err(Failed::Surely(StoreError::Unreachable("away".into())));
    assert_eq!(core.settle("1", &surely, &lives), Step::BackOff);
    let offline = Unreached::Refused(crate::bus::Refused::BusOffline);
    assert_eq!(core.give_up("1", first), offline);

    let after = core.next(world.now, "1", &lives).unwrap();
    assert_ne!(before, after);
    world.receive(1, &after);
    assert_eq!(world.arrived[&(0, 1)], [2]);
}

#[test]
fn what_may_have_left_is_repeated_as_it_was() {
    let mut world = World::new(1);
    let lives = world.lives();
    let core = &mut world.nodes[0].core;
    core.post(world.now, "1", &say("1")).unwrap();
    let before = core.next(world.now, "1", &lives).unwrap();

    core.post(world.now, "1", &say("2")).unwrap();
    let perhaps = Err(Failed::Perhaps(StoreError::Unreachable("away".into())));
    core.settle("1", &perhaps, &lives);
    let surely = Err(Failed::Surely(StoreError::Unreachable("away".into())));
    core.settle("1", &surely, &lives);

    assert_eq!(core.next(world.now, "1", &lives), Some(before));
}

#[test]
fn what_nobody_waits_for_is_dropped_when_it_is_old() {
    let mut world = World::new(1);
    let lives = world.lives();
    let core = &mut world.nodes[0].core;
    core.post(world.now, "1", &say("1")).unwrap();
    world.now += Duration::from_secs(11);
    core.post(world.now, "1", &say("2")).unwrap();

    let entry = core.next(world.now, "1", &lives).unwrap();
    world.receive(1, &entry);

    assert_eq!(world.arrived[&(0, 1)], [2]);
}

#[test]
fn the_sender_of_an_entry_is_shared_by_all_that_it_brings() {
    let mut marks = Marks::default();
    let world = World::new(1);
    let head = |seq| entry::Head {
        sender: "x",
        seq,
        since: 1,
    };
    let Verdict::New { from: one, .. } = marks.handle(world.now, &head(1)) else {
        panic!("it is new");
    };
    let Verdict::New { from: other, .. } = marks.handle(world.now, &head(2)) else {
        panic!("it is new");
    };
    assert!(Arc::ptr_eq(&one, &other));
}
