use std::collections::HashMap;

/// How far a relay may be overtaken by others of the same node.
const SIZE: u64 = 1 << 16;

/// Bits of a word.
const WORD: u64 = u64::BITS as u64;

/// How many nodes are kept in mind.
const MAX_SENDERS: usize = 1024;

/// The numbers of one sender that have come.
struct Window {
    highest: u64,
    came: Box<[u64]>,
}

impl Window {
    fn new() -> Self {
        let words = usize::try_from(SIZE / WORD).unwrap_or(0);
        Self {
            highest: 0,
            came: vec![0; words].into(),
        }
    }

    /// Whether a number comes for the first time, as far as anybody remembers.
    fn accept(&mut self, number: u64) -> bool {
        if number == 0 || number.saturating_add(SIZE) <= self.highest {
            return false;
        }
        if number > self.highest {
            self.advance(number);
        }
        let (word, bit) = place(number);
        let first = self.came[word] & bit == 0;
        self.came[word] |= bit;
        first
    }

    fn advance(&mut self, to: u64) {
        if to - self.highest >= SIZE {
            self.came.fill(0);
        } else {
            for number in self.highest + 1..=to {
                let (word, bit) = place(number);
                self.came[word] &= !bit;
            }
        }
        self.highest = to;
    }
}

/// Which word, and which bit of it.
fn place(number: u64) -> (usize, u64) {
    let index = number % SIZE;
    let word = usize::try_from(index / WORD).unwrap_or(0);
    (word, 1 << (index % WORD))
}

/// The numbers of all nodes that have relayed here: each counts once.
#[derive(Default)]
pub(super) struct Windows {
    by_node: HashMap<Box<str>, Window>,
}

impl Windows {
    /// Whether a proven number comes for the first time. Nodes that are gone are forgotten when
    /// there is no room for another one.
    pub(super) fn accept(
        &mut self,
        node: &str,
        number: u64,
        is_gone: impl Fn(&str) -> bool,
    ) -> bool {
        if let Some(window) = self.by_node.get_mut(node) {
            return window.accept(number);
        }
        if self.by_node.len() >= MAX_SENDERS {
            self.by_node.retain(|known, _| !is_gone(known));
        }
        if self.by_node.len() >= MAX_SENDERS {
            return false;
        }
        let window = self.by_node.entry(node.into());
        window.or_insert_with(Window::new).accept(number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_counts_once() {
        let mut window = Window::new();
        for number in [1, 3, 2, 100, 99, SIZE, 7 * SIZE, 7 * SIZE - 1] {
            assert!(window.accept(number), "{number}");
            assert!(!window.accept(number), "{number}");
        }
        assert!(!window.accept(0));
        assert!(!window.accept(6 * SIZE), "it is too old");
        assert!(window.accept(6 * SIZE + 1));
        assert!(window.accept(u64::MAX));
        assert!(!window.accept(u64::MAX));
    }

    #[test]
    fn what_comes_too_late_counts_never_though_nobody_remembers_it() {
        let mut window = Window::new();
        assert!(!window.accept(0));
        assert!(window.accept(10));
        assert!(window.accept(3 * SIZE));
        for late in [5, 10, 2 * SIZE - 7, 2 * SIZE] {
            assert!(!window.accept(late), "{late}");
        }
        assert!(window.accept(2 * SIZE + 1));
    }

    proptest! {
        #[test]
        fn no_number_ever_counts_twice(steps in proptest::collection::vec((0..4 * SIZE, any::<bool>()), 1..300)) {
            let mut window = Window::new();
            let mut came = HashSet::new();
            let mut base = 1;
            for (step, jumps) in steps {
                let number = base + step % if jumps { 4 * SIZE } else { 50 };
                base = if jumps { number } else { base };
                let highest = came.iter().copied().max().unwrap_or(0);
                let accepted = window.accept(number);
                let expected = number + SIZE > highest && !came.contains(&number);
                prop_assert_eq!(accepted, expected);
                if accepted {
                    came.insert(number);
                }
            }
        }
    }

    #[test]
    fn only_so_many_nodes_are_kept_in_mind_and_the_gone_make_way() {
        let mut windows = Windows::default();
        for node in 0..MAX_SENDERS {
            assert!(windows.accept(&node.to_string(), 1, |_| false));
        }
        assert!(!windows.accept("another", 1, |_| false));
        assert!(windows.accept("another", 1, |node| node == "0"));
        assert!(!windows.accept("another", 1, |_| true));
        assert!(!windows.accept("1", 1, |_| true), "it is not forgotten");
    }
}
