use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// How many topics that went are remembered, each by one number.
const REMEMBERED: usize = 1 << 16;

/// What topics that are no longer in the hub have lost, so that a client which comes back to one is told
/// so.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    stones: HashMap<Arc<str>, Stone>,
    /// By their numbers; those that are no longer in the map as they are here were taken out or renewed.
    order: VecDeque<(Arc<str>, u64)>,
    buried: u64,
    /// The newest event that was lost in any topic which is not remembered any more.
    forgotten_to: u64,
}

#[derive(Debug)]
struct Stone {
    lost_to: u64,
    number: u64,
}

impl Tombstones {
    pub(super) fn bury(&mut self, topic: &Arc<str>, lost_to: u64) {
        // It would say no more than the one number does.
        if lost_to == 0 || lost_to == self.forgotten_to {
            return;
        }
        self.buried += 1;
        let number = self.buried;
        self.stones.insert(Arc::clone(topic), Stone { lost_to, number });
        self.order.push_back((Arc::clone(topic), number));
        while self.stones.len() > REMEMBERED
            && let Some((topic, number)) = self.order.pop_front()
        {
            if is_of(&self.stones, &topic, number)
                && let Some(stone) = self.stones.remove(&topic)
            {
                self.forgotten_to = self.forgotten_to.max(stone.lost_to);
            }
        }
        // Renewals leave older entries behind.
        if self.order.len() > 2 * REMEMBERED {
            self.order.retain(|(topic, number)| is_of(&self.stones, topic, *number));
        }
    }

    /// What a topic has lost that comes back, or comes for the first time.
    pub(super) fn unearth(&mut self, topic: &str) -> u64 {
        self.stones.remove(topic).map_or(self.forgotten_to, |stone| stone.lost_to)
    }
}

fn is_of(stones: &HashMap<Arc<str>, Stone>, topic: &str, number: u64) -> bool {
    stones.get(topic).is_some_and(|stone| stone.number == number)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{REMEMBERED, Tombstones};

    #[test]
    fn the_newest_are_remembered_and_the_rest_as_one_number() {
        let mut tombstones = Tombstones::default();
        let name = |n: u64| Arc::<str>::from(format!("topic {n}"));
        let (forgotten, all) = (100, REMEMBERED as u64 + 100);
        for n in 1..=all {
            tombstones.bury(&name(n), n);
        }
        assert_eq!(tombstones.unearth("topic 1"), forgotten);
        assert_eq!(tombstones.unearth("never seen"), forgotten);
        assert_eq!(tombstones.unearth(&name(forgotten + 1)), forgotten + 1);
        assert_eq!(tombstones.unearth(&name(all)), all);
        assert_eq!(tombstones.unearth(&name(all)), forgotten, "it was taken out");
    }

    #[test]
    fn a_topic_that_comes_and_goes_is_remembered_by_its_last_loss() {
        let mut tombstones = Tombstones::default();
        let topic = Arc::<str>::from("a");
        for lost_to in 1..=3 * REMEMBERED as u64 {
            tombstones.unearth("a");
            tombstones.bury(&topic, lost_to);
        }
        assert!(tombstones.order.len() <= 2 * REMEMBERED);
        assert_eq!(tombstones.unearth("a"), 3 * REMEMBERED as u64);
        assert_eq!(tombstones.unearth("b"), 0);
    }

    #[test]
    fn a_topic_that_lost_nothing_needs_no_stone() {
        let mut tombstones = Tombstones::default();
        tombstones.bury(&Arc::from("a"), 0);
        assert!(tombstones.order.is_empty());
    }
}
