use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::topic::Topic;

/// The topics that keep events, in no order. Eviction visits them in rotation.
///
/// Lock order: a topic's lock before this one. No lock is taken while this one is held.
#[derive(Debug, Default)]
pub(crate) struct EvictionQueue {
    // The standard library's lock even under loom: the models do not depend on its order.
    rotation: Mutex<Rotation>,
    /// The number of topics added since the last [`reset_growth`](Self::reset_growth).
    added: AtomicUsize,
}

#[derive(Debug, Default)]
struct Rotation {
    topics: Vec<Arc<Topic>>,
    next_by_age: usize,
    next_by_memory: usize,
}

/// The reason to visit topics. Each reason has its own rotation: with a shared one, a reason could
/// visit the same topics forever.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason {
    Age,
    Memory,
}

impl EvictionQueue {
    fn lock(&self) -> MutexGuard<'_, Rotation> {
        self.rotation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a topic that is not in the queue. The caller holds the topic's lock.
    pub(crate) fn add(&self, topic: &Arc<Topic>) {
        let mut rotation = self.lock();
        topic.queue_index.store(rotation.topics.len(), Relaxed);
        rotation.topics.push(Arc::clone(topic));
        self.added.fetch_add(1, Relaxed);
    }

    /// Removes a topic. The caller holds the topic's lock.
    pub(crate) fn remove(&self, topic: &Arc<Topic>) {
        let mut rotation = self.lock();
        let index = topic.queue_index.load(Relaxed);
        if rotation.topics.get(index).is_none_or(|other| !Arc::ptr_eq(other, topic)) {
            return;
        }
        rotation.topics.swap_remove(index);
        if let Some(moved) = rotation.topics.get(index) {
            moved.queue_index.store(index, Relaxed);
        }
        // Free the memory that a burst has left.
        let capacity = rotation.topics.capacity();
        if capacity > 1024 && rotation.topics.len() < capacity / 4 {
            rotation.topics.shrink_to(capacity / 2);
        }
    }

    /// Returns the next `count` topics of a rotation, or all if there are fewer. The rotation wraps
    /// around, so each topic is visited even while others are added.
    pub(crate) fn next(&self, reason: Reason, count: usize) -> Vec<Arc<Topic>> {
        let mut rotation = self.lock();
        let Rotation { topics, next_by_age, next_by_memory } = &mut *rotation;
        let next = match reason {
            Reason::Age => next_by_age,
            Reason::Memory => next_by_memory,
        };
        let (before, after) = topics.split_at(if *next < topics.len() { *next } else { 0 });
        let visited: Vec<_> = after.iter().chain(before).take(count).cloned().collect();
        *next = match visited.len().checked_sub(after.len()) {
            Some(wrapped) => wrapped,
            None => before.len() + visited.len(),
        };
        visited
    }

    /// Returns the number of topics added since the last [`reset_growth`](Self::reset_growth).
    pub(crate) fn growth(&self) -> usize {
        self.added.load(Relaxed)
    }

    pub(crate) fn reset_growth(&self) {
        self.added.store(0, Relaxed);
    }
}
