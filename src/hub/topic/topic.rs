use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::{sync::Arc, task::Waker, time::Duration};

use crate::history::sync::Ordering::{Acquire, Release};
use crate::history::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, lock};
use crate::history::{Evicted, Log, Ticket, Waiters, WakeList};
use crate::hub::Retention;

/// A topic: its log, and the subscribers that wait for its next event.
#[derive(Debug)]
pub(crate) struct Topic {
    name: Arc<str>,
    /// Whether each event replaces the one before it.
    is_latest: AtomicBool,
    /// The sequence number of the topic's newest event. Before the first event, it is the newest
    /// that an earlier topic of this name evicted, or an upper bound of that. A subscriber that has
    /// seen it skips the topic without locking it.
    newest: AtomicU64,
    /// A copy of the waiters' generation, so that a subscriber can check without the lock whether
    /// its ticket is still valid.
    generation: AtomicU64,
    /// The sequence number of the last event of a topic that has ended, and 0 before. A copy of
    /// `TopicState::end`, for a check without the lock.
    ended_at: AtomicU64,
    state: Mutex<TopicState>,
}

#[derive(Debug)]
pub(crate) struct TopicState {
    pub(crate) log: Log,
    pub(crate) subscribers: usize,
    /// Set by [`Topic::set_end`]. Boxed, because most topics never end.
    pub(crate) end: Option<Box<TopicEnd>>,
    /// Whether the topic was removed from the registry, so that its name has to be looked up again.
    pub(crate) is_removed: bool,
    /// The topic's place in the eviction queue while it keeps events.
    pub(super) place: Option<EvictionPlace>,
    waiters: Waiters,
}

impl Topic {
    pub(crate) fn new(
        name: Arc<str>,
        is_latest: bool,
        log: Log,
        end: Option<Box<TopicEnd>>,
    ) -> Self {
        Self {
            name,
            is_latest: AtomicBool::new(is_latest),
            newest: AtomicU64::new(log.evicted.up_to),
            generation: AtomicU64::new(0),
            ended_at: AtomicU64::new(end.as_ref().map_or(0, |end| end.sequence)),
            state: Mutex::new(TopicState {
                log,
                subscribers: 0,
                end,
                is_removed: false,
                place: None,
                waiters: Waiters::default(),
            }),
        }
    }

    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns whether each event replaces the one before it.
    pub(crate) fn is_latest(&self) -> bool {
        self.is_latest.load(Acquire)
    }

    /// Makes the topic keep at least what topics keep by default from now on, none of which replaces
    /// another. The caller holds the topic's lock.
    pub(crate) fn keep_all(&self, state: &mut TopicState) {
        self.is_latest.store(false, Release);
        let Retention { events, bytes, age, .. } = Retention::new();
        state.log.raise_limits(events, bytes, age);
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Acquire)
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, TopicState> {
        lock(&self.state)
    }

    /// Sets the newest sequence number, which readers load without a lock. The caller holds the
    /// topic's lock.
    pub(crate) fn set_newest(&self, newest: u64) {
        self.newest.store(newest, Release);
    }

    /// Sets the end of the topic, whose last event was just appended to `state`, or clears it with
    /// `None`. The caller holds the topic's lock.
    #[inline]
    pub(crate) fn set_end(&self, state: &mut TopicState, end: Option<TopicEnd>) {
        if end.is_some() || state.end.is_some() {
            self.ended_at.store(end.map_or(0, |end| end.sequence), Release);
            state.end = end.map(Box::new);
        }
    }

    /// Returns the sequence number of the last event, if the topic has ended.
    pub(crate) fn ended_at(&self) -> Option<u64> {
        Some(self.ended_at.load(Acquire)).filter(|sequence| *sequence > 0)
    }

    /// Locks the topic and adds a waiter if `is_needed` then returns `true`. Otherwise it returns
    /// the waker, which the caller drops.
    #[inline]
    pub(crate) fn add_waiter(
        &self,
        waker: Waker,
        is_needed: impl FnOnce() -> bool,
    ) -> Result<Ticket, Waker> {
        let mut state = self.lock();
        if is_needed() { Ok(state.waiters.add(waker)) } else { Err(waker) }
    }

    /// Locks the topic and removes a waiter. The caller drops the returned waker without a lock.
    #[inline]
    pub(crate) fn remove_waiter(&self, ticket: Ticket) -> Option<Waker> {
        self.lock().waiters.remove(ticket)
    }

