//! Eviction by age and by memory.

use std::time::Duration;

use super::{place::Place, topics::Topics};
use crate::history::DeferredDrops;

/// The maximum number of topics that one publish visits to evict by memory. This takes up to a few
/// milliseconds.
const VISITS_BY_MEMORY: usize = 4096;
/// The maximum number of events that are evicted while a topic is locked.
const EVICTED_PER_VISIT: usize = 64;
/// The maximum number of topics that one publish visits to evict by age.
const VISITS_BY_AGE: usize = 16;

impl Topics {
    /// Evicts what [`max_memory`](crate::hub::HubBuilder::max_memory) and
    /// [`Retention::age`](crate::hub::Retention::age) document for a publish.
    #[inline]
    pub(crate) fn evict(&self, now: Duration, drops: &mut DeferredDrops) {
        if self.has_excess() {
            self.evict_by_memory(drops);
        }
        if self.queue.may_be_due(now) {
            self.evict_by_age(now, drops);
        }
    }

    #[cold]
    fn evict_by_age(&self, now: Duration, drops: &mut DeferredDrops) {
        for _ in 0..VISITS_BY_AGE {
            let Some(topic) = self.queue.first_due(now) else { return };
            self.change(&topic, |state| {
                state.log.trim(now, drops);
                self.queue.settle(&topic, state);
            });
        }
    }

    fn has_excess(&self) -> bool {
        self.memory.total() > self.max_memory
    }

    #[cold]
    fn evict_by_memory(&self, drops: &mut DeferredDrops) {
        for _ in 0..VISITS_BY_MEMORY {
            let Some((topic, following)) = self.queue.first_by_memory() else { return };
            self.change(&topic, |state| {
                state.log.evict_frames(drops);
                for _ in 0..EVICTED_PER_VISIT {
                    if !self.has_excess() {
                        return;
                    }
                    let place = Place::of(&state.log).map(|place| place.by_memory);
                    if place.is_none_or(|place| place > following) {
                        break;
                    }
                    state.log.evict(1, drops);
                }
                self.queue.settle_by_memory(&topic, state);
            });
            if !self.has_excess() {
                return;
            }
        }
    }
}
