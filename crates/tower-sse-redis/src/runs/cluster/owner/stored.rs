use std::collections::{BTreeSet, HashMap, VecDeque};

use tokio::time::Instant;
use tower_sse::runs::__private::Epoch;

use crate::runs::seam::{EndMode, RunId};

/// The runs of this process that have ended and that the store keeps.
#[derive(Default)]
pub(super) struct StoredRuns {
    runs: HashMap<Epoch, StoredRun>,
    /// Runs in the order in which the store will delete them by itself.
    order: BTreeSet<(Instant, Epoch)>,
    bytes: usize,
    /// Runs that were replaced, each with its size and the time at which to delete it. Until then,
    /// processes may read its end.
    replaced: VecDeque<(Instant, RunId, usize)>,
}

struct StoredRun {
    run: RunId,
    bytes: usize,
    /// When the store deletes the run by itself.
    deleted_at: Instant,
}

impl StoredRuns {
    /// Adds a run, which the store will delete by itself at `deleted_at`.
    pub(super) fn add(&mut self, run: RunId, bytes: usize, deleted_at: Instant) {
        self.order.insert((deleted_at, run.epoch));
        self.runs.insert(run.epoch, StoredRun { run, bytes, deleted_at });
        self.bytes += bytes;
    }

    /// Records that a run was replaced. It is deleted at `delete_at`, which must not be earlier
    /// than in the previous call.
    pub(super) fn replace(&mut self, epoch: Epoch, delete_at: Instant) {
        if let Some((run, bytes)) = self.remove(epoch) {
            self.bytes += bytes;
            self.replaced.push_back((delete_at, run, bytes));
        }
    }

    /// Removes the runs that the store has deleted by itself.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((deleted_at, _)) = self.order.first()
            && *deleted_at <= now
        {
            self.remove_oldest();
        }
    }

    /// Returns when the next replaced run is to be deleted.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.replaced.front().map(|(delete_at, ..)| *delete_at)
    }

    /// Returns whether all runs in the store, including `live` bytes of running runs, exceed `limit`
    /// bytes, and one of these could be deleted.
    pub(super) fn is_over(&self, live: usize, limit: usize) -> bool {
        self.bytes + live > limit && !(self.order.is_empty() && self.replaced.is_empty())
    }

    /// Removes a run that must be deleted, and returns how: a run that was replaced long enough
    /// ago. If there [are too many](Self::is_over), removes a replaced run, or the run that the store
    /// would delete first.
    pub(super) fn evict(
        &mut self,
        now: Instant,
        live: usize,
        limit: usize,
    ) -> Option<(RunId, EndMode)> {
        let is_over = self.is_over(live, limit);
        let is_due = self.next_due().is_some_and(|at| is_over || at <= now);
        if is_due && let Some((_, run, bytes)) = self.replaced.pop_front() {
            self.bytes -= bytes;
            return Some((run, EndMode::Discard));
        }
        let oldest = if is_over { self.remove_oldest() } else { None };
        oldest.map(|run| (run, EndMode::Forget))
    }

    fn remove_oldest(&mut self) -> Option<RunId> {
        let (_, epoch) = *self.order.first()?;
        self.remove(epoch).map(|(run, _)| run)
    }

    /// Removes a run that was not replaced.
    pub(super) fn remove(&mut self, epoch: Epoch) -> Option<(RunId, usize)> {
        let StoredRun { run, bytes, deleted_at } = self.runs.remove(&epoch)?;
        self.order.remove(&(deleted_at, epoch));
        self.bytes -= bytes;
        Some((run, bytes))
    }
}

/// The batches of a run in the store, according to the replies that its owner has received.
#[derive(Default)]
pub(super) struct StoredBatches {
    /// The last event and each batch's size, the oldest first.
    batches: VecDeque<(u64, usize)>,
    /// The total size of the batches.
    bytes: usize,
}

impl StoredBatches {
    /// Returns the memory of the batches in a store that needs `overhead` bytes for each.
    pub(super) fn memory(&self, overhead: usize) -> usize {
        self.bytes + overhead * self.batches.len()
    }

    /// Adds a batch of `len` bytes that ends with the event `last`.
    pub(super) fn push(&mut self, last: u64, len: usize) {
        self.batches.push_back((last, len));
        self.bytes += len;
    }

    /// Removes the batches that end before the event `keep_from`.
    pub(super) fn trim(&mut self, keep_from: u64) {
        while let Some(&(last, len)) = self.batches.front()
            && last < keep_from
        {
            self.batches.pop_front();
            self.bytes -= len;
        }
    }

    /// Removes the batches that end after the event `newest`.
    pub(super) fn truncate(&mut self, newest: u64) {
        while let Some(&(last, len)) = self.batches.back()
            && last > newest
        {
            self.batches.pop_back();
            self.bytes -= len;
        }
    }

    /// Returns the sequence number of the oldest event to keep, if the batches exceed `limit`
    /// bytes. The newest two batches stay, because a stream without entries has no newest event.
    pub(super) fn trim_from(&self, limit: usize) -> Option<u64> {
        let mut excess = self.bytes.checked_sub(limit)?;
        let mut trimmed = None;
        for (last, len) in self.batches.iter().take(self.batches.len().saturating_sub(2)) {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(*len);
            trimmed = Some(last + 1);
        }
        trimmed
    }
}
