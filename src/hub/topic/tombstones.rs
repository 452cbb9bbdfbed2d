use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::TopicEnd;
use crate::history::Evicted;

/// The maximum number of remembered topics that have ended, and also of those that have not.
const MAX_TOMBSTONES: usize = 1 << 16;

/// The newest evicted sequence number of each removed topic. A client of such a topic that resumes
/// with a lower number receives a gap.
///
/// Topics are identified by a hash, because names can be long. A hash collision reports a spurious
/// gap. The hash is keyed, so clients can't force one.
///
/// Ended topics are counted separately. Otherwise, other topics would displace them before their
/// names are free. If there are too many ended topics, the one whose name is free first is
/// forgotten.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    hash_key: RandomState,
    by_hash: HashMap<u64, Tombstone>,
    /// The hashes of topics that have not ended, in the order in which they will be forgotten.
    others: BTreeMap<Turn, u64>,
    ended: BTreeMap<Turn, u64>,
    inserted: u64,
    /// The newest evicted sequence number of all topics that are no longer remembered.
    forgotten_up_to: u64,
}

/// When an ended topic's name becomes free, or zero for another topic; then a counter of
/// insertions.
type Turn = (Duration, u64);

#[derive(Debug)]
struct Tombstone {
    up_to: u64,
    turn: Turn,
    end: Option<Box<TopicEnd>>,
}

impl Tombstones {
    /// Remembers a topic if it is known to have evicted an event.
    pub(crate) fn insert(&mut self, topic: &str, evicted: Evicted, end: Option<Box<TopicEnd>>) {
        if !evicted.is_exact {
            return;
        }
        let hash = self.hash_key.hash_one(topic);
        self.inserted += 1;
        let free_at = end.as_ref().map_or(Duration::ZERO, |end| end.free_at);
        let turn = (free_at, self.inserted);
        let has_ended = end.is_some();
        let tombstone = Tombstone { up_to: evicted.up_to, turn, end };
        if let Some(collided) = self.by_hash.insert(hash, tombstone) {
            self.order(collided.end.is_some()).remove(&collided.turn);
        }
        let order = self.order(has_ended);
        order.insert(turn, hash);
        if order.len() > MAX_TOMBSTONES
            && let Some((_, hash)) = order.pop_first()
            && let Some(first) = self.by_hash.remove(&hash)
        {
            self.forgotten_up_to = self.forgotten_up_to.max(first.up_to);
        }
    }

    /// Removes a topic's tombstone. Returns the number of its newest evicted event, and the topic's
    /// end. Without a tombstone, the number is an upper bound.
    pub(super) fn take(&mut self, topic: &str) -> (Evicted, Option<Box<TopicEnd>>) {
        match self.by_hash.remove(&self.hash_key.hash_one(topic)) {
            Some(tombstone) => {
                self.order(tombstone.end.is_some()).remove(&tombstone.turn);
                (Evicted { up_to: tombstone.up_to, is_exact: true }, tombstone.end)
            }
            None => (Evicted { up_to: self.forgotten_up_to, is_exact: false }, None),
        }
    }

    const fn order(&mut self, has_ended: bool) -> &mut BTreeMap<Turn, u64> {
        if has_ended { &mut self.ended } else { &mut self.others }
    }

    pub(super) fn end_of(&self, topic: &str) -> Option<TopicEnd> {
        self.by_hash.get(&self.hash_key.hash_one(topic))?.end.as_deref().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MAX_TOMBSTONES, Tombstones, TopicEnd};
    use crate::history::Evicted;

    const fn exact(up_to: u64) -> Evicted {
        Evicted { up_to, is_exact: true }
    }

    const fn bound(up_to: u64) -> Evicted {
        Evicted { up_to, is_exact: false }
    }

    fn name(n: u64) -> String {
        format!("topic {n}")
    }

    #[test]
    fn newest_topics_are_remembered_exactly_and_the_rest_as_one_bound() {
        let mut tombstones = Tombstones::default();
        let (rest, all) = (100, MAX_TOMBSTONES as u64 + 100);
        for n in 1..=all {
            tombstones.insert(&name(n), exact(n), None);
        }
        assert_eq!(tombstones.take("topic 1").0, bound(rest));
        assert_eq!(tombstones.take("never seen").0, bound(rest));
        assert_eq!(tombstones.take(&name(rest + 1)).0, exact(rest + 1));
        assert_eq!(tombstones.take(&name(all)).0, exact(all));
        assert_eq!(tombstones.take(&name(all)).0, bound(rest), "it was taken already");
    }

    fn ended(free_at: u64) -> Option<Box<TopicEnd>> {
        let free_at = Duration::from_secs(free_at);
        Some(Box::new(TopicEnd { sequence: 1, free_at, free_here: free_at }))
    }

    #[test]
    fn other_topics_displace_no_end() {
        let mut tombstones = Tombstones::default();
        tombstones.insert("ended", exact(1), ended(300));
        for n in 2..=2 * MAX_TOMBSTONES as u64 {
            tombstones.insert(&name(n), exact(n), None);
        }
        assert!(tombstones.end_of("ended").is_some(), "its name is still taken");
        assert_eq!(tombstones.take("ended").0, exact(1));
        assert!(tombstones.end_of("ended").is_none());
    }

    #[test]
    fn ends_whose_names_are_free_first_are_forgotten_first() {
        let mut tombstones = Tombstones::default();
        let all = MAX_TOMBSTONES as u64 + 10;
        tombstones.insert("never ended", exact(1), None);
        tombstones.insert("last", exact(2), ended(all));
        for n in 1..all {
            tombstones.insert(&name(n), exact(n + 2), ended(n));
        }
        assert!(tombstones.end_of("last").is_some());
        assert!(tombstones.end_of(&name(10)).is_none());
        assert!(tombstones.end_of(&name(11)).is_some());
        assert_eq!(tombstones.take("never seen").0, bound(12));
        assert_eq!(tombstones.take("never ended").0, exact(1));
    }

    #[test]
    fn reinserted_topic_is_remembered_by_its_last_eviction() {
        let mut tombstones = Tombstones::default();
        for up_to in 1..=3 * MAX_TOMBSTONES as u64 {
            tombstones.take("a");
            tombstones.insert("a", exact(up_to), None);
        }
        assert_eq!(tombstones.others.len(), 1);
        assert_eq!(tombstones.take("a").0, exact(3 * MAX_TOMBSTONES as u64));
        assert_eq!(tombstones.take("b").0, bound(0));
    }

    #[test]
    fn topics_without_evictions_displace_no_tombstone() {
        let mut tombstones = Tombstones::default();
        for n in 0..=MAX_TOMBSTONES as u64 {
            tombstones.insert(&name(n), exact(n + 1), None);
        }
        for n in 0..=MAX_TOMBSTONES as u64 {
            let visitor = format!("visitor {n}");
            let evicted = tombstones.take(&visitor).0;
            assert_eq!(evicted, bound(1));
            tombstones.insert(&visitor, evicted, None);
        }
        assert_eq!(tombstones.take(&name(1)).0, exact(2));
    }
}
