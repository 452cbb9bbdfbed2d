use std::sync::atomic::Ordering::Relaxed;

use super::record::Record;
use crate::runs::registry::Deferred;

/// What a running run gives up when memory is short.
impl Record {
    /// Evicts the kept frames, which can be assembled again. If that frees nothing, evicts the
    /// older half of the events, as far as the store has them.
    pub(crate) fn evict_frames_or_half(&self, deferred: &mut Deferred) {
        let memory = {
            let mut state = self.lock();
            let memory = state.log.events_memory();
            state.log.evict_frames(&mut deferred.drops);
            memory - state.log.events_memory()
        };
        if memory == 0 {
            self.evict_half_up_to(self.exported.load(Relaxed), deferred);
        }
    }

    /// Evicts the older half of the events, but none after `newest`.
    pub(crate) fn evict_half_up_to(&self, newest: u64, deferred: &mut Deferred) {
        let mut state = self.lock();
        let half = state.log.events_memory().div_ceil(2);
        state.log.evict_up_to(newest, half, &mut deferred.drops);
        state.log.shrink();
        if state.is_full {
            deferred.wakers.extend(state.task.take());
        }
    }

    /// Records that the store has the events up to `newest`.
    pub(crate) fn set_exported(&self, newest: u64) {
        self.exported.store(newest, Relaxed);
    }

    /// Returns the memory of the frames and of the events that the store has.
    pub(crate) fn exported_memory(&self) -> usize {
        self.lock().log.memory_up_to(self.exported.load(Relaxed))
    }
}
