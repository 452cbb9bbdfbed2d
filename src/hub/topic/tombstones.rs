use std::{collections::BTreeMap, time::Duration};

use hashbrown::HashTable;

use super::TopicEnd;
use crate::history::Evicted;

/// The maximum number of remembered topics that have ended. The same maximum applies to remembered
/// topics that have not ended.
const MAX_TOMBSTONES: usize = 1 << 16;

/// The newest evicted sequence numbers of removed topics, and the ends of those that have ended. A
/// client of a removed topic that resumes with a lower number receives a gap.
///
/// Topics are identified by a hash, because names can be long. A hash collision confuses two
/// topics. The hash is keyed, so clients can't force a collision.
///
/// Ended topics are counted separately. Otherwise, other topics could displace them before their
/// names can be used again. If there are too many ended topics, the one whose name can be used
/// again first is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    by_hash: HashTable<Tombstone>,
    /// The hashes of topics that have not ended, in the order in which they will be forgotten.
    others: BTreeMap<Turn, u64>,
    ended: BTreeMap<Turn, u64>,
    inserted: u64,
    /// The newest evicted sequence number of all topics that are no longer remembered.
    forgotten_up_to: u64,
}

/// The order in which topics are forgotten: first by the time from which an ended topic's name can
/// be used again (zero for a topic that has not ended), then by the order of insertion.
type Turn = (Duration, u64);

#[derive(Debug)]
struct Tombstone {
    hash: u64,
    up_to: u64,
    turn: Turn,
    end: Option<Box<TopicEnd>>,
}

impl Tombstones {
    /// Remembers the topic with this hash if it is known to have evicted an event or a gap.
    pub(crate) fn insert(&mut self, hash: u64, evicted: Evicted, end: Option<Box<TopicEnd>>) {
        if !evicted.is_exact {
            return;
        }
        self.remove(hash);
        self.inserted += 1;
        let turn = (end.as_ref().map_or(Duration::ZERO, |end| end.free_at), self.inserted);
        let has_ended = end.is_some();
        let tombstone = Tombstone { hash, up_to: evicted.up_to, turn, end };
        self.by_hash.insert_unique(hash, tombstone, |it| it.hash);
        let order = self.order(has_ended);
        order.insert(turn, hash);
        if order.len() > MAX_TOMBSTONES
            && let Some((_, hash)) = order.pop_first()
            && let Some(first) = self.remove(hash)
        {
            self.forgotten_up_to = self.forgotten_up_to.max(first.up_to);
        }
    }

    /// Removes a topic's tombstone. Returns the number of the topic's newest evicted event or gap,
    /// and the topic's end. Without a tombstone, the number is an upper bound.
    pub(super) fn take(&mut self, hash: u64) -> (Evicted, Option<Box<TopicEnd>>) {
        match self.remove(hash) {
            Some(tombstone) => (Evicted { up_to: tombstone.up_to, is_exact: true }, tombstone.end),
            None => (Evicted { up_to: self.forgotten_up_to, is_exact: false }, None),
        }
    }

    fn remove(&mut self, hash: u64) -> Option<Tombstone> {
        let (tombstone, _) = self.by_hash.find_entry(hash, |it| it.hash == hash).ok()?.remove();
        self.order(tombstone.end.is_some()).remove(&tombstone.turn);
        Some(tombstone)
    }

    const fn order(&mut self, has_ended: bool) -> &mut BTreeMap<Turn, u64> {
        if has_ended { &mut self.ended } else { &mut self.others }
    }

    pub(super) fn end_of(&self, hash: u64) -> Option<TopicEnd> {
        self.by_hash.find(hash, |it| it.hash == hash)?.end.as_deref().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};
    use std::time::Duration;

    use super::{MAX_TOMBSTONES, Tombstones, TopicEnd};
    use crate::history::Evicted;

    const fn exact(up_to: u64) -> Evicted {
        Evicted { up_to, is_exact: true }
    }

