use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::{sync::Arc, time::Duration};

use crate::history::{Log, Waiters, WakeList};
use crate::hub::retention::Retention;
use crate::sync::Ordering::{Acquire, Release};
use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, lock};

#[derive(Debug)]
pub(crate) struct Topic {
    name: Box<str>,
    /// The hash of the name in the table of topics.
    pub(crate) hash: u64,
    is_latest: AtomicBool,
    /// The sequence number of the topic's newest event or gap. Before the first one, an upper bound
    /// of the numbers that earlier topics of this name evicted. Subscribers compare it without the
    /// lock.
    newest: AtomicU64,
    /// A copy of the waiters' generation: subscribers check their tickets without the lock.
    generation: AtomicU64,
    /// Whether `TopicState::end` is set, to check without the lock.
    has_ended: AtomicBool,
    state: Mutex<TopicState>,
}

#[derive(Debug)]
pub(crate) struct TopicState {
    pub(crate) log: Log,
    // Not a `usize`, to keep the topic small.
    pub(crate) subscribers: u32,
    /// Set by [`Topic::set_end`]. Boxed, because most topics never end.
    pub(crate) end: Option<Box<TopicEnd>>,
    /// Whether the topic was removed from its table, so that its name has to be looked up again.
    pub(crate) is_removed: bool,
    /// The topic's place in the eviction queue while it keeps events.
    pub(super) place: Option<EvictionPlace>,
    pub(crate) waiters: Waiters,
    /// Set once a client has resumed by an id of the program.
    pub(crate) id_indexes: Option<Arc<IdIndexes>>,
}

/// The indexes of a topic, by the type of the function that returns the ids.
// This is the standard library's lock even under loom, whose models have no such ids.
pub(crate) type IdIndexes = std::sync::Mutex<BTreeMap<TypeId, IdIndex>>;

/// The ids that a function of the program has returned for a topic's events.
#[derive(Debug, Default)]
pub(crate) struct IdIndex {
    /// The hash of each id, and the number of its event, which may have been evicted. The hash is
    /// keyed, so clients can't force a collision.
    pub(crate) by_hash: BTreeSet<(u64, u64)>,
    /// The number up to which all events that have an id are in the index.
    pub(crate) up_to: u64,
}

impl Topic {
    pub(crate) fn new(
        name: Box<str>,
        hash: u64,
        is_latest: bool,
        log: Log,
        end: Option<Box<TopicEnd>>,
    ) -> Self {
        Self {
            name,
            hash,
            is_latest: AtomicBool::new(is_latest),
            newest: AtomicU64::new(log.evicted.up_to),
            generation: AtomicU64::new(0),
            has_ended: AtomicBool::new(end.is_some()),
            state: Mutex::new(TopicState {
                log,
                subscribers: 0,
                end,
                is_removed: false,
                place: None,
                waiters: Waiters::default(),
                id_indexes: None,
            }),
        }
    }

    pub(crate) const fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_latest(&self) -> bool {
        self.is_latest.load(Acquire)
    }

    /// Raises the topic's limits to at least the default limits, lets no event replace another, and
    /// no longer counts the topic towards the hub's memory. The caller holds the topic's lock.
    pub(crate) fn keep_all(&self, state: &mut TopicState) {
        self.is_latest.store(false, Release);
        let (events, bytes, age) = Retention::new().of_topic();
        state.log.raise_limits(events, bytes, age);
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Acquire)
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, TopicState> {
        lock(&self.state)
    }

    /// The caller holds the topic's lock.
    pub(crate) fn set_newest(&self, newest: u64) {
        self.newest.store(newest, Release);
    }

    /// Sets the topic's end, or removes it if `end` is `None`. The caller holds the lock of `state`
    /// and has just appended an event or a gap.
    #[inline]
    pub(crate) fn set_end(&self, state: &mut TopicState, end: Option<TopicEnd>) {
        if end.is_some() || state.end.is_some() {
            self.has_ended.store(end.is_some(), Release);
            state.end = end.map(Box::new);
        }
    }

    /// Returns the sequence number of the last event, if the topic has ended.
    pub(crate) fn ended_at(&self) -> Option<u64> {
        if !self.has_ended.load(Acquire) {
            return None;
        }
        self.lock().end.as_ref().map(|end| end.sequence)
    }

    /// Takes the waiters. The caller wakes them after releasing all locks.
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
    /// Returns the sequence number of the last event, if the topic has ended, its name can be
    /// used again and that event is no longer kept. Otherwise, returns 0.
    pub(crate) fn forgotten_end(&self, now: Duration) -> u64 {
        let is_forgotten = |end: &&TopicEnd| end.free_here <= now && self.log.is_empty();
        self.end.as_deref().filter(is_forgotten).map_or(0, |end| end.sequence)
    }

    pub(crate) fn is_used(&self) -> bool {
        self.subscribers > 0 || !self.log.is_empty()
    }
}

/// The end of a topic: the number of its last event, and the time from which its name can be used
/// again.
///
/// All processes that share a broker get the same times of publication, so all of them drop the
/// same events: those that follow the last event and were published before the name could be used
/// again. After a loss, such events are kept: the process that published them may have lost the
/// end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicEnd {
    pub(crate) sequence: u64,
    /// The time from which the name can be used again, by the clock of the hub's broker if it has
    /// one.
    pub(crate) free_at: Duration,
    /// The same time by this process's clock. Not exact if the hub has a broker.
    pub(crate) free_here: Duration,
}

/// The place of a topic in the [eviction queue](super::eviction_queue::EvictionQueue).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EvictionPlace {
    pub(super) by_memory: ByMemory,
    pub(super) by_age: ByAge,
}

/// A topic's key in the order of eviction by memory. The number of its oldest event makes the key
/// unique.
pub(super) type ByMemory = (Evictable, u64);

/// The time in nanoseconds after which the topic's oldest event is too old, and that event's
/// number.
pub(super) type ByAge = (u64, u64);

/// What a topic evicts next if memory is short, in the order of eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evictable {
    /// Cached copies of consecutive events, which can be assembled again.
    Frames,
    Older,
    Newest,
    /// Nothing: the memory of the topic does not count towards the total.
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
    pub(super) fn of(log: &Log) -> Option<Self> {
        let evictable = Evictable::of(log)?;
        let (oldest, due) = log.oldest()?;
        Some(Self { by_memory: (evictable, oldest), by_age: (nanoseconds(due), oldest) })
    }
}

/// Returns a duration in nanoseconds, at most 584 years.
#[inline]
pub(super) const fn nanoseconds(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos() as u64)
}
