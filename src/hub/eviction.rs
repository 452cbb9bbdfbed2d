//! Eviction by age and by memory, a few topics for each publish.

use std::{
    cmp::Reverse,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{eviction_queue::Reason, registry::Registry, topic::Topic};
use crate::history::DeferredDrops;

/// How many topics eviction by memory compares at a time.
const BATCH_SIZE: usize = 32;
/// How many such batches one publish examines at most.
const MAX_BATCHES: usize = 32;
/// How many topics one publish checks for old events. It does so at most once a millisecond, or
/// sooner when topics were added faster than they are checked.
const AGE_CHECKS: usize = 16;
/// How many topics have to be added for a check within the same millisecond.
const GROWTH_TRIGGER: usize = 4;

impl Registry {
    /// Evicts events over the memory limit, and old events of the next few topics.
    pub(super) fn evict(&self, now: Duration, drops: &mut DeferredDrops) {
        if self.excess() > 0 {
            self.evict_by_memory(drops);
        }
        // Ages need no precision below a millisecond.
        let millisecond = now.as_millis() as u64;
        let is_due = self.swept.swap(millisecond, Relaxed) != millisecond;
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

    /// Visits some topics at a time until the limit is met, or up to a number of rounds. The next
    /// publish continues, so none has to sort a million topics.
    #[cold]
    fn evict_by_memory(&self, drops: &mut DeferredDrops) {
        for _ in 0..MAX_BATCHES {
            self.evict_from(&self.eviction_queue.next(Reason::Memory, BATCH_SIZE), drops);
            if self.excess() == 0 {
                return;
            }
        }
    }

    /// Returns the memory above the limit.
    fn excess(&self) -> usize {
        self.memory.total().saturating_sub(self.max_memory)
    }

    /// Evicts frames first, which can be assembled again. Then it evicts events of topics without
    /// subscribers, the least recently published first. If there are no such topics, it evicts the
    /// older half of the largest one.
    fn evict_from(&self, topics: &[Arc<Topic>], drops: &mut DeferredDrops) {
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
        for (_, topic) in unsubscribed.iter().take(BATCH_SIZE / 4) {
            match self.excess() {
                0 => return,
                excess => self.evict_unsubscribed(topic, excess, drops),
            }
        }
        let largest = subscribed.iter().max_by_key(|(memory, newest, _)| (*memory, *newest));
        if unsubscribed.is_empty()
            && self.excess() > 0
            && let Some((memory, _, topic)) = largest
        {
            topic.lock().log.evict(memory.div_ceil(2), drops);
        }
    }

    /// Evicts the oldest events of a topic unless it has gained a subscriber, and removes the
    /// topic if it is then unused.
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
