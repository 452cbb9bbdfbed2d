use std::array::from_fn;

use super::topic::Topic;
use crate::sync::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// The topics that changed last. A subscription that waits in all its topics looks here first, and
/// then only at topics that may have changed.
///
/// A change is counted after its topic's waiters have been taken and before they are woken.
pub(crate) struct Changes {
    /// [`SIZE`], plus 1 for each `add` call and [`SIZE`] for each `add_all` call.
    count: AtomicU64,
    /// The addresses of the topics that the last [`SIZE`] `add` calls counted.
    recent: [AtomicU64; SIZE as usize],
}

// With many atomics, loom's models take too long.
const SIZE: u64 = if cfg!(tower_sse_loom) { 2 } else { 32 };

impl Changes {
    /// A count from before the first change: since then, any topic may have changed.
    pub(crate) const NONE: u64 = 0;

    pub(super) fn new() -> Self {
        Self { count: AtomicU64::new(SIZE), recent: from_fn(|_| AtomicU64::new(0)) }
    }

    #[inline]
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Acquire)
    }

    /// Counts a change of one topic. The caller holds the lock of the hub's newest number.
    #[inline]
    pub(super) fn add(&self, topic: &Topic) {
        self.slot(self.count.load(Relaxed)).store(address(topic), Release);
        self.count.fetch_add(1, Release);
    }

    /// Counts a change after which every topic may have changed.
    pub(super) fn add_all(&self) {
        self.count.fetch_add(SIZE, Release);
    }

    fn slot(&self, index: u64) -> &AtomicU64 {
        // The remainder is below `SIZE`, the length of the array.
        #[allow(clippy::indexing_slicing)]
        &self.recent[(index % SIZE) as usize]
    }

    /// Returns whether the topic may have changed between these two counts.
    #[inline]
    pub(crate) fn include(&self, topic: &Topic, since: u64, until: u64) -> bool {
        let is_it = |index| self.slot(index).load(Acquire) == address(topic);
        // Later changes may have overwritten a slot.
        until - since >= SIZE || (since..until).any(is_it) || self.count() - since >= SIZE
    }
}

fn address(topic: &Topic) -> u64 {
    std::ptr::from_ref(topic).addr() as u64
}
