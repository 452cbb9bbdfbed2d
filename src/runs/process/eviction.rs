use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{process::Process, registry::Registry};
use crate::runs::record::{Deferred, Record};

/// Which runs are kept, and which are evicted first.
impl Registry {
    /// Keeps a run that has ended, and evicts the earlier ones of its owner that exceed the limit.
    pub(super) fn keep(&mut self, record: &Arc<Record>, deferred: &mut Deferred) {
        let (ended_at, memory) = {
            let state = record.lock();
            let (false, Some(ended_at)) = (state.is_forgotten, state.ended_at) else {
                return;
            };
            (ended_at, state.memory())
        };
        self.kept.add((ended_at, record.epoch), Arc::clone(record), memory);
        while let Some(excess) = self.kept.remove_excess(&record.key) {
            self.evict(excess, deferred);
        }
    }

    /// Forgets a run that is kept, with all its events.
    fn evict(&mut self, record: Arc<Record>, deferred: &mut Deferred) {
        self.forget(&record, deferred);
        record.lock().clear(deferred);
        deferred.changed.push(record);
    }

    /// Forgets a run that has ended. Clients that are still reading can read the rest.
    pub(crate) fn forget(&mut self, record: &Arc<Record>, deferred: &mut Deferred) {
        self.remove_key(record);
        let mut state = record.lock();
        state.is_forgotten = true;
        if let Some(ended_at) = state.ended_at {
            self.kept.remove((ended_at, record.epoch));
        }
        if state.readers.count() == 0 {
            state.clear(deferred);
        } else {
            self.lingering.push(Arc::downgrade(record));
            if self.lingering.len().is_power_of_two() {
                self.lingering.retain(|record| record.strong_count() > 0);
            }
        }
        // Dropping the record runs code of the program, because its options contain closures.
        deferred.changed.push(Arc::clone(record));
    }

    /// Forgets the runs that ended at least `age` ago, and returns when the next one is due.
    pub(crate) fn expire(&mut self, age: Duration, deferred: &mut Deferred) -> Option<Instant> {
        loop {
            let ((ended_at, _), record) = self.kept.oldest()?;
            let due = ended_at.checked_add(age)?;
            if due > Instant::now() {
                return Some(due);
            }
            let record = Arc::clone(record);
            self.forget(&record, deferred);
        }
    }

    /// Evicts the run that ended first, with all its events. With `is_read`, also evicts runs that
    /// clients read, those that are forgotten already first. Returns whether it evicted one.
    pub(crate) fn evict_ended(&mut self, is_read: bool, deferred: &mut Deferred) -> bool {
        if let Some(lingering) = is_read.then(|| self.lingering.pop()).flatten() {
            if let Some(record) = lingering.upgrade() {
                record.lock().clear(deferred);
                deferred.changed.push(record);
            }
            return true;
        }
        let oldest = self.kept.find(|record| is_read || !record.is_read()).cloned();
        let is_found = oldest.is_some();
        oldest.into_iter().for_each(|oldest| self.evict(oldest, deferred));
        is_found
    }
}

impl Process {
    /// Makes room for `additional` bytes beside the memory of all runs. Evicts runs that have ended
    /// and that no client reads, then what mirrors have, then all other runs that have ended.
    /// Running runs need no room: [`Registry::reserve`] admits only as many as there is room for.
    pub fn make_room(self: &Arc<Self>, additional: usize) {
        let evict_ended = |is_read| {
            self.with_registry(|registry, deferred| registry.evict_ended(is_read, deferred))
        };
        let evict_mirrored = || self.hooks.as_ref().is_some_and(|hooks| hooks.evict());
        while self.counters.memory.total().saturating_add(additional) > self.options.max_memory
            && (evict_ended(false) || evict_mirrored() || evict_ended(true))
        {}
    }
}