    /// Takes all waiters out of `state`, which the caller has locked. The caller wakes them after
    /// releasing all locks.
    pub(crate) fn take_waiters(&self, state: &mut TopicState) -> WakeList {
        let waiters = state.waiters.take();
        if !waiters.is_empty() {
            self.generation.store(state.waiters.generation(), Release);
        }
        waiters
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }
}

impl TopicState {
    /// Returns the sequence number of the last event, if the topic has ended, its name is free and
    /// that event is no longer kept. Otherwise, returns 0.
    pub(crate) fn forgotten_end(&self, now: Duration) -> u64 {
        let is_forgotten = |end: &&TopicEnd| end.free_here <= now && self.log.is_empty();
        self.end.as_deref().filter(is_forgotten).map_or(0, |end| end.sequence)
    }

    /// Returns whether the topic has subscribers or keeps events.
    pub(crate) fn is_used(&self) -> bool {
        self.subscribers > 0 || !self.log.is_empty()
    }
}

/// The end of a topic: the position of its last event, and the time until which its name is taken.
///
/// An event that is published before that time, by the clock that all processes of a hub share, is
/// dropped in each of them. One that follows a loss is not: its process may have lost the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicEnd {
    /// The sequence number of the last event.
    pub(crate) sequence: u64,
    /// The time at which the name is free, by the clock of the hub's broker if it has one.
    pub(crate) free_at: Duration,
    /// The same time by the clock of this process, which is not exact if the hub has a broker.
    pub(crate) free_here: Duration,
}

/// The place of a topic in the [eviction queue](super::topics::EvictionQueue), by memory
/// and by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EvictionPlace {
    pub(super) by_memory: ByMemory,
    pub(super) by_age: ByAge,
}

/// What a topic evicts next if memory is short, and the sequence number of its oldest event, which
/// makes the place unique.
pub(super) type ByMemory = (Evictable, u64);

/// The time in nanoseconds after which the topic's oldest event is too old, and its sequence
/// number.
pub(super) type ByAge = (u64, u64);

/// What a topic evicts next if memory is short, in the order of eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evictable {
    /// Frames, which can be assembled again.
    Frames,
    /// An event that is not its topic's newest.
    Older,
    Newest,
    /// The memory of the topic counts apart from that of others.
    Nothing,
}

impl Evictable {
    #[inline]
    pub(super) fn of(log: &Log) -> Option<Self> {
        match log.len() {
            0 => None,
            _ if !log.shares_memory() => Some(Self::Nothing),
            _ if log.keeps_frames() => Some(Self::Frames),
            1 => Some(Self::Newest),
            _ => Some(Self::Older),
        }
    }
}

impl EvictionPlace {
    /// Returns the exact place, or `None` if the log has no events.
    pub(super) fn of(log: &Log) -> Option<Self> {
        let evictable = Evictable::of(log)?;
        let (oldest, due) = log.oldest()?;
        Some(Self { by_memory: (evictable, oldest), by_age: (nanoseconds(due), oldest) })
    }
}

/// Returns the nanoseconds of a duration. Those of more than 584 years are as many.
#[inline]
pub(super) const fn nanoseconds(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos() as u64)
}

/// The number of removed topics that are remembered individually: of those that have ended, and of
/// the others.
const MAX_TOMBSTONES: usize = 1 << 16;

/// The newest evicted sequence numbers of removed topics, so that a client that resumes in such a
/// topic receives a gap.
///
/// Topics are identified by a hash, because names can be long. A hash collision reports a spurious
/// gap. The hash is keyed, so clients cannot force one.
///
/// Topics that have ended are counted apart, because others would displace them before their names
/// are free. Of too many, the one whose name is free first is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    hash_key: RandomState,
    by_hash: HashMap<u64, Tombstone>,
    /// The hashes of topics that have not ended, in the order in which they are forgotten.
    others: BTreeMap<Turn, u64>,
    /// The hashes of topics that have ended.
    ended: BTreeMap<Turn, u64>,
    inserted: u64,
    /// The newest evicted sequence number of all topics that are no longer remembered.
    forgotten_up_to: u64,
}

/// The time at which the name of an ended topic is free, or zero, and the number of insertions.
type Turn = (Duration, u64);

#[derive(Debug)]
struct Tombstone {
    up_to: u64,
    turn: Turn,
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

    /// Removes a topic's tombstone and returns its newest evicted event, or an upper bound if the
    /// topic has no tombstone. Returns its end too, if it has ended.
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

    /// Returns the end of a removed topic, if it has ended.
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
