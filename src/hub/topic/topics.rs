use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::{
    end::TopicEnd,
    eviction_queue::EvictionQueue,
    tombstones::Tombstones,
    topic::{Topic, TopicState},
};
use crate::{
    callback::Opaque,
    history::{Limits, Log, MemoryCounter, sync::RwLock},
    hub::{HubStats, Retention},
};

/// The topics of a hub by name, and the memory that they use.
pub(crate) struct Topics {
    retention: Retention,
    retention_of: Option<RetentionOf>,
    pub(crate) max_memory: usize,
    pub(crate) memory: Arc<MemoryCounter>,
    names: RwLock<Names>,
    pub(super) queue: EvictionQueue,
}

pub(crate) type RetentionOf = Opaque<Box<dyn Fn(&str) -> Option<Retention> + Send + Sync>>;

#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<Arc<str>, Arc<Topic>>,
    tombstones: Tombstones,
    /// The number of events that removed topics have evicted.
    evicted_of_removed: u64,
}

/// The memory of a topic besides its name and its events, measured with an allocator.
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
            names: RwLock::default(),
            queue: EvictionQueue::new(),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.by_name.get(name).cloned()
    }

    pub(crate) fn get_or_add(&self, name: &str) -> Arc<Topic> {
        if let Some(topic) = self.get(name) {
            return topic;
        }
        // This calls user code, so no lock may be held.
        let retention = self.retention_of.as_ref().and_then(|retention_of| retention_of(name));
        let Retention { events, bytes, age, is_latest } = retention.unwrap_or(self.retention);
        let limits = Limits { events, bytes, age, memory: self.max_memory };
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = names.by_name.get(name) {
            return Arc::clone(topic);
        }
        let (evicted, end) = names.tombstones.take(name);
        let overhead = TOPIC_OVERHEAD + name.len();
        let log = Log::new(limits, overhead, evicted, Arc::clone(&self.memory));
        let topic = Arc::new(Topic::new(Arc::from(name), is_latest, log, end));
        names.by_name.insert(Arc::clone(topic.name()), Arc::clone(&topic));
        topic
    }

    /// Returns the time for which events are retained by default, and names of ended topics taken.
    pub(crate) const fn retained_for(&self) -> Duration {
        self.retention.age
    }

    /// Returns the end of the topic with this name, if it has ended, and the number of its
    /// subscribers.
    pub(crate) fn end_and_subscribers(&self, name: &str) -> (Option<TopicEnd>, usize) {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        match names.by_name.get(name).cloned() {
            None => (names.tombstones.end_of(name), 0),
            Some(topic) => {
                drop(names);
                let state = topic.lock();
                (state.end.as_deref().copied(), state.subscribers)
            }
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.by_name.values().cloned().collect()
    }

    /// Returns the statistics of the topics. Changes during the call may or may not be included.
    pub(crate) fn stats(&self) -> HubStats {
        let (topics, evicted) = {
            let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
            let all: Vec<_> = names.by_name.values().cloned().collect();
            (all, names.evicted_of_removed)
        };
        let mut stats = HubStats { topics: topics.len(), evicted, ..HubStats::default() };
        for topic in &topics {
            let state = topic.lock();
            stats.evicted += state.log.evicted_events;
            stats.events += state.log.len();
            stats.subscribers += state.subscribers;
        }
        stats
    }

    /// Changes a topic, and removes it if it is then unused. Returns `None` if it had been removed
    /// before.
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

    /// Moves a topic whose log may keep more frames than before. The caller holds its lock.
    #[inline]
    pub(crate) fn update_frames(&self, topic: &Arc<Topic>, state: &mut TopicState) {
        self.queue.update(topic, state);
    }

    /// Removes a topic if it has no subscribers and keeps no events.
    #[cold]
    fn remove_unused(&self, topic: &Arc<Topic>) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let mut state = topic.lock();
        if state.is_removed || state.is_used() {
            return;
        }
        state.is_removed = true;
        names.tombstones.insert(topic.name(), state.log.evicted, state.end.take());
        names.evicted_of_removed += state.log.evicted_events;
        // The caller still has the topic, so that nothing is dropped while the locks are held.
        names.by_name.remove(topic.name());
    }
}
