use std::{
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{deferred::Deferred, registry::Registry, shared::Shared};
use crate::runs::record::Record;

/// The number of running runs that are compared at a time to find the largest.
const SAMPLE_SIZE: usize = 32;
/// The maximum number of rounds in which [`Shared::make_room`] evicts.
const MAX_ROUNDS: usize = 32;

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
        let owner = record.key.shared_owner();
        self.kept.add((ended_at, record.epoch), Arc::clone(record), memory);
        while let Some(excess) = self.kept.remove_excess(owner) {
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

    /// Forgets the run that ended first, with all its events, or evicts the events of a lingering
    /// run. Returns `false` if there is neither.
    pub(crate) fn evict_ended(&mut self, deferred: &mut Deferred) -> bool {
        if let Some((_, oldest)) = self.kept.oldest() {
            self.evict(Arc::clone(oldest), deferred);
        } else if let Some(lingering) = self.lingering.pop() {
            if let Some(record) = lingering.upgrade() {
                record.lock().clear(deferred);
                deferred.changed.push(record);
            }
        } else {
            return false;
        }
        true
    }

    /// Forgets a run that has ended, but not in the store. Its end cannot be exported as completed
    /// any more. Returns `false` if there is none.
    pub(crate) fn evict_ending(&mut self, deferred: &mut Deferred) -> bool {
        let Some((_, record)) = self.ending.pop_first() else { return false };
        self.evict(record, deferred);
        true
    }

    /// Returns the next few running runs, in rotation.
    pub(crate) fn sample(&mut self) -> Vec<Arc<Record>> {
        let from = self.last_sampled.map_or(Unbounded, Excluded);
        let sample: Vec<_> = self
            .running
            .range((from, Unbounded))
            .take(SAMPLE_SIZE)
            .map(|(_, run)| run.clone())
            .collect();
        // `None` at the end of the map: the next call starts over.
        let is_last = sample.len() < SAMPLE_SIZE;
        self.last_sampled = sample.last().filter(|_| !is_last).map(|record| record.epoch);
        sample
    }
}

impl Shared {
    /// Evicts until the memory of all runs is within the limit: runs that have ended, the oldest
    /// first, then frames or the older half of the largest run. What the store does not have yet
    /// comes last. The next call continues if [`MAX_ROUNDS`] are not enough.
    pub(crate) fn make_room(self: &Arc<Self>) {
        for _ in 0..MAX_ROUNDS {
            if !self.is_over_limit() {
                return;
            }
            if let Some(cluster) = &self.cluster {
                cluster.mirrors.evict();
            }
            while self.is_over_limit() && self.with_registry(Registry::evict_ended) {}
            if !self.is_over_limit() {
                return;
            }
            let sample = self.lock().sample();
            let exported = sample.iter().map(|record| (record.exported_memory(), record));
            let mut deferred = Deferred::default();
            match exported.max_by_key(|(memory, _)| *memory) {
                Some((1.., record)) => record.evict_frames_or_half(&mut deferred),
                _ if self.with_registry(Registry::evict_ending) => {}
                _ => {
                    let memory = |record: &&Arc<Record>| record.lock().log.events_memory();
                    if let Some(record) = sample.iter().max_by_key(memory) {
                        record.evict_half_up_to(u64::MAX, &mut deferred);
                    }
                }
            }
            _ = deferred.wake();
        }
    }

    fn is_over_limit(&self) -> bool {
        self.counters.memory.total() > self.options.max_memory
    }
}
