use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
};

use super::end::TopicEnd;
use crate::history::Evicted;

/// The number of removed topics that are remembered individually.
const MAX_TOMBSTONES: usize = 1 << 16;

/// The newest evicted sequence numbers of removed topics, so that a client that resumes in such a
/// topic receives a gap.
///
/// Topics are identified by a hash, because names can be long. A hash collision reports a spurious
/// gap. The hash is keyed, so clients cannot force one.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    hash_key: RandomState,
    by_hash: HashMap<u64, Tombstone>,
    /// The hashes of the tombstones by their numbers, which are in the order of insertion.
    order: BTreeMap<u64, u64>,
    inserted: u64,
    /// The newest evicted sequence number of all topics that are no longer remembered.
    forgotten_up_to: u64,
}

#[derive(Debug)]
struct Tombstone {
    up_to: u64,
    number: u64,
    end: Option<Box<TopicEnd>>,
}

impl Tombstones {
    /// Remembers a topic, if it is known to have evicted an event.
    pub(crate) fn insert(&mut self, topic: &str, evicted: Evicted, end: Option<Box<TopicEnd>>) {
        if !evicted.is_exact {
            return;
        }
        let hash = self.hash_key.hash_one(topic);
        self.inserted += 1;
        let number = self.inserted;
        let tombstone = Tombstone { up_to: evicted.up_to, number, end };
        if let Some(collided) = self.by_hash.insert(hash, tombstone) {
            self.order.remove(&collided.number);
        }
        self.order.insert(number, hash);
        if self.order.len() > MAX_TOMBSTONES
            && let Some((_, hash)) = self.order.pop_first()
            && let Some(oldest) = self.by_hash.remove(&hash)
        {
            self.forgotten_up_to = self.forgotten_up_to.max(oldest.up_to);
        }
    }

    /// Removes a topic's tombstone and returns its newest evicted event, or an upper bound if the
    /// topic has no tombstone. Returns its end too, if it has ended.
    pub(super) fn take(&mut self, topic: &str) -> (Evicted, Option<Box<TopicEnd>>) {
        match self.by_hash.remove(&self.hash_key.hash_one(topic)) {
            Some(Tombstone { up_to, number, end }) => {
                self.order.remove(&number);
                (Evicted { up_to, is_exact: true }, end)
            }
            None => (Evicted { up_to: self.forgotten_up_to, is_exact: false }, None),
        }
    }

    /// Returns the end of a removed topic, if it has ended.
    pub(super) fn end_of(&self, topic: &str) -> Option<TopicEnd> {
        self.by_hash.get(&self.hash_key.hash_one(topic))?.end.as_deref().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_TOMBSTONES, Tombstones};
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

    #[test]
    fn reinserted_topic_is_remembered_by_its_last_eviction() {
        let mut tombstones = Tombstones::default();
        for up_to in 1..=3 * MAX_TOMBSTONES as u64 {
            tombstones.take("a");
            tombstones.insert("a", exact(up_to), None);
        }
        assert_eq!(tombstones.order.len(), 1);
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
