use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::{
        inflow::Inflows,
        outflow::{BACKLOG, Outflow, Step},
        roster::Roster,
    },
    one, start,
};
use crate::{
    bus::{Fed, Held, Piece},
    message::User,
    presence::{Move, Movement, Presence},
};

const NODES: usize = 4;

/// No piece has as many bytes.
const MUCH: usize = 1024 * 1024;

const STEP: Duration = Duration::from_millis(100);

/// A node that is silent for so long is dead to the one that watches.
const DEAD: Duration = Duration::from_secs(4);

/// By then everything is known, whatever happened before.
const CATCH_UP: usize = 500;

/// The same numbers for the same seed. (xorshift64*)
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.roll(times) == 0
    }
}

type Name = (String, String);

/// A node that tells.
struct Teller {
    name: Arc<str>,
    /// Generations of those who are there, and were told.
    there: BTreeMap<Name, u64>,
    /// What the outflow has not heard yet.
    log: Vec<Move>,
    flow: Option<Outflow>,
    streams: u64,
    /// Nothing leaves and nothing comes until then.
    frozen_until: Instant,
    /// When the one that watches last heard that it lives.
    seen: Instant,
    /// The one that watches took it for dead.
    buried: bool,
    /// What was sent, and may come, come twice, or be lost.
    line: VecDeque<Piece>,
    /// The last pieces that came.
    stale: Vec<Piece>,
}

/// What a reader has put together of what it heard.
#[derive(Default)]
struct Hearer {
    there: BTreeMap<Name, (String, u64)>,
    /// The last generation that it heard.
    last: BTreeMap<Name, (u64, bool)>,
    heard: u64,
}

struct World {
    dice: Dice,
    now: Instant,
    clock: u64,
    tellers: Vec<Teller>,
    roster: Roster,
    inflows: Inflows,
    attentive: (usize, Hearer),
    lazy: (usize, Hearer),
    calm: bool,
    /// Sessions to be taken from nodes that have lost them to others.
    evictions: Vec<(usize, Name, u64)>,
    names: usize,
}

