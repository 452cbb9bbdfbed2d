use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::topic::Topic;

/// The topics in which something is kept, in no order: those of which something can be evicted.
///
/// Its lock is taken with the lock of a topic held, and no other is taken under it.
#[derive(Debug, Default)]
pub(super) struct Keepers {
    // The standard library's, for loom too: nothing depends on the order in which it is taken.
    list: Mutex<List>,
    /// How many topics were added since they were last looked at.
    added: AtomicUsize,
}

#[derive(Debug, Default)]
struct List {
    topics: Vec<Arc<Topic>>,
    /// The topic that is next to be looked at, for each task.
    next_old: usize,
    next_room: usize,
}

/// Why topics are looked at in turn. Each has its own turn, or one could always come to the same
/// topics.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    EvictOld,
    MakeRoom,
}

impl Keepers {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a topic that was not in the list, with its lock held.
    pub(super) fn add(&self, topic: &Arc<Topic>) {
        let mut list = self.lock();
        topic.keeper_index.store(list.topics.len(), Relaxed);
        list.topics.push(Arc::clone(topic));
        self.added.fetch_add(1, Relaxed);
    }

    /// Removes a topic, with its lock held. The last in the list takes its index.
    pub(super) fn remove(&self, topic: &Arc<Topic>) {
        let mut list = self.lock();
        let index = topic.keeper_index.load(Relaxed);
        if list.topics.get(index).is_none_or(|other| !Arc::ptr_eq(other, topic)) {
            return;
        }
        list.topics.swap_remove(index);
        if let Some(moved) = list.topics.get(index) {
            moved.keeper_index.store(index, Relaxed);
        }
        // A burst is not paid for ever.
        let capacity = list.topics.capacity();
        if capacity > 1024 && list.topics.len() < capacity / 4 {
            list.topics.shrink_to(capacity / 2);
        }
    }

    /// Returns the next `count` topics for a task, or all if there are no more. After the last
    /// comes the first, so every topic has its turn however many are added meanwhile.
    pub(super) fn next(&self, task: Task, count: usize) -> Vec<Arc<Topic>> {
        let mut list = self.lock();
        let List { topics, next_old, next_room } = &mut *list;
        let next = match task {
            Task::EvictOld => next_old,
            Task::MakeRoom => next_room,
        };
        let (before, after) = topics.split_at(if *next < topics.len() { *next } else { 0 });
        let in_turn: Vec<_> = after.iter().chain(before).take(count).cloned().collect();
        *next = match in_turn.len().checked_sub(after.len()) {
            Some(again) => again,
            None => before.len() + in_turn.len(),
        };
        in_turn
    }

    /// How many topics were added since the last [`reset_growth`](Self::reset_growth).
    pub(super) fn growth(&self) -> usize {
        self.added.load(Relaxed)
    }

    pub(super) fn reset_growth(&self) {
        self.added.store(0, Relaxed);
    }
}
