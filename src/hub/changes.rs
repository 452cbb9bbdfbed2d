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
    /// The [bits](bit) of the topics that the last [`SIZE`] `add` calls counted.
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
        self.slot(self.count.load(Relaxed)).store(bit(topic), Release);
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

    /// Returns what may have changed since this count.
    #[inline]
    pub(crate) fn since(&self, since: u64) -> Changed {
        let until = self.count();
        if until - since < SIZE {
            let topics = (since..until).fold(0, |bits, it| bits | self.slot(it).load(Acquire));
            // Later changes may have overwritten a slot.
            if self.count() - since < SIZE {
                return Changed { until, topics };
            }
        }
        Changed { until, ..Changed::ALL }
    }
}

/// The topics that may have changed between two values of [`Changes::count`].
#[derive(Clone, Copy)]
pub(crate) struct Changed {
    /// The later of the two.
    pub(crate) until: u64,
    /// The [bits](bit) of the topics.
    pub(crate) topics: u64,
}

impl Changed {
    pub(crate) const ALL: Self = Self { until: 0, topics: u64::MAX };

    #[inline]
    pub(crate) fn include(self, topic: &Topic) -> bool {
        self.topics & bit(topic) != 0
    }
}

/// Returns one of 64 bits, by the topic's address. If an unchanged topic has the bit of a changed
/// topic, a subscription looks there in vain.
#[inline]
fn bit(topic: &Topic) -> u64 {
    let address = std::ptr::from_ref(topic).addr() as u64;
    // loom needs bits that are the same each time. Addresses aren't.
    let key = if cfg!(tower_sse_loom) { topic.hash } else { address };
    // Fibonacci hashing: it also spreads addresses that lie at equal distances.
    1 << (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
}
