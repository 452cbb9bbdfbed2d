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
    started: AtomicU64,
    refused: AtomicU64,
    lagged: AtomicU64,
    fenced: AtomicU64,
    declared_dead: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
    ended: [AtomicU64; Outcome::ALL.len()],
}

/// Statistics of all runs, as returned by [`Runs::stats`](crate::runs::Runs::stats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunsStats {
    running: usize,
    kept: usize,
    attached: usize,
    memory: usize,
    started: u64,
    refused: u64,
    lagged: u64,
    mirrors: usize,
    waiting_exports: usize,
    fenced: u64,
    declared_dead: u64,
    events: u64,
    bytes: u64,
    ended: [u64; Outcome::ALL.len()],
}

/// What is counted when the statistics are read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) running: usize,
    pub(crate) kept: usize,
    pub(crate) mirrors: usize,
    pub(crate) waiting_exports: usize,
}

impl Counters {
    pub(crate) fn count_start(&self) {
        self.started.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_refusal(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_lag(&self) {
        self.lagged.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_fence(&self) {
        self.fenced.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_dead(&self) {
        self.declared_dead.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_end(&self, end: &RunEnd) {
        self.events.fetch_add(end.events, Relaxed);
        self.bytes.fetch_add(end.bytes, Relaxed);
        if let Some(count) = self.ended.get(end.outcome as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn stats(&self, counts: Counts) -> RunsStats {
        let Counts { running, kept, mirrors, waiting_exports } = counts;
        RunsStats {
            running,
            kept,
            mirrors,
            waiting_exports,
            fenced: self.fenced.load(Relaxed),
            declared_dead: self.declared_dead.load(Relaxed),
            attached: self.attached.load(Relaxed),
            memory: self.memory.total(),
            started: self.started.load(Relaxed),
            refused: self.refused.load(Relaxed),
            lagged: self.lagged.load(Relaxed),
            events: self.events.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            ended: self.ended.each_ref().map(|count| count.load(Relaxed)),
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
