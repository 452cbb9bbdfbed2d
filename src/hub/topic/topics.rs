use std::sync::{Arc, PoisonError};
use std::{array, hash::BuildHasher, time::Duration};

use hashbrown::HashTable;

use super::topic::{EvictionPlace, Topic, TopicEnd, TopicState};
use super::{eviction_queue::EvictionQueue, tombstones::Tombstones};
use crate::callback::Opaque;
use crate::history::{DeferredDrops, Limits, Log, MemoryCounter};
use crate::hub::HubStats;
use crate::hub::retention::Retention;
use crate::sparse::spare_capacity;
use crate::sync::{Mutex, RandomState, RwLock, lock};

pub(crate) struct Topics {
    pub(crate) retention: Retention,
    retention_of: Option<RetentionOf>,
    pub(crate) max_memory: usize,
    pub(crate) memory: Arc<MemoryCounter>,
    hash_key: RandomState,
    names: [RwLock<Names>; SHARDS],
    // Lock order: the topic's table, the topic, then the tombstones.
    tombstones: Mutex<Tombstones>,
    pub(crate) queue: EvictionQueue,
}

pub(crate) type RetentionOf = Opaque<Box<dyn Fn(&str) -> Option<Retention> + Send + Sync>>;

/// The number of tables of topics. A table is locked while it grows, which took a third of a second
/// with a single table of a million topics.
// With many locks, loom's models take too long.
const SHARDS: usize = if cfg!(tower_sse_loom) { 1 } else { 64 };

#[derive(Debug, Default)]
struct Names {
    by_name: HashTable<ByName>,
    evicted_of_removed: u64,
}

#[derive(Clone, Debug)]
struct ByName {
    /// A copy of the topic's hash, so that a table that grows reads no topics.
    hash: u64,
    topic: Arc<Topic>,
}

/// The memory of a topic besides its name and its events, measured with a counting allocator.
const TOPIC_OVERHEAD: usize = 560;

