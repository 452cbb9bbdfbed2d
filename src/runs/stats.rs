use std::sync::{Arc, Mutex, MutexGuard};
use std::{fmt::Display, sync::atomic::AtomicUsize, sync::atomic::Ordering::Relaxed};

use super::{Outcome, RunEnd};
use crate::{history::MemoryCounter, lock::lock, stats::Metrics};

/// The counters of a process's runs. Their atomics are std's even under loom, which needn't check
/// them.
#[derive(Debug, Default)]
pub(crate) struct RunCounters {
    pub(crate) memory: Arc<MemoryCounter>,
    pub(crate) attached: AtomicUsize,
    /// The statistics that only rise. All other fields stay 0.
    totals: Mutex<RunsStats>,
}

/// Statistics of this process's runs, from [`Runs::stats`](crate::runs::Runs::stats).
///
/// The documentation of each field gives the field's name in [`prometheus`](Self::prometheus). Each
/// process counts its own runs: add the values up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunsStats {
    /// The number of runs that are starting or running: `sse_runs_running`. Compare it with
    /// [`max_running`](crate::runs::RunsBuilder::max_running), and with the number of runs that
    /// [`max_memory`](crate::runs::RunsBuilder::max_memory) admits.
    pub running: usize,
    /// The number of runs that have ended and are kept: `sse_runs_kept`. With a store, a run is
    /// counted once the store has recorded its end, or certainly never will.
    pub kept: usize,
    /// The number of clients that are attached in this process, including those that wait for a run
    /// to start: `sse_runs_attached`.
    pub attached: usize,
    /// The memory of all runs in bytes, not counting what
    /// [`max_memory`](crate::runs::RunsBuilder::max_memory) reserves for running runs:
    /// `sse_runs_memory_bytes`. When it reaches the limit, the process drops ended runs and its
    /// copies of other processes' events.
    pub memory: usize,
    /// The number of times a service or source was called to start a run, even if it didn't return
    /// an event stream: `sse_runs_started_total`.
    pub started: u64,
    /// The number of requests without a last event id that couldn't start a run because of a limit,
    /// a shutdown or [`StartError::Unavailable`](crate::runs::StartError::Unavailable):
    /// `sse_runs_refused_total`. Refusals by
    /// [`Runs::answer`](crate::runs::Runs::answer) and [`Run::answer`](crate::runs::Run::answer)
    /// don't count.
    pub refused: u64,
    /// The number of attached clients whose next event was evicted before they had read it:
    /// `sse_runs_lagged_total`. If `memory` reaches its limit, raise
    /// [`max_memory`](crate::runs::RunsBuilder::max_memory). Otherwise, raise
    /// [`retain_bytes`](crate::runs::RunsBuilder::retain_bytes).
    pub lagged: u64,
    /// The number of copies of other processes' runs that this process holds: `sse_runs_mirrors`.
    /// Without a [store](crate::runs::RunStore), this field and the next three are 0.
    pub mirrors: usize,
    /// The number of runs whose export to the store is failing, or is late by at least a quarter of
    /// a second: `sse_runs_waiting_exports`. If it stays above 0, the store is probably slow, full
    /// or unreachable.
    pub waiting_exports: usize,
    /// The number of runs that another process declared dead while they were still running in this
    /// process: `sse_runs_fenced_total`. This process was paused or couldn't reach the store for
    /// about its lease, or longer.
    pub fenced: u64,
    /// The number of runs that this process reported as dead: `sse_runs_declared_dead_total`. Their
    /// process ended without [`Runs::drain`](crate::runs::Runs::drain), was paused or couldn't
    /// reach the store.
    pub declared_dead: u64,
    /// The sum of [`RunEnd::events`] over the runs that this process reported as ended:
    /// `sse_runs_events_total`.
    pub events: u64,
    /// The sum of [`RunEnd::bytes`] over the same runs as `events`: `sse_runs_bytes_total`. A run
    /// that this process reported as dead adds 0 bytes.
    pub bytes: u64,
    ended: [u64; Outcome::ALL.len()],
}

impl RunCounters {
    /// Locks the totals. A caller must take no other lock meanwhile.
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

    pub(super) fn stats(&self) -> RunsStats {
        let (attached, memory) = (self.attached.load(Relaxed), self.memory.total());
        RunsStats { attached, memory, ..self.totals().clone() }
    }
}

impl RunsStats {
    /// Returns how many ended runs this process reported with each outcome, including outcomes with
    /// a count of zero. A run that was stopped before its call is counted here, and not in
    /// [`started`](Self::started). The metric is `sse_runs_ended_total` with the label `outcome`.
    #[must_use]
    pub fn ended_by_outcome(&self) -> impl ExactSizeIterator<Item = (Outcome, u64)> + use<> {
        Outcome::ALL.iter().copied().zip(self.ended)
    }

    /// Returns the statistics as metrics in Prometheus' text format.
    #[must_use]
    pub fn prometheus(&self) -> impl Display + use<> {
        let exports = "Runs whose export to the store fails or is late.";
        let fenced = "Runs that another process declared dead.";
        let dead = "Runs that this process declared dead.";
        let help = "Runs that have ended, by outcome.";
        let ended = self.ended_by_outcome().map(|(outcome, ended)| (outcome.as_str(), ended));
        Metrics::default()
            .gauge("sse_runs_running", "Runs that are running.", self.running)
            .gauge("sse_runs_kept", "Runs that have ended and are kept.", self.kept)
            .gauge("sse_runs_attached", "Clients that are attached or wait.", self.attached)
            .gauge("sse_runs_memory_bytes", "Memory of all runs.", self.memory)
            .gauge("sse_runs_mirrors", "Copies of runs of other processes.", self.mirrors)
            .gauge("sse_runs_waiting_exports", exports, self.waiting_exports)
            .counter("sse_runs_started_total", "Calls that were made.", self.started)
            .counter("sse_runs_refused_total", "Calls that were refused.", self.refused)
            .counter("sse_runs_lagged_total", "Clients that fell behind what is kept.", self.lagged)
            .counter("sse_runs_fenced_total", fenced, self.fenced)
            .counter("sse_runs_declared_dead_total", dead, self.declared_dead)
            .counter("sse_runs_events_total", "Events of runs that have ended.", self.events)
            .counter("sse_runs_bytes_total", "Bytes of runs that have ended.", self.bytes)
            .labelled("counter", "sse_runs_ended_total", help, "outcome", ended)
    }
}
