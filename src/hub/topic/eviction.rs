//! Eviction by age and by memory, a few topics for each publish.

use std::{
    cmp::Reverse,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{eviction_queue::Reason, topic::Topic, topics::Topics};
use crate::history::DeferredDrops;

/// The number of topics that eviction by memory compares at a time.
const BATCH_SIZE: usize = 32;
/// The number of batches from which one publish evicts only a sample.
const SAMPLED_BATCHES: usize = 32;
/// The number of batches after which one publish stops in any case.
const MAX_BATCHES: usize = 4096;
/// The number of topics that one check for old events visits. The first publish of each millisecond
/// checks, and so does one after [`GROWTH_TRIGGER`] topics were added.
const AGE_CHECKS: usize = 16;
/// The number of added topics that trigger a check within the same millisecond.
const GROWTH_TRIGGER: usize = 4;

/// The extent of eviction from a batch of topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// Events of a few topics: the least recently published or the largest.
    Sampled,
    /// Events of all topics.
    Thorough,
}

impl Topics {
    /// Evicts events until the memory limit is met, and the old events of the next few topics.
    pub(crate) fn evict(&self, now: Duration, drops: &mut DeferredDrops) {
        if self.excess() > 0 {
            self.evict_by_memory(drops);
        }
        // Ages need no precision below a millisecond.
        let millisecond = now.as_millis() as u64;
        let is_due = self.last_age_check.swap(millisecond, Relaxed) != millisecond;
        if !is_due && self.eviction_queue.growth() < GROWTH_TRIGGER {
            return;
        }
        self.eviction_queue.reset_growth();
        for topic in self.eviction_queue.next(Reason::Age, AGE_CHECKS) {
            self.trim(&topic, now, drops);
        }
    }

    /// Trims the log of a topic, and removes the topic if it is then unused.
    fn trim(&self, topic: &Arc<Topic>, now: Duration, drops: &mut DeferredDrops) {
        let is_unused = {
            let mut state = topic.lock();
            state.log.trim(now, drops);
            !state.is_used()
        };
        if is_unused {
            self.remove_unused(topic);
        }
    }

    /// Visits the topics in batches until the memory limit is met.
    ///
    /// After [`SAMPLED_BATCHES`] batches it evicts more from each, because one large event can take
    /// more memory than many small topics keep. From then on it stops once the excess has not
    /// grown, so no publisher waits until a million topics are sorted. The next publish continues.
    #[cold]
    fn evict_by_memory(&self, drops: &mut DeferredDrops) {
        let tolerated = self.tolerated_excess.load(Relaxed);
        for batch in 0..MAX_BATCHES {
            let extent = if batch < SAMPLED_BATCHES { Extent::Sampled } else { Extent::Thorough };
            let topics = self.eviction_queue.next(Reason::Memory, BATCH_SIZE);
            self.evict_from(&topics, extent, drops);
            let excess = self.excess();
            if excess == 0 || (extent == Extent::Thorough && excess <= tolerated) {
                break;
            }
        }
        self.tolerated_excess.store(self.excess(), Relaxed);
    }

    /// Returns the memory above the limit.
    fn excess(&self) -> usize {
        self.memory.total().saturating_sub(self.max_memory)
    }

    /// Evicts from one batch, in the order that [`max_memory`](crate::hub::HubBuilder::max_memory)
    /// documents.
    fn evict_from(&self, topics: &[Arc<Topic>], extent: Extent, drops: &mut DeferredDrops) {
        let mut unsubscribed = Vec::new();
        let mut subscribed = Vec::new();
        for topic in topics {
            if self.excess() == 0 {
                return;
            }
            let mut state = topic.lock();
            state.log.evict_frames(drops);
            if state.log.is_empty() {
                continue;
            }
            // Read once: other publishers change it while the topics are sorted.
            let newest = topic.newest();
            if state.subscribers == 0 {
                unsubscribed.push((newest, topic));
            } else {
                subscribed.push((state.log.events_memory(), Reverse(newest), topic));
            }
        }
        unsubscribed.sort_unstable_by_key(|(newest, _)| *newest);
        let most = if extent == Extent::Thorough { BATCH_SIZE } else { BATCH_SIZE / 4 };
        for (_, topic) in unsubscribed.iter().take(most) {
            match self.excess() {
                0 => return,
                excess => self.evict_unsubscribed(topic, excess, drops),
            }
        }
        if extent == Extent::Sampled && !unsubscribed.is_empty() {
            return;
        }
        subscribed.sort_unstable_by_key(|(memory, newest, _)| (*memory, *newest));
        let most = if extent == Extent::Thorough { BATCH_SIZE } else { 1 };
        for (memory, _, topic) in subscribed.iter().rev().take(most) {
            if self.excess() == 0 {
                return;
            }
            topic.lock().log.evict(memory.div_ceil(2), drops);
        }
    }

    /// Evicts the oldest events of a topic, unless it has gained a subscriber. Removes the topic if
    /// it is then unused.
    fn evict_unsubscribed(&self, topic: &Arc<Topic>, memory: usize, drops: &mut DeferredDrops) {
        let is_unused = {
            let mut state = topic.lock();
            if state.subscribers == 0 {
                state.log.evict(memory, drops);
            }
            !state.is_used()
        };
        if is_unused {
            self.remove_unused(topic);
        }
    }
}
