use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
};

/// How many topics that went are remembered, each by one number.
const REMEMBERED: usize = 1 << 16;

/// What topics that are no longer in the hub have lost, so that a client which comes back to one is told
/// so.
///
/// They are known by a hash of their names, which can be long. Should two have the same, which nobody can bring about who
/// does not know its key, a client is told of a gap too many.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    names: RandomState,
    stones: HashMap<u64, Stone>,
    /// By their numbers; those that are no longer in the map as they are here were taken out or renewed.
    order: VecDeque<(u64, u64)>,
    buried: u64,
    /// The newest event that was lost in any topic which is not remembered any more.
    forgotten_to: u64,
}

#[derive(Debug)]
struct Stone {
    lost_to: u64,
    number: u64,
}

/// What a topic has lost that comes back, or comes for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) to: u64,
    /// It is known that it was this one that lost something.
    pub(super) is_own: bool,
}

impl Tombstones {
    pub(super) fn insert(&mut self, topic: &str, lost: Lost) {
        if !lost.is_own {
            return;
        }
        let name = self.names.hash_one(topic);
        self.buried += 1;
        let number = self.buried;
        self.stones.insert(name, Stone { lost_to: lost.to, number });
        self.order.push_back((name, number));
        while self.stones.len() > REMEMBERED
            && let Some((name, number)) = self.order.pop_front()
        {
            if is_of(&self.stones, name, number)
                && let Some(stone) = self.stones.remove(&name)
            {
                self.forgotten_to = self.forgotten_to.max(stone.lost_to);
            }
        }
        // Renewals leave older entries behind.
        if self.order.len() > 2 * REMEMBERED {
            self.order.retain(|(name, number)| is_of(&self.stones, *name, *number));
        }
    }

    pub(super) fn take(&mut self, topic: &str) -> Lost {
        match self.stones.remove(&self.names.hash_one(topic)) {
            Some(stone) => Lost { to: stone.lost_to, is_own: true },
            None => Lost { to: self.forgotten_to, is_own: false },
        }
    }
}

fn is_of(stones: &HashMap<u64, Stone>, name: u64, number: u64) -> bool {
    stones.get(&name).is_some_and(|stone| stone.number == number)
}

#[cfg(test)]
mod tests {
    use super::{Lost, REMEMBERED, Tombstones};

    const fn own(to: u64) -> Lost {
        Lost { to, is_own: true }
    }

    const fn forgotten(to: u64) -> Lost {
        Lost { to, is_own: false }
    }

    fn name(n: u64) -> String {
        format!("topic {n}")
    }

    #[test]
    fn the_newest_are_remembered_and_the_rest_as_one_number() {
        let mut tombstones = Tombstones::default();
        let (rest, all) = (100, REMEMBERED as u64 + 100);
        for n in 1..=all {
            tombstones.insert(&name(n), own(n));
        }
        assert_eq!(tombstones.take("topic 1"), forgotten(rest));
        assert_eq!(tombstones.take("never seen"), forgotten(rest));
        assert_eq!(tombstones.take(&name(rest + 1)), own(rest + 1));
        assert_eq!(tombstones.take(&name(all)), own(all));
        assert_eq!(tombstones.take(&name(all)), forgotten(rest), "it was taken out");
    }

    #[test]
    fn a_topic_that_comes_and_goes_is_remembered_by_its_last_loss() {
        let mut tombstones = Tombstones::default();
        for lost_to in 1..=3 * REMEMBERED as u64 {
            tombstones.take("a");
            tombstones.insert("a", own(lost_to));
        }
        assert!(tombstones.order.len() <= 2 * REMEMBERED);
        assert_eq!(tombstones.take("a"), own(3 * REMEMBERED as u64));
        assert_eq!(tombstones.take("b"), forgotten(0));
    }

    #[test]
    fn topics_that_lost_nothing_of_their_own_make_nobody_forgotten() {
        let mut tombstones = Tombstones::default();
        for n in 0..=REMEMBERED as u64 {
            tombstones.insert(&name(n), own(n + 1));
        }
        for n in 0..=REMEMBERED as u64 {
            let visitor = format!("visitor {n}");
            let lost = tombstones.take(&visitor);
            assert_eq!(lost, forgotten(1));
            tombstones.insert(&visitor, lost);
        }
        assert_eq!(tombstones.take(&name(1)), own(2));
    }
}