#[test]
fn whatever_is_lost_the_state_is_heard_and_no_generation_falls() {
    for seed in 1..=8 {
        let mut world = World::new(seed);
        for round in 0..4 {
            for _ in 0..300 {
                world.misfortune();
                world.step();
            }
            world.calm = true;
            for _ in 0..CATCH_UP {
                world.step();
            }
            world.check(&format!("seed {seed}, round {round}"));
            world.calm = false;
        }
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let (now, mut roster) = (start(), Roster::new());
        let (attentive, lazy) = (roster.attach().0, roster.attach().0);
        let tellers = (0..NODES).map(|number| Teller {
            name: format!("n{number}").into(),
            there: BTreeMap::new(),
            log: Vec::new(),
            flow: None,
            streams: 0,
            frozen_until: now,
            seen: now,
            buried: false,
            line: VecDeque::new(),
            stale: Vec::new(),
        });
        Self {
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            now,
            clock: 0,
            tellers: tellers.collect(),
            roster,
            inflows: Inflows::default(),
            attentive: (attentive, Hearer::default()),
            lazy: (lazy, Hearer::default()),
            calm: false,
            evictions: Vec::new(),
            names: 0,
        }
    }

    /// Room for what is raised in between.
    fn generation(&mut self) -> u64 {
        self.clock += 100;
        self.clock
    }

    fn misfortune(&mut self) {
        let node = self.dice.roll(NODES);
        match self.dice.roll(12) {
            0..=3 => self.connect(node),
            4..=5 => self.disconnect(node),
            6 => self.move_to(node),
            7 if self.dice.once_in(8) => {
                let long = self.dice.roll(80) as u32;
                self.tellers[node].frozen_until = self.now + STEP * long;
            }
            8 if self.dice.once_in(8) => {
                // It takes the one that watches for dead.
                self.tellers[node].flow = None;
            }
            9 if self.dice.once_in(4) => {
                if let Some(flow) = &mut self.tellers[node].flow {
                    flow.start_over();
                }
            }
            10 => {
                let lost = self.dice.roll(2) == 0;
                self.ask(lost);
            }
            _ => {}
        }
    }

    fn connect(&mut self, node: usize) {
        for _ in 0..=self.dice.roll(20) {
            self.names += 1;
            let account = format!("a{}", self.dice.roll(50));
            let name = (account, format!("s{}", self.names));
            let generation = self.generation();
            self.tellers[node].join(&name, generation);
        }
    }

    fn disconnect(&mut self, node: usize) {
        for _ in 0..=self.dice.roll(20) {
            let some = self.some_of(node);
            if let Some(name) = some {
                self.tellers[node].leave(&name);
            }
        }
    }

    /// A session comes to a node from another one, which hears of it later.
    fn move_to(&mut self, node: usize) {
        let from = self.dice.roll(NODES);
        if let Some(name) = self.some_of(from) {
            let generation = self.generation();
            if from != node {
                self.evictions.push((from, name.clone(), generation));
            }
            self.tellers[node].join(&name, generation);
        }
    }

    fn some_of(&mut self, node: usize) -> Option<Name> {
        let there = &self.tellers[node].there;
        let place = self.dice.roll(there.len().max(1));
        there.keys().nth(place).cloned()
    }

    fn step(&mut self) {
        self.now += STEP;
        for node in 0..NODES {
            self.evict(node);
            self.live(node);
            self.carry(node);
        }
        self.bury();
        self.roster.forget_old(self.now);
        self.ask(false);
        self.read();
    }

    /// A node hears that it lost sessions, some day.
    fn evict(&mut self, node: usize) {
        let frozen = self.tellers[node].frozen_until > self.now;
        if frozen || !(self.calm || self.dice.once_in(5)) {
            return;
        }
        let ours: Vec<_> = self
            .evictions
            .extract_if(.., |(from, ..)| *from == node)
            .collect();
        for (_, name, generation) in ours {
            let there = self.tellers[node].there.get(&name);
            if there.is_some_and(|own| *own < generation) {
                self.tellers[node].leave(&name);
            }
        }
    }

    /// A node that was taken for dead comes back with higher generations.
    fn live(&mut self, node: usize) {
        let teller = &mut self.tellers[node];
        if teller.frozen_until > self.now {
            return;
        }
        if self.now - teller.seen >= DEAD - STEP * 5 {
            let names: Vec<_> = teller.there.keys().cloned().collect();
            for name in names {
                let lost = self
                    .evictions
                    .iter()
                    .any(|(from, other, _)| (*from, other) == (node, &name));
                if lost {
                    teller.leave(&name);
                } else {
                    let raised = teller.there[&name] + 1;
                    teller.join(&name, raised);
                }
            }
        }
        teller.seen = self.now;
        teller.buried = false;
        let moves = std::mem::take(&mut teller.log);
        let Teller {
            there, flow, line, ..
        } = teller;
        if let Some(flow) = flow {
            flow.push(&moves);
            line.extend(flow.next(2000, |part| part_of(there, part)));
        }
    }

    /// What was sent comes, or not.
    fn carry(&mut self, node: usize) {
        if self.tellers[node].frozen_until > self.now {
            return;
        }
        if !self.calm && self.dice.once_in(20) {
            let teller = &mut self.tellers[node];
            if let Some(piece) = teller.stale.pop() {
                teller.line.push_front(piece);
            }
        }
        while let Some(piece) = self.tellers[node].line.pop_front() {
            if !self.calm && self.dice.once_in(4) {
                continue;
            }
            let teller = &mut self.tellers[node];
            let fed = if teller.buried {
                Fed::Later
            } else {
                let from = Arc::clone(&teller.name);
                self.inflows
                    .handle(&mut self.roster, self.now, &from, &piece)
                    .fed
            };
            let answered = (self.calm || !self.dice.once_in(4)).then_some(fed);
            let teller = &mut self.tellers[node];
            if let Some(flow) = &mut teller.flow
                && flow.settle(piece.at, answered) == Step::Anew
            {
                teller.streams += 1;
                flow.renew(teller.streams);
            }
            teller.stale.push(piece);
            teller.stale.truncate(3);
        }
    }

    /// Who was silent for long is dead to the one that watches.
    fn bury(&mut self) {
        for teller in &mut self.tellers {
            if !teller.buried && self.now - teller.seen >= DEAD {
                teller.buried = true;
                self.roster.gone(self.now, &teller.name);
                self.inflows.forget(|node| *node == *teller.name);
            }
        }
    }

    fn ask(&mut self, lost: bool) {
        let alive = self.tellers.iter().filter(|teller| !teller.buried);
        let names: Vec<Box<str>> = alive.map(|teller| (*teller.name).into()).collect();
        for (name, held) in self.inflows.due(self.now, &names, lost) {
            let arrives = self.calm || !self.dice.once_in(4);
            let mut tellers = self.tellers.iter_mut();
            let teller = tellers.find(|teller| teller.name == name);
            let teller = teller.expect("it was named");
            if arrives && teller.frozen_until <= self.now {
                teller.asked(held);
            }
        }
    }

    fn read(&mut self) {
        while let Some(movement) = self.roster.next(self.attentive.0) {
            self.attentive.1.hear(movement);
        }
        let most = if self.calm { 1000 } else { self.dice.roll(3) };
        for _ in 0..most {
            let Some(movement) = self.roster.next(self.lazy.0) else {
                break;
            };
            self.lazy.1.hear(movement);
        }
    }

    fn check(&self, when: &str) {
        let mut truth: BTreeMap<Name, (String, u64)> = BTreeMap::new();
        for teller in &self.tellers {
            for (name, generation) in &teller.there {
                let newer = truth.get(name).is_none_or(|(_, other)| other < generation);
                if newer {
                    truth.insert(name.clone(), (teller.name.to_string(), *generation));
                }
            }
        }
        assert_eq!(self.roster.dump(), truth, "{when}");
        assert_eq!(self.attentive.1.there, truth, "{when}");
        assert_eq!(self.lazy.1.there, truth, "{when}, slowly");
        assert_eq!(self.roster.missed(self.attentive.0), 0);
        assert!(self.attentive.1.heard > 0 && truth.len() > 1, "{when}");
        assert_eq!(
            self.roster.len(),
            truth.len(),
            "{when}: who left is forgotten"
        );
    }
}

