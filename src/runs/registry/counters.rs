use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use crate::{
    history::MemoryCounter,
    runs::{Outcome, RunEnd},
};

/// The counters that all runs of a [`Runs`](crate::runs::Runs) share. They are the standard library's
/// atomics even under loom, because the models do not depend on their order.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) memory: Arc<MemoryCounter>,
    pub(crate) attached: AtomicUsize,
    pub(crate) started: Counter,
    pub(crate) refused: Counter,
    pub(crate) lagged: Counter,
    pub(crate) fenced: Counter,
    pub(crate) declared_dead: Counter,
    events: Counter,
    bytes: Counter,
    ended: [Counter; Outcome::ALL.len()],
}

/// A number that only rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Statistics of all runs, as returned by [`Runs::stats`](crate::runs::Runs::stats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunsStats {
    pub(super) running: usize,
    pub(super) kept: usize,
    attached: usize,
    memory: usize,
    started: u64,
    refused: u64,
    lagged: u64,
    pub(super) mirrors: usize,
    pub(super) waiting_exports: usize,
    fenced: u64,
    declared_dead: u64,
    events: u64,
    bytes: u64,
    ended: [u64; Outcome::ALL.len()],
}

impl Counters {
    pub(crate) fn count_end(&self, end: &RunEnd) {
        self.events.add(end.events);
        self.bytes.add(end.bytes);
        if let Some(ended) = self.ended.get(end.outcome as usize) {
            ended.add(1);
        }
    }

    /// Returns the statistics without the numbers of runs, which are not counted here.
    pub(super) fn stats(&self) -> RunsStats {
        RunsStats {
            attached: self.attached.load(Relaxed),
            memory: self.memory.total(),
            started: self.started.get(),
            refused: self.refused.get(),
            lagged: self.lagged.get(),
            fenced: self.fenced.get(),
            declared_dead: self.declared_dead.get(),
            events: self.events.get(),
            bytes: self.bytes.get(),
            ended: self.ended.each_ref().map(Counter::get),
            ..RunsStats::default()
        }
    }
}

impl RunsStats {
    /// Returns the number of runs that are running, including calls that have no answer yet.
    #[must_use]
    pub const fn running(&self) -> usize {
        self.running
    }

    /// Returns the number of runs that have ended and are kept.
    #[must_use]
    pub const fn kept(&self) -> usize {
        self.kept
    }

    /// Returns the number of clients that are attached or wait for a call's answer.
    #[must_use]
    pub const fn attached(&self) -> usize {
        self.attached
    }

    /// Returns the memory of all runs in bytes, as
    /// [`max_memory`](crate::runs::RunsBuilder::max_memory) counts it.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.memory
    }

    /// Returns the number of calls that were started, including those whose answer was not an event
    /// stream.
    #[must_use]
    pub const fn started(&self) -> u64 {
        self.started
    }

    /// Returns the number of calls that were refused at a limit or during a shutdown.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns the number of clients whose next event was evicted before they had read it.
    #[must_use]
    pub const fn lagged(&self) -> u64 {
        self.lagged
    }

    /// Returns the number of runs of other processes that clients or handles use at this process.
    /// It is 0 without a [store](crate::runs::RunStore).
    #[must_use]
    pub const fn mirrors(&self) -> usize {
        self.mirrors
    }

    /// Returns the number of runs whose export to the store is overdue. It rises while the store
    /// cannot be reached.
    #[must_use]
    pub const fn waiting_exports(&self) -> usize {
        self.waiting_exports
    }

    /// Returns the number of runs of this process that another process declared dead, because this
    /// process did not reach the store in time.
    #[must_use]
    pub const fn fenced(&self) -> u64 {
        self.fenced
    }

    /// Returns the number of runs that this process declared dead.
    #[must_use]
    pub const fn declared_dead(&self) -> u64 {
        self.declared_dead
    }

    /// Returns the number of runs that ended with this outcome.
    #[must_use]
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.ended.get(outcome as usize).copied().unwrap_or_default()
    }

    /// Returns the number of events of all runs that have ended.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Returns the size of the events of all runs that have ended, in bytes on the wire.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}
