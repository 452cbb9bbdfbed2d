use std::{
    cmp::Reverse,
    collections::HashMap,
    fmt,
    // Of these nothing depends on the order: they would only make loom's models larger.
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    Retention,
    deferred_drops::DeferredDrops,
    keepers::{Keepers, Task},
    log::Log,
    sync::RwLock,
    tombstones::Tombstones,
    topic::Topic,
};

/// The topics of a hub by their names, and what they may keep together.
pub(super) struct Topics {
    retention: Retention,
    retention_of: Option<Box<RetentionOf>>,
    budget: usize,
    /// How much memory all logs take.
    kept: AtomicUsize,
    registry: RwLock<Registry>,
    /// Those in which something is kept.
    keepers: Keepers,
    /// The millisecond in which what is too old was last evicted of some.
    swept: AtomicU64,
}

pub(super) type RetentionOf = dyn Fn(&str) -> Option<Retention> + Send + Sync;

#[derive(Debug, Default)]
struct Registry {
    by_name: HashMap<Arc<str>, Arc<Topic>>,
    tombstones: Tombstones,
}

/// What a topic takes besides its name and its events, counted by an allocator.
const TOPIC_MEMORY: usize = 560;
/// How many topics are compared when room has to be made, and how often for one event.
const COMPARED: usize = 32;
const ROUNDS: usize = 32;
/// How many topics are looked at after one event, at most once in a millisecond or for so many
/// topics that were added: those must be looked at sooner than others are added.
const SWEPT_AT_ONCE: usize = 16;
const ADDED_AT_MOST: usize = 4;

impl Topics {
    pub(super) fn new(
        retention: Retention,
        retention_of: Option<Box<RetentionOf>>,
        budget: usize,
    ) -> Self {
        Self {
            retention,
            retention_of,
            budget,
            kept: AtomicUsize::new(0),
            registry: RwLock::default(),
            keepers: Keepers::default(),
            swept: AtomicU64::new(0),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        registry.by_name.get(name).cloned()
    }

    pub(super) fn get_or_add(&self, name: &str) -> Arc<Topic> {
        if let Some(topic) = self.get(name) {
            return topic;
        }
        // The closure is somebody else's: not under a lock.
        let retention = self.retention_of.as_ref().and_then(|retention_of| retention_of(name));
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = registry.by_name.get(name) {
            return Arc::clone(topic);
        }
        let lost = registry.tombstones.take(name);
        let besides = TOPIC_MEMORY + name.len();
        let log = Log::new(retention.unwrap_or(self.retention), self.budget, lost, besides);
        let topic = Arc::new(Topic::new(Arc::from(name), log));
        registry.by_name.insert(Arc::clone(topic.name()), Arc::clone(&topic));
        topic
    }

    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        registry.by_name.values().cloned().collect()
    }

    /// Changes the log of a topic whose lock is held, and counts what it takes.
    #[inline]
    pub(super) fn account<R>(
        &self,
        topic: &Arc<Topic>,
        log: &mut Log,
        change: impl FnOnce(&mut Log) -> R,
    ) -> R {
        let (before, was_empty) = (log.memory(), log.is_empty());
        let result = change(log);
        let (after, is_empty) = (log.memory(), log.is_empty());
        if was_empty != is_empty {
            if is_empty { self.keepers.remove(topic) } else { self.keepers.add(topic) }
        }
        if after > before {
            self.kept.fetch_add(after - before, Relaxed);
        } else if after < before {
            self.kept.fetch_sub(before - after, Relaxed);
        }
        result
    }

    /// Looks at the next few topics in turn, and makes room if all keep too much together.
    pub(super) fn sweep(&self, now: Duration, trash: &mut DeferredDrops) {
        if self.excess() > 0 {
            self.make_room(trash);
        }
        // Ages are not that exact: once in a millisecond is enough.
        let millisecond = now.as_millis() as u64;
        let is_due = self.swept.swap(millisecond, Relaxed) != millisecond;
        if !is_due && self.keepers.growth() < ADDED_AT_MOST {
            return;
        }
        self.keepers.reset_growth();
        for topic in self.keepers.next(Task::EvictOld, SWEPT_AT_ONCE) {
            self.trim(&topic, now, trash);
        }
    }

    /// Lets go of what is too old, and of the topic if nothing is left of it.
    fn trim(&self, topic: &Arc<Topic>, now: Duration, trash: &mut DeferredDrops) {
        let unused = {
            let mut state = topic.lock();
            self.account(topic, &mut state.log, |log| log.trim(now, trash));
            !state.is_used()
        };
        if unused {
            self.remove_unused(topic);
        }
    }

    /// Removes a topic, if nothing is kept in it and nobody subscribes to it.
    pub(super) fn remove_unused(&self, topic: &Topic) {
        let removed = {
            let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
            let mut state = topic.lock();
            if state.removed || state.is_used() {
                return;
            }
            state.removed = true;
            registry.tombstones.insert(topic.name(), state.log.lost());
            registry.by_name.remove(topic.name())
        };
        drop(removed);
    }

    /// Looks at some topics after the other until there is room, or it has looked at many; then the
    /// next publisher goes on. So none of them has to wait until all of a million topics were put
    /// in order.
    #[cold]
    fn make_room(&self, trash: &mut DeferredDrops) {
        for _ in 0..ROUNDS {
            self.make_room_in(&self.keepers.next(Task::MakeRoom, COMPARED), trash);
            if self.excess() == 0 {
                return;
            }
        }
    }

    fn excess(&self) -> usize {
        self.kept.load(Relaxed).saturating_sub(self.budget)
    }

    /// Frames go first, which can be made again. Then events of those to which nobody subscribes
    /// and nothing was published for longest; where there are none, the older half of whichever
    /// keeps most.
    fn make_room_in(&self, topics: &[Arc<Topic>], trash: &mut DeferredDrops) {
        let mut unsubscribed = Vec::new();
        let mut subscribed = Vec::new();
        for topic in topics {
            if self.excess() == 0 {
                return;
            }
            let mut state = topic.lock();
            self.account(topic, &mut state.log, |log| log.free_frames(trash));
            if state.log.is_empty() {
                continue;
            }
            // Others publish meanwhile: what is put in order has to stay as it is.
            let newest = topic.newest();
            if state.subscribers == 0 {
                unsubscribed.push((newest, topic));
            } else {
                subscribed.push((state.log.events_memory(), Reverse(newest), topic));
            }
        }
        unsubscribed.sort_unstable_by_key(|(newest, _)| *newest);
        for (_, topic) in unsubscribed.iter().take(COMPARED / 4) {
            match self.excess() {
                0 => return,
                memory => self.free_unsubscribed(topic, memory, trash),
            }
        }
        let largest = subscribed.iter().max_by_key(|(memory, newest, _)| (*memory, *newest));
        if unsubscribed.is_empty()
            && self.excess() > 0
            && let Some((memory, _, topic)) = largest
        {
            let half = memory.div_ceil(2);
            self.account(topic, &mut topic.lock().log, |log| log.free(half, trash));
        }
    }

    /// Removes a topic to which nobody subscribes or, where that is enough, its oldest events.
    fn free_unsubscribed(&self, topic: &Arc<Topic>, memory: usize, trash: &mut DeferredDrops) {
        let unused = {
            let mut state = topic.lock();
            if state.subscribers == 0 {
                self.account(topic, &mut state.log, |log| log.free(memory, trash));
            }
            !state.is_used()
        };
        if unused {
            self.remove_unused(topic);
        }
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics")
            .field("retention", &self.retention)
            .field("budget", &self.budget)
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}