impl Topics {
    pub(crate) fn new(
        retention: Retention,
        retention_of: Option<RetentionOf>,
        max_memory: usize,
    ) -> Self {
        Self {
            retention,
            retention_of,
            max_memory,
            memory: Arc::default(),
            hash_key: RandomState::default(),
            names: array::from_fn(|_| RwLock::default()),
            tombstones: Mutex::default(),
            queue: EvictionQueue::new(),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.get_hashed(self.hash(name), name)
    }

    #[inline]
    fn get_hashed(&self, hash: u64, name: &str) -> Option<Arc<Topic>> {
        let names = self.names_of(hash).read().unwrap_or_else(PoisonError::into_inner);
        names.get(hash, name).cloned()
    }

    pub(crate) fn hash(&self, text: &str) -> u64 {
        self.hash_key.hash_one(text)
    }

    #[inline]
    fn names_of(&self, hash: u64) -> &RwLock<Names> {
        // The table itself uses other bits of the hash.
        let index = (hash >> 32) as usize % SHARDS;
        // The index is below the length.
        #[allow(clippy::indexing_slicing)]
        &self.names[index]
    }

    pub(crate) fn get_or_add(&self, name: &str) -> Arc<Topic> {
        let hash = self.hash(name);
        if let Some(topic) = self.get_hashed(hash, name) {
            return topic;
        }
        // This calls user code, so no lock may be held.
        let retention = self.retention_of.as_ref().and_then(|retention_of| retention_of(name));
        let retention = retention.unwrap_or(self.retention);
        let ((events, bytes, age), is_latest) = (retention.of_topic(), retention.is_latest);
        let events = if is_latest { 0 } else { events };
        let limits = Limits { events, bytes, age, memory: self.max_memory };
        let mut names = self.names_of(hash).write().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = names.get(hash, name) {
            return Arc::clone(topic);
        }
        let (evicted, end) = lock(&self.tombstones).take(hash);
        let overhead = TOPIC_OVERHEAD + name.len();
        let log = Log::new(limits, overhead, evicted, Arc::clone(&self.memory));
        let topic = Arc::new(Topic::new(name.into(), hash, is_latest, log, end));
        let named = ByName { hash, topic: Arc::clone(&topic) };
        names.by_name.insert_unique(hash, named, |named| named.hash);
        topic
    }

    pub(crate) fn end_and_subscribers(&self, name: &str) -> (Option<TopicEnd>, usize) {
        let hash = self.hash(name);
        let names = self.names_of(hash).read().unwrap_or_else(PoisonError::into_inner);
        let Some(topic) = names.get(hash, name) else {
            return (lock(&self.tombstones).end_of(hash), 0);
        };
        // Read under the lock of `names`: a removal, which moves the end to the tombstones, needs
        // this lock.
        let state = topic.lock();
        (state.end.as_deref().copied(), state.subscribers as usize)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.all_and_evicted().0
    }

    fn all_and_evicted(&self) -> (Vec<Arc<Topic>>, u64) {
        let (mut topics, mut evicted) = (Vec::new(), 0);
        for names in &self.names {
            let names = names.read().unwrap_or_else(PoisonError::into_inner);
            topics.extend(names.by_name.iter().map(|named| Arc::clone(&named.topic)));
            evicted += names.evicted_of_removed;
        }
        (topics, evicted)
    }

    /// Returns statistics, which may or may not include changes during the call.
    pub(crate) fn stats(&self) -> HubStats {
        let (topics, evicted) = self.all_and_evicted();
        let mut stats = HubStats { topics: topics.len(), evicted, ..HubStats::default() };
        for topic in &topics {
            let state = topic.lock();
            stats.evicted += state.log.evicted_events;
            stats.events += state.log.len();
            stats.subscribers += state.subscribers as usize;
        }
        stats
    }

    /// Changes a topic and removes the topic if it is then unused. Returns `None` if it was
    /// removed before.
    #[inline]
    pub(crate) fn change<R>(
        &self,
        topic: &Arc<Topic>,
        change: impl FnOnce(&mut TopicState) -> R,
    ) -> Option<R> {
        let mut state = topic.lock();
        if state.is_removed {
            return None;
        }
        let result = change(&mut state);
        self.queue.update(topic, &mut state);
        let is_used = state.is_used();
        drop(state);
        if !is_used {
            self.remove_unused(topic);
        }
        Some(result)
    }

    #[cold]
    fn remove_unused(&self, topic: &Arc<Topic>) {
        let mut names = self.names_of(topic.hash).write().unwrap_or_else(PoisonError::into_inner);
        let mut state = topic.lock();
        if state.is_removed || state.is_used() {
            return;
        }
        state.is_removed = true;
        lock(&self.tombstones).insert(topic.hash, state.log.evicted, state.end.take());
        names.evicted_of_removed += state.log.evicted_events;
        // The caller still has the topic, so removing the entry drops no topic under the locks.
        let is_topic = |named: &ByName| Arc::ptr_eq(&named.topic, topic);
        if let Ok(entry) = names.by_name.find_entry(topic.hash, is_topic) {
            let (_, vacant) = entry.remove();
            let by_name = vacant.into_table();
            if let Some(capacity) = spare_capacity(by_name.len(), by_name.capacity()) {
                by_name.shrink_to(capacity, |named| named.hash);
            }
        }
    }
}

impl Names {
    #[inline]
    fn get(&self, hash: u64, name: &str) -> Option<&Arc<Topic>> {
        let named = self.by_name.find(hash, |named| named.topic.name() == name)?;
        Some(&named.topic)
    }
}

/// The maximum number of topics that one publish visits to evict by memory. This takes up to a few
/// milliseconds.
const VISITS_BY_MEMORY: usize = 4096;
/// The maximum number of events that one visit to a topic evicts by memory.
const EVICTED_PER_VISIT: usize = 64;
/// The maximum number of topics that one publish visits to evict by age.
const VISITS_BY_AGE: usize = 16;

impl Topics {
    /// Evicts events of any topic after a publish, as
    /// [`max_memory`](crate::hub::HubBuilder::max_memory) and [`Retention::age`] describe.
    #[inline]
    pub(crate) fn evict(&self, now: Duration, drops: &mut DeferredDrops) {
        if self.has_excess() {
            self.evict_by_memory(drops);
        }
        if self.queue.may_be_due(now) {
            self.evict_by_age(now, drops);
        }
    }

    #[cold]
    fn evict_by_age(&self, now: Duration, drops: &mut DeferredDrops) {
        for _ in 0..VISITS_BY_AGE {
            let Some(topic) = self.queue.first_due(now) else { return };
            self.change(&topic, |state| {
                state.log.trim(now, drops);
                self.queue.settle(&topic, state);
            });
        }
    }

    fn has_excess(&self) -> bool {
        self.memory.total() > self.max_memory
    }

    #[cold]
    fn evict_by_memory(&self, drops: &mut DeferredDrops) {
        for _ in 0..VISITS_BY_MEMORY {
            let Some((topic, following)) = self.queue.first_by_memory() else { return };
            self.change(&topic, |state| {
                state.log.evict_frames(drops);
                for _ in 0..EVICTED_PER_VISIT {
                    if !self.has_excess() {
                        return;
                    }
                    let place = EvictionPlace::of(&state.log).map(|place| place.by_memory);
                    if place.is_none_or(|place| place > following) {
                        break;
                    }
                    state.log.evict(1, drops);
                }
                self.queue.settle_by_memory(&topic, state);
            });
            if !self.has_excess() {
                return;
            }
        }
    }
}
