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
    log::{Log, Trash},
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
    /// Whose turn it is to let go of what is too old, where nothing may be published any more.
    turn: AtomicUsize,
    /// The millisecond in which that was done last.
    swept: AtomicU64,
}

pub(super) type RetentionOf = dyn Fn(&str) -> Option<Retention> + Send + Sync;

#[derive(Debug, Default)]
struct Registry {
    /// Where it is in the list, for each.
    by_name: HashMap<Arc<str>, usize>,
    topics: Vec<Arc<Topic>>,
    tombstones: Tombstones,
}

impl Registry {
    fn get(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(*self.by_name.get(name)?)
    }

    fn add(&mut self, topic: Arc<Topic>) {
        self.by_name.insert(Arc::clone(topic.name()), self.topics.len());
        self.topics.push(topic);
    }

    /// The last in the list takes its place.
    fn remove(&mut self, name: &str) -> Option<Arc<Topic>> {
        let place = self.by_name.remove(name)?;
        let removed = self.topics.swap_remove(place);
        if let Some(moved) = self.topics.get(place)
            && let Some(place_of) = self.by_name.get_mut(moved.name())
        {
            *place_of = place;
        }
        Some(removed)
    }
}

/// What a topic takes besides its name and its events, counted by an allocator.
const TOPIC_MEMORY: usize = 640;
/// How many topics are compared when room has to be made, and how often for one event.
const COMPARED: usize = 32;
const ROUNDS: usize = 32;
/// How many topics are looked at after one event.
const SWEPT_AT_ONCE: usize = 16;

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
            turn: AtomicUsize::new(0),
            swept: AtomicU64::new(0),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        registry.get(name).cloned()
    }

    pub(super) fn get_or_add(&self, name: &str) -> Arc<Topic> {
        if let Some(topic) = self.get(name) {
            return topic;
        }
        // The closure is somebody else's: not under a lock.
        let retention = self.retention_of.as_ref().and_then(|retention_of| retention_of(name));
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = registry.get(name) {
            return Arc::clone(topic);
        }
        let lost = registry.tombstones.unearth(name);
        let besides = TOPIC_MEMORY + name.len();
        let log = Log::new(retention.unwrap_or(self.retention), self.budget, lost, besides);
        let topic = Arc::new(Topic::new(Arc::from(name), log));
        registry.add(Arc::clone(&topic));
        topic
    }

    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        registry.topics.clone()
    }

    /// Changes a log, and counts what it takes.
    pub(super) fn account<R>(&self, log: &mut Log, change: impl FnOnce(&mut Log) -> R) -> R {
        let before = log.memory();
        let result = change(log);
        let after = log.memory();
        if after > before {
            self.kept.fetch_add(after - before, Relaxed);
        } else if after < before {
            self.kept.fetch_sub(before - after, Relaxed);
        }
        result
    }

    /// Looks at the next few topics in turn, and makes room if all keep too much together.
    pub(super) fn sweep(&self, now: Duration, trash: &mut Trash) {
        if self.too_much() > 0 {
            self.make_room(trash);
        }
        // Ages are not that exact: once in a millisecond is enough.
        let millisecond = now.as_millis() as u64;
        if self.swept.swap(millisecond, Relaxed) == millisecond {
            return;
        }
        for topic in self.next_in_turn(SWEPT_AT_ONCE) {
            self.trim(&topic, now, trash);
        }
    }

    /// The next few topics, or all if there are no more.
    fn next_in_turn(&self, count: usize) -> Vec<Arc<Topic>> {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        let topics = &registry.topics;
        let turn = self.turn.fetch_add(count, Relaxed).checked_rem(topics.len());
        let (before, after) = topics.split_at(turn.unwrap_or_default());
        after.iter().chain(before).take(count).cloned().collect()
    }

    /// Lets go of what is too old, and of the topic if nothing is left of it.
    fn trim(&self, topic: &Topic, now: Duration, trash: &mut Trash) {
        let unused = {
            let mut state = topic.lock();
            self.account(&mut state.log, |log| log.trim(now, trash));
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
            registry.tombstones.bury(topic.name(), state.log.lost());
            registry.remove(topic.name())
        };
        drop(removed);
    }

    /// Looks at some topics after the other until there is room, or it has looked at many; then the next publisher
    /// goes on. So none of them has to wait until all of a million topics were put in order.
    #[cold]
    fn make_room(&self, trash: &mut Trash) {
        for _ in 0..ROUNDS {
            self.make_room_in(&self.next_in_turn(COMPARED), trash);
            if self.too_much() == 0 {
                return;
            }
        }
    }

    fn too_much(&self) -> usize {
        self.kept.load(Relaxed).saturating_sub(self.budget)
    }

    /// Frames go first, which can be made again. Then events of those to which nobody subscribes and nothing was published
    /// for longest; where there are none, the older half of whichever keeps most.
    fn make_room_in(&self, topics: &[Arc<Topic>], trash: &mut Trash) {
        let mut unsubscribed = Vec::new();
        let mut subscribed = Vec::new();
        for topic in topics {
            let mut state = topic.lock();
            self.account(&mut state.log, |log| log.free_frames(trash));
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
            match self.too_much() {
                0 => return,
                memory => self.free_unsubscribed(topic, memory, trash),
            }
        }
        let largest = subscribed.iter().max_by_key(|(memory, newest, _)| (*memory, *newest));
        if unsubscribed.is_empty()
            && self.too_much() > 0
            && let Some((memory, _, topic)) = largest
        {
            let half = memory.div_ceil(2);
            self.account(&mut topic.lock().log, |log| log.free(half, trash));
        }
    }

    /// Removes a topic to which nobody subscribes or, where that is enough, its oldest events.
    fn free_unsubscribed(&self, topic: &Topic, memory: usize, trash: &mut Trash) {
        let unused = {
            let mut state = topic.lock();
            if state.subscribers == 0 {
                self.account(&mut state.log, |log| log.free(memory, trash));
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