impl Teller {
    fn join(&mut self, name: &Name, generation: u64) {
        self.there.insert(name.clone(), generation);
        self.log(name, generation, true);
    }

    fn leave(&mut self, name: &Name) {
        if let Some(generation) = self.there.remove(name) {
            self.log(name, generation, false);
        }
    }

    fn log(&mut self, (account, session): &Name, generation: u64, joined: bool) {
        self.log.push(Move {
            user: User::new(account, session, "sid"),
            generation,
            joined,
        });
    }

    fn asked(&mut self, held: Held) {
        match &mut self.flow {
            Some(flow) if flow.knows(held) => {}
            Some(flow) => {
                self.streams += 1;
                flow.renew(self.streams);
            }
            None => {
                self.streams += 1;
                self.flow = Some(Outflow::new(self.streams));
            }
        }
    }
}

impl Hearer {
    fn hear(&mut self, movement: Movement) {
        self.heard += 1;
        let (name, generation, node) = match movement {
            Movement::Join {
                account,
                session,
                node,
                generation,
            } => ((account.into(), session.into()), generation, Some(node)),
            Movement::Leave {
                account,
                session,
                generation,
            } => ((account.into(), session.into()), generation, None),
        };
        let news = (generation, node.is_none());
        let last = self.last.get(&name).copied().unwrap_or_default();
        assert!(last.0 <= generation, "{name:?}: {news:?} after {last:?}");
        if news <= last {
            // The key says that it is a repeat.
            return;
        }
        self.last.insert(name.clone(), news);
        match node {
            Some(node) => {
                self.there.insert(name, (node.into(), generation));
            }
            None => assert!(self.there.remove(&name).is_some(), "{name:?} left unheard"),
        }
    }
}