    const fn bound(up_to: u64) -> Evicted {
        Evicted { up_to, is_exact: false }
    }

    fn hash(topic: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        topic.hash(&mut hasher);
        hasher.finish()
    }

    fn numbered(n: u64) -> u64 {
        hash(&format!("topic {n}"))
    }

    #[test]
    fn newest_topics_are_remembered_exactly_and_the_rest_as_one_bound() {
        let mut tombstones = Tombstones::default();
        let (rest, all) = (100, MAX_TOMBSTONES as u64 + 100);
        for n in 1..=all {
            tombstones.insert(numbered(n), exact(n), None);
        }
        assert_eq!(tombstones.take(hash("topic 1")).0, bound(rest));
        assert_eq!(tombstones.take(hash("never seen")).0, bound(rest));
        assert_eq!(tombstones.take(numbered(rest + 1)).0, exact(rest + 1));
        assert_eq!(tombstones.take(numbered(all)).0, exact(all));
        assert_eq!(tombstones.take(numbered(all)).0, bound(rest), "it was taken already");
    }

    fn ended(free_at: u64) -> Option<Box<TopicEnd>> {
        let free_at = Duration::from_secs(free_at);
        Some(Box::new(TopicEnd { sequence: 1, free_at, free_here: free_at }))
    }

    #[test]
    fn other_topics_displace_no_end() {
        let mut tombstones = Tombstones::default();
        tombstones.insert(hash("ended"), exact(1), ended(300));
        for n in 2..=2 * MAX_TOMBSTONES as u64 {
            tombstones.insert(numbered(n), exact(n), None);
        }
        assert!(tombstones.end_of(hash("ended")).is_some(), "its name is still taken");
        assert_eq!(tombstones.take(hash("ended")).0, exact(1));
        assert!(tombstones.end_of(hash("ended")).is_none());
    }

    #[test]
    fn ends_whose_names_are_free_first_are_forgotten_first() {
        let mut tombstones = Tombstones::default();
        let all = MAX_TOMBSTONES as u64 + 10;
        tombstones.insert(hash("never ended"), exact(1), None);
        tombstones.insert(hash("last"), exact(2), ended(all));
        for n in 1..all {
            tombstones.insert(numbered(n), exact(n + 2), ended(n));
        }
        assert!(tombstones.end_of(hash("last")).is_some());
        assert!(tombstones.end_of(numbered(10)).is_none());
        assert!(tombstones.end_of(numbered(11)).is_some());
        assert_eq!(tombstones.take(hash("never seen")).0, bound(12));
        assert_eq!(tombstones.take(hash("never ended")).0, exact(1));
    }

    #[test]
    fn reinserted_topic_is_remembered_by_its_last_eviction() {
        let mut tombstones = Tombstones::default();
        for up_to in 1..=3 * MAX_TOMBSTONES as u64 {
            tombstones.take(hash("a"));
            tombstones.insert(hash("a"), exact(up_to), None);
        }
        assert_eq!(tombstones.others.len(), 1);
        assert_eq!(tombstones.take(hash("a")).0, exact(3 * MAX_TOMBSTONES as u64));
        assert_eq!(tombstones.take(hash("b")).0, bound(0));
    }

    #[test]
    fn topics_without_evictions_displace_no_tombstone() {
        let mut tombstones = Tombstones::default();
        for n in 0..=MAX_TOMBSTONES as u64 {
            tombstones.insert(numbered(n), exact(n + 1), None);
        }
        for n in 0..=MAX_TOMBSTONES as u64 {
            let visitor = format!("visitor {n}");
            let evicted = tombstones.take(hash(&visitor)).0;
            assert_eq!(evicted, bound(1));
            tombstones.insert(hash(&visitor), evicted, None);
        }
        assert_eq!(tombstones.take(numbered(1)).0, exact(2));
    }
}
