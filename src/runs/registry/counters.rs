use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::{
    history::MemoryCounter,
    lock::lock,
    runs::{Outcome, RunEnd},
};

/// The counters that all runs of a [`Runs`](crate::runs::Runs) share. Their lock and atomics are the
/// standard library's even under loom, because the models do not depend on their order.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) memory: Arc<MemoryCounter>,
    pub(crate) attached: AtomicUsize,
    /// The numbers that only rise. The others are 0.
    totals: Mutex<RunsStats>,
}

/// Statistics of all runs, as returned by [`Runs::stats`](crate::runs::Runs::stats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunsStats {
    pub(super) running: usize,
    pub(super) kept: usize,
    attached: usize,
    memory: usize,
    pub(crate) started: u64,
    pub(crate) refused: u64,
    pub(crate) lagged: u64,
    pub(super) mirrors: usize,
    pub(super) waiting_exports: usize,
    pub(crate) fenced: u64,
    pub(crate) declared_dead: u64,
    events: u64,
    bytes: u64,
    ended: [u64; Outcome::ALL.len()],
}

impl Counters {
    /// Locks the numbers that only rise. No other lock is taken meanwhile.
    pub(crate) fn totals(&self) -> MutexGuard<'_, RunsStats> {
        lock(&self.totals)
    }

    pub(crate) fn count_end(&self, end: &RunEnd) {
        let mut totals = self.totals();
        totals.events += end.events;
        totals.bytes += end.bytes;
        if let Some(ended) = totals.ended.get_mut(end.outcome as usize) {
            *ended += 1;
        }
    }

    /// Returns the statistics without the numbers of runs, which are not counted here.
    pub(super) fn stats(&self) -> RunsStats {
        let (attached, memory) = (self.attached.load(Relaxed), self.memory.total());
        RunsStats { attached, memory, ..self.totals().clone() }
    }
}

impl RunsStats {
    getters! {
        /// Returns the number of runs that are running, including calls that have no answer yet.
        running: usize,
        /// Returns the number of runs that have ended and are kept.
        kept: usize,
        /// Returns the number of clients that are attached or wait for a call's answer.
        attached: usize,
        /// Returns the memory of all runs in bytes, as
        /// [`max_memory`](crate::runs::RunsBuilder::max_memory) counts it.
        memory: usize,
        /// Returns the number of calls that were made, including those whose answer was not an event
        /// stream. A request that leaves before its call is made does not count.
        started: u64,
        /// Returns the number of calls that were refused at a limit or during a shutdown.
        refused: u64,
        /// Returns the number of clients whose next event was evicted before they had read it.
        lagged: u64,
        /// Returns the number of copies of other processes' runs that clients or handles use at
        /// this process. A run has another copy if a client resumes before the first event of the
        /// first one. The number is 0 without a [store](crate::runs::RunStore).
        mirrors: usize,
        /// Returns the number of runs whose export to the store is overdue. It rises while the store
        /// cannot be reached.
        waiting_exports: usize,
        /// Returns the number of runs of this process that another process declared dead, because
        /// this process did not reach the store in time.
        fenced: u64,
        /// Returns the number of runs that this process declared dead.
        declared_dead: u64,
        /// Returns the number of events of all runs that have ended.
        events: u64,
        /// Returns the size of the events of all runs that have ended, in bytes on the wire.
        bytes: u64,
    }

    /// Returns the number of runs that ended with this outcome.
    #[must_use]
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.ended.get(outcome as usize).copied().unwrap_or_default()
    }
}