/// Those who are there, as one part of a node has them.
fn part_of(there: &BTreeMap<Name, u64>, part: u8) -> Vec<Move> {
    let of_part = there.iter().filter(|((account, _), _)| {
        let sum: u32 = account.bytes().map(u32::from).sum();
        sum % u32::from(Presence::PARTS) == u32::from(part)
    });
    of_part
        .map(|((account, session), generation)| Move {
            user: User::new(account, session, "sid"),
            generation: *generation,
            joined: true,
        })
        .collect()
}

#[test]
fn pieces_are_small_and_the_last_of_those_who_are_there_is_known() {
    let names: BTreeSet<Name> = (0..3000)
        .map(|number| (format!("a{number}"), "s".to_owned()))
        .collect();
    let there: BTreeMap<Name, u64> = names.into_iter().map(|name| (name, 1)).collect();
    let mut flow = Outflow::new(1);
    let (mut told, mut pieces) = (BTreeSet::new(), 0);
    loop {
        let piece = flow
            .next(MUCH, |part| part_of(&there, part))
            .expect("a piece");
        assert_eq!(piece.begins, pieces == 0);
        assert!(piece.moves.len() <= 512);
        pieces += 1;
        told.extend(piece.moves.iter().map(|one| one.user.account().to_owned()));
        assert_eq!(flow.settle(piece.at, Some(Fed::Taken)), Step::Next);
        if piece.ends {
            break;
        }
        assert!(pieces < 100);
    }
    assert_eq!(told.len(), there.len());
    assert_eq!(flow.next(MUCH, |_| Vec::new()), None);

    let long = "a".repeat(200);
    flow.push(&[one(&long, "s", 1, true), one(&long, "t", 1, true)]);
    let piece = flow.next(250, |_| Vec::new()).expect("a piece");
    assert_eq!(piece.moves.len(), 1, "few bytes");
    flow.settle(piece.at, Some(Fed::Taken));
    let piece = flow.next(1, |_| Vec::new()).expect("a piece");
    assert_eq!(piece.moves.len(), 1, "one goes in any case");
}

#[test]
fn whoever_is_there_is_told_again_when_too_much_happened() {
    let mut flow = Outflow::new(1);
    let piece = flow.next(MUCH, |_| Vec::new()).expect("a piece");
    assert!(piece.begins && piece.ends);
    flow.settle(piece.at, Some(Fed::Taken));
    let there = [one("ann", "s", 7, true)];
    for _ in 0..=BACKLOG {
        flow.push(&there);
    }
    let told_in = |part| match part {
        3 => there.to_vec(),
        _ => Vec::new(),
    };
    let piece = flow.next(MUCH, told_in).expect("a piece");
    assert!(piece.begins && piece.ends);
    assert_eq!(piece.moves, there);
}

#[test]
fn a_node_that_lost_its_way_is_told_anew() {
    let mut flow = Outflow::new(5);
    let other = Held {
        stream: 4,
        piece: 1,
    };
    assert!(flow.knows(Held::default()), "it was told nothing yet");
    let piece = flow.next(MUCH, |_| Vec::new()).expect("a piece");
    assert_eq!(flow.settle(piece.at, None), Step::BackOff);
    assert_eq!(flow.next(MUCH, |_| Vec::new()), Some(piece.clone()));
    assert!(flow.knows(Held::default()) && flow.knows(piece.at));
    assert!(!flow.knows(other), "another stream");
    flow.settle(piece.at, Some(Fed::Taken));
    assert!(flow.knows(piece.at));
    assert!(!flow.knows(Held::default()) && !flow.knows(other));

    flow.push(&[one("ann", "s", 7, true)]);
    let piece = flow.next(MUCH, |_| Vec::new()).expect("a piece");
    assert_eq!(flow.settle(piece.at, Some(Fed::Again)), Step::Anew);
    flow.renew(6);
    let anew = flow.next(MUCH, |_| Vec::new()).expect("a piece");
    assert!(anew.begins);
    assert_eq!((anew.at.stream, anew.at.piece), (6, 1));
    let old = flow.settle(piece.at, Some(Fed::Unwanted));
    assert_eq!(old, Step::Next);
}
