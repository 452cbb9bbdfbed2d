use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;
use tower_sse::runs::__private::Epoch;

use crate::runs::seam::{EndMode, RunId};

/// The runs of this process that have ended and that the store keeps.
#[derive(Default)]
pub(super) struct StoredRuns {
    runs: BTreeMap<Epoch, StoredRun>,
    /// Runs in the order in which the store will delete them by itself.
    order: BTreeSet<(Instant, Epoch)>,
    bytes: usize,
    /// Replaced runs that the store has not yet been asked to delete early.
    replaced: Vec<RunId>,
}

struct StoredRun {
    run: RunId,
    bytes: usize,
    /// When the store deletes the run by itself.
    deleted_at: Instant,
}

impl StoredRuns {
    /// Adds a run, or a known one again. The store will delete it by itself at `deleted_at`.
    pub(super) fn add(&mut self, run: RunId, bytes: usize, deleted_at: Instant) {
        self.remove(run.epoch);
        self.order.insert((deleted_at, run.epoch));
        self.runs.insert(run.epoch, StoredRun { run, bytes, deleted_at });
        self.bytes += bytes;
    }

    /// Records that a run was replaced. The store then deletes it at `delete_at`: until then,
    /// processes may read its end.
    pub(super) fn replace(&mut self, epoch: Epoch, delete_at: Instant) {
        if let Some((run, bytes)) = self.remove(epoch) {
            self.replaced.push(run.clone());
            self.add(run, bytes, delete_at);
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

    /// Returns whether all runs in the store, including `live` bytes of running runs, exceed
    /// `limit` bytes, and there is an ended run to delete.
    pub(super) fn is_over(&self, live: usize, limit: usize) -> bool {
        self.bytes + live > limit && !self.order.is_empty()
    }

    /// Returns a run to delete, and how: one that was replaced, or, if there [are too
    /// many](Self::is_over), the one that the store would delete first.
    pub(super) fn evict(&mut self, live: usize, limit: usize) -> Option<(RunId, EndMode)> {
        if let Some(run) = self.replaced.pop() {
            return Some((run, EndMode::Discard));
        }
        let oldest = if self.is_over(live, limit) { self.remove_oldest() } else { None };
        oldest.map(|run| (run, EndMode::Forget))
    }

    fn remove_oldest(&mut self) -> Option<RunId> {
        let (_, epoch) = *self.order.first()?;
        self.remove(epoch).map(|(run, _)| run)
    }

    pub(super) fn remove(&mut self, epoch: Epoch) -> Option<(RunId, usize)> {
        let StoredRun { run, bytes, deleted_at } = self.runs.remove(&epoch)?;
        self.order.remove(&(deleted_at, epoch));
        self.bytes -= bytes;
        Some((run, bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower_sse::runs::RunKey;

    use super::*;

    /// If the store has lost the end of a run, its claim can be released later.
    #[test]
    fn run_that_is_added_again_counts_once_and_expires_once() {
        let (mut stored, now) = (StoredRuns::default(), Instant::now());
        let run = RunId::new(RunKey::new("user", "turn").unwrap(), Epoch::parse("a1").unwrap());
        stored.add(run.clone(), 10, now);
        stored.add(run, 20, now + Duration::from_secs(1));
        assert_eq!((stored.bytes, stored.order.len()), (20, 1));
        stored.expire(now + Duration::from_secs(1));
        assert_eq!((stored.bytes, stored.order.len()), (0, 0));
    }
}
