use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::super::{
    liveness::{Liveness, Periods, Verdict},
    value::Lease,
};
use crate::reach::Reach;

const LEASE: Duration = Duration::from_millis(500);

const PERIODS: Periods = Periods {
    lease: LEASE,
    suspect: Duration::from_millis(2500),
    dead: Duration::from_secs(4),
};

/// An observer with a clock of its own, and peers that beat as often as it does.
struct Observer {
    liveness: Liveness,
    now: Instant,
    seq: u64,
}

impl Observer {
    fn of(peers: &[&str]) -> Self {
        let mut observer = Self {
            liveness: Liveness::new(PERIODS),
            now: super::start(),
            seq: 0,
        };
        for _ in 0..6 {
            observer.beat(peers, &[]);
        }
        observer
    }

    /// Half a second later: some peers have moved, some stand still.
    fn beat(&mut self, moving: &[&str], still: &[&str]) {
        self.now += LEASE;
        self.read(moving, still);
    }

    fn read(&mut self, moving: &[&str], still: &[&str]) {
        self.read_rows(true, moving, still);
    }

    /// `known` says whether our own row is there.
    fn read_rows(&mut self, known: bool, moving: &[&str], still: &[&str]) {
        self.seq += 1;
        let row = |node: &&str, seq| {
            let lease = Lease {
                epoch: 1,
                seq,
                dead: node.ends_with("-buried"),
                draining: false,
                sessions: 0,
                reach: node.strip_prefix("at-").map(|host| {
                    let reach = Reach::new(format!("http://{host}"));
                    Arc::new(reach)
                }),
                rest: None,
            };
            (Arc::from(*node), lease)
        };
        let moving = moving.iter().map(|node| row(node, self.seq));
        let still = still.iter().map(|node| row(node, 6));
        let table: Vec<_> = moving.chain(still).collect();
        self.liveness.handle_table(self.now, known, table);
    }

    fn verdict(&self, node: &str) -> Option<Verdict> {
        self.liveness.verdict(node, self.now)
    }

    /// Where the node is dialled whose id begins like this.
    fn reached(&self, tag: &str) -> Option<&str> {
        let (_, reach) = self.liveness.reachable(tag, self.now)?;
        Some(reach.uri())
    }

    fn is_dead(&self, node: &str) -> bool {
        matches!(self.verdict(node), Some(Verdict::Dead { .. }))
    }

    fn is_live(&self, node: &str) -> bool {
        matches!(self.verdict(node), Some(Verdict::Live { .. }))
    }

    /// Lets a peer stand still: when it was suspected, and when given up.
    fn watch_stop(&mut self, node: &str, others: &[&str], still: &[&str]) -> (Duration, Duration) {
        let start = self.now;
        let (mut suspected, mut dead) = (None, None);
        for _ in 0..40 {
            if suspected.is_none() && !self.is_live(node) {
                suspected = Some(self.now - start);
            }
            if self.is_dead(node) {
                dead = Some(self.now - start);
                break;
            }
            self.beat(others, still);
        }
        (suspected.unwrap(), dead.unwrap())
    }
}

#[test]
fn a_peer_that_stands_still_is_suspected_before_three_seconds_and_dead_before_five() {
    let mut observer = Observer::of(&["a", "b"]);
    let (suspected, dead) = observer.watch_stop("a", &["b"], &["a"]);
    assert!(suspected > Duration::from_millis(1500) && suspected < Duration::from_secs(3));
    assert!(
        dead > suspected && dead < Duration::from_secs(5),
        "{dead:?}"
    );
    assert!(observer.is_live("b"));
}

#[test]
fn time_goes_on_between_two_heartbeats() {
    let mut observer = Observer::of(&["a"]);
    for _ in 0..3 {
        observer.beat(&[], &["a"]);
    }
    observer.now += LEASE - Duration::from_millis(1);
    assert!(observer.is_live("a"));
    observer.now += Duration::from_millis(2);
    assert_eq!(observer.verdict("a"), Some(Verdict::Suspect));
}

