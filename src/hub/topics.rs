use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    fmt,
    // Of these nothing depends on the order: they would only make loom's models larger.
    sync::{
        Arc, Mutex, PoisonError,
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
    /// Who makes room has it.
    making_room: Mutex<()>,
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
            making_room: Mutex::default(),
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
        let lost_to = registry.tombstones.unearth(name);
        let besides = TOPIC_MEMORY + name.len();
        let log = Log::new(retention.unwrap_or(self.retention), lost_to, besides);
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
        // One publisher at a time, so that the others go on.
        if self.kept.load(Relaxed) > self.budget
            && let Ok(_making_room) = self.making_room.try_lock()
        {
            self.make_room(trash);
        }
        // Ages are not that exact: once in a millisecond is enough.
        let millisecond = now.as_millis() as u64;
        if self.swept.swap(millisecond, Relaxed) == millisecond {
            return;
        }
        for _ in 0..SWEPT_AT_ONCE {
            let Some(topic) = self.next_in_turn() else {
                break;
            };
            self.trim(&topic, now, trash);
        }
    }

    fn next_in_turn(&self) -> Option<Arc<Topic>> {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        let turn = self.turn.fetch_add(1, Relaxed).checked_rem(registry.topics.len())?;
        registry.topics.get(turn).cloned()
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
            registry.tombstones.bury(topic.name(), state.log.lost_to());
            registry.remove(topic.name())
        };
        drop(removed);
    }

    /// Frames go first, which can be made again. Then the events of topics to which nobody subscribes and
    /// nothing was published for longest; and at last of all others the older half of whichever keeps most,
    /// again and again.
    #[cold]
    fn make_room(&self, trash: &mut Trash) {
        let topics = self.all();
        for topic in &topics {
            self.account(&mut topic.lock().log, |log| log.free_frames(trash));
        }
        if self.kept.load(Relaxed) <= self.budget {
            return;
        }
        // Some more than needed, so that not every event has to look at all topics.
        let enough = self.budget - self.budget / 8;
        let too_much = || self.kept.load(Relaxed).saturating_sub(enough);
        let mut by_age = topics;
        // Others publish meanwhile: an order has to be one of things that stay as they are.
        by_age.sort_by_cached_key(|topic| topic.newest());
        for topic in &by_age {
            match too_much() {
                0 => return,
                memory => self.free_unsubscribed(topic, memory, trash),
            }
        }
        let memory = |topic: &Topic| topic.lock().log.events_memory();
        let mut by_size: BinaryHeap<_> =
            by_age.iter().enumerate().map(|(age, topic)| (memory(topic), Reverse(age))).collect();
        while too_much() > 0
            && let Some((_, Reverse(age))) = by_size.pop()
            && let Some(topic) = by_age.get(age)
        {
            let mut state = topic.lock();
            let half = state.log.events_memory().div_ceil(2);
            self.account(&mut state.log, |log| log.free(half, trash));
            if !state.log.is_empty() {
                by_size.push((state.log.events_memory(), Reverse(age)));
            }
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
