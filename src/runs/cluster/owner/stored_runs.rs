use tokio::time::Instant;

use crate::{
    history::Epoch,
    runs::{cluster::seam::run_id::RunId, process::EndedRuns},
};

/// The runs of this process that have ended and that the store keeps.
pub(super) struct StoredRuns {
    /// In the order in which the store deletes them by itself.
    runs: EndedRuns<(RunId, usize)>,
    bytes: usize,
    /// Runs that exceed the limit of their owner.
    excess: Vec<RunId>,
}

impl StoredRuns {
    /// Creates an empty value. `max_per_owner` is the maximum size of an owner's runs.
    pub(super) fn new(max_per_owner: Option<usize>) -> Self {
        let runs =
            EndedRuns::new(max_per_owner, |(run, _): &(RunId, usize)| run.key.shared_owner());
        Self { runs, bytes: 0, excess: Vec::new() }
    }

    /// Adds a run that the store deletes by itself at a time.
    pub(super) fn add(&mut self, run: RunId, bytes: usize, deleted_at: Instant) {
        let key = run.key.clone();
        self.runs.add((deleted_at, run.epoch), (run, bytes), bytes);
        self.bytes += bytes;
        while let Some((run, bytes)) = self.runs.remove_excess(key.shared_owner()) {
            self.bytes -= bytes;
            self.excess.push(run);
        }
    }

    /// Removes the runs that the store has deleted by itself.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(((deleted_at, _), _)) = self.runs.oldest()
            && deleted_at <= now
        {
            self.remove_oldest();
        }
    }

    /// Removes a run that exceeds the limit of its owner. If there is none, removes the run that
    /// the store would delete first if all runs in the store, including `live` bytes of running
    /// ones, have more than `limit` bytes.
    pub(super) fn evict(&mut self, live: usize, limit: usize) -> Option<RunId> {
        if let Some(run) = self.excess.pop() {
            return Some(run);
        }
        if self.bytes + live <= limit { None } else { self.remove_oldest() }
    }

    fn remove_oldest(&mut self) -> Option<RunId> {
        let (at, _) = self.runs.oldest()?;
        self.remove(at)
    }

    /// Removes the run with this epoch that the store would delete at this time.
    pub(super) fn remove(&mut self, at: (Instant, Epoch)) -> Option<RunId> {
        let (run, bytes) = self.runs.remove(at)?;
        self.bytes -= bytes;
        Some(run)
    }
}