#[test]
fn time_in_which_redis_was_not_reached_kills_nobody() {
    let mut observer = Observer::of(&["a"]);
    observer.now += Duration::from_secs(60);
    assert!(!observer.is_dead("a"));
    assert!(
        !observer.liveness.is_current(observer.now),
        "it knows nothing either"
    );
    observer.read(&[], &["a"]);
    assert_eq!(
        observer.verdict("a"),
        Some(Verdict::Suspect),
        "it may have died meanwhile"
    );
    observer.beat(&["a"], &[]);
    assert!(observer.is_live("a"));
    assert!(
        !observer.liveness.is_settled(observer.now),
        "others may have come meanwhile"
    );
}

#[test]
fn when_most_of_many_stand_still_they_get_more_time() {
    let all = ["a", "b", "c", "d"];
    let mut observer = Observer::of(&all);
    let (suspected, dead) = observer.watch_stop("a", &[], &all);
    assert!(suspected < Duration::from_secs(3));
    assert!(
        dead > Duration::from_secs(7) && dead < Duration::from_secs(9),
        "{dead:?}"
    );

    let mut observer = Observer::of(&all);
    let (_, dead) = observer.watch_stop("a", &["b", "c", "d"], &["a"]);
    assert!(
        dead < Duration::from_secs(5),
        "one of many is no stall: {dead:?}"
    );
}

#[test]
fn a_row_that_was_always_there_says_nothing_until_it_moves() {
    let mut observer = Observer {
        liveness: Liveness::new(PERIODS),
        now: super::start(),
        seq: 0,
    };
    observer.read(&[], &["a"]);
    assert_eq!(observer.verdict("a"), Some(Verdict::Suspect));
    observer.beat(&["a"], &["a"]);
    observer.beat(&["a"], &[]);
    assert!(observer.is_live("a"));
    assert_eq!(observer.verdict("b"), None);
}

#[test]
fn who_comes_while_we_look_lives_at_once() {
    let mut observer = Observer::of(&["a"]);
    observer.beat(&["a", "b"], &[]);
    assert!(observer.is_live("b"));
}

#[test]
fn a_rumour_dies_when_it_is_not_confirmed() {
    let mut observer = Observer::of(&["a"]);
    observer.liveness.handle_rumour(&Arc::from("ghost"), 3);
    assert_eq!(observer.verdict("ghost"), Some(Verdict::Suspect));
    for _ in 0..10 {
        observer.beat(&["a"], &[]);
    }
    assert_eq!(observer.verdict("ghost"), Some(Verdict::Dead { epoch: 3 }));
}

#[test]
fn who_is_dead_or_does_not_advertise_is_not_reached() {
    let mut observer = Observer::of(&["at-one", "at-two", "shy"]);
    assert_eq!(observer.reached("at-o"), Some("http://one"));
    assert_eq!(observer.reached("shy"), None);
    assert_eq!(observer.reached("who"), None);
    observer.watch_stop("at-one", &["at-two", "shy"], &["at-one"]);
    assert_eq!(observer.reached("at-o"), None);
    assert_eq!(observer.reached("at-t"), Some("http://two"));
}

#[test]
fn while_a_row_moves_that_cannot_be_read_nothing_is_settled() {
    let mut observer = Observer::of(&["a"]);
    assert!(observer.liveness.is_settled(observer.now));
    let mut told = 0;
    for seq in 0..30 {
        observer.beat(&["a"], &[]);
        let row = vec![("b".to_owned(), format!("2|{seq}"))];
        told += observer.liveness.handle_strange(row).len();
        assert!(!observer.liveness.is_settled(observer.now));
    }
    assert_eq!(told, 1, "once a node");

    for _ in 0..10 {
        observer.beat(&["a"], &[]);
        let row = vec![("b".to_owned(), "2|29".to_owned())];
        observer.liveness.handle_strange(row);
    }
    assert!(observer.liveness.is_settled(observer.now), "it is dead");
}

#[test]
fn a_new_observer_knows_nothing_until_all_can_have_shown_themselves() {
    let mut observer = Observer {
        liveness: Liveness::new(PERIODS),
        now: super::start(),
        seq: 0,
    };
    observer.read(&["a"], &[]);
    for beat in 1..=5 {
        assert!(!observer.liveness.is_settled(observer.now), "{beat}");
        observer.beat(&["a"], &[]);
    }
    assert!(observer.liveness.is_settled(observer.now));
}

#[test]
fn whose_own_row_was_lost_knows_nothing_until_all_can_have_shown_themselves() {
    let mut observer = Observer::of(&["a"]);
    observer.now += LEASE;
    observer.read_rows(false, &["a", "new"], &[]);
    assert!(!observer.liveness.is_settled(observer.now));
    let new = observer.verdict("new");
    assert_eq!(new, Some(Verdict::Suspect), "it may have been there before");
    for _ in 0..5 {
        observer.beat(&["a", "new"], &[]);
    }
    assert!(observer.liveness.is_settled(observer.now) && observer.is_live("new"));
}

#[test]
fn whose_row_is_gone_is_suspected_at_once() {
    let mut observer = Observer::of(&["a", "b"]);
    observer.beat(&["b"], &[]);
    assert_eq!(observer.verdict("a"), Some(Verdict::Suspect));
    observer.beat(&["a", "b"], &[]);
    assert!(observer.is_live("a"));
}

#[test]
fn who_left_no_row_is_forgotten_long_after_its_death() {
    let mut observer = Observer::of(&["a", "b"]);
    for _ in 0..100 {
        observer.beat(&["b"], &[]);
    }
    assert!(observer.is_dead("a"));
    for _ in 0..40 {
        observer.beat(&["b"], &[]);
    }
    assert_eq!(observer.verdict("a"), None);
}

#[test]
fn of_a_node_whose_last_word_was_taken_away_nothing_is_left() {
    let mut observer = Observer::of(&["a", "b-buried"]);
    let corpses = |observer: &Observer| observer.liveness.corpses(observer.now).count();
    assert_eq!(corpses(&observer), 1);
    observer.beat(&["a"], &[]);
    assert!(observer.is_dead("b-buried"));
    assert_eq!(corpses(&observer), 0);
    for _ in 0..10 {
        observer.beat(&[], &[]);
    }
    assert_eq!(
        corpses(&observer),
        1,
        "who died without a word may have left something"
    );
}

#[test]
fn half_of_many_is_no_stall() {
    let mut observer = Observer::of(&["a", "b", "c", "d"]);
    let (_, dead) = observer.watch_stop("a", &["c", "d"], &["a", "b"]);
    assert!(dead < Duration::from_secs(5), "{dead:?}");
}

#[test]
fn the_buried_and_the_long_dead_are_no_crowd() {
    let all = ["a", "b", "c", "d-buried"];
    let mut observer = Observer::of(&all);
    let (_, dead) = observer.watch_stop("a", &[], &all);
    assert!(dead < Duration::from_secs(5), "{dead:?}");

    let all = ["a", "b", "c", "d"];
    let mut observer = Observer::of(&all);
    for _ in 0..20 {
        observer.beat(&["a", "b", "c"], &["d"]);
    }
    assert!(observer.is_dead("d"));
    for _ in 0..9 {
        observer.beat(&[], &["d"]);
    }
    assert!(observer.is_dead("a"), "of three that are left");
}

#[test]
fn who_stopped_a_little_later_counts_as_standing_still() {
    let mut observer = Observer::of(&["a", "b", "c", "d"]);
    for _ in 0..2 {
        observer.beat(&["b", "c", "d"], &["a"]);
    }
    for _ in 0..6 {
        observer.beat(&[], &["a"]);
    }
    assert!(
        !observer.is_dead("b") && !observer.is_dead("a"),
        "most stand still: it is not theirs"
    );
}

#[test]
fn who_stands_still_dies_though_the_store_is_reached_rarely() {
    let mut observer = Observer::of(&["a"]);
    for _ in 0..12 {
        observer.now += 3 * LEASE;
        observer.read(&[], &["a"]);
    }
    assert!(observer.is_dead("a"));
}
