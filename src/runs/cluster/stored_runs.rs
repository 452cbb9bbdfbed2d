use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::run_id::RunId;

/// The runs of this process that have ended and that the store keeps, the oldest first.
#[derive(Default)]
pub(crate) struct StoredRuns {
    runs: VecDeque<StoredRun>,
    bytes: usize,
}

struct StoredRun {
    run: RunId,
    bytes: usize,
    since: Instant,
}

impl StoredRuns {
    pub(crate) fn add(&mut self, run: RunId, bytes: usize, since: Instant) {
        self.bytes += bytes;
        self.runs.push_back(StoredRun { run, bytes, since });
    }

    /// Removes the runs that the store has deleted by itself, because they ended `retain` ago.
    pub(crate) fn expire(&mut self, retain: Duration, now: Instant) {
        while self.runs.front().is_some_and(|oldest| now - oldest.since >= retain) {
            self.pop();
        }
    }

    /// Removes the oldest run if all runs in the store, of which `live` bytes belong to running
    /// ones, have more than `limit` bytes.
    pub(crate) fn evict(&mut self, live: usize, limit: usize) -> Option<RunId> {
        if self.bytes + live <= limit { None } else { self.pop() }
    }

    fn pop(&mut self) -> Option<RunId> {
        let oldest = self.runs.pop_front()?;
        self.bytes -= oldest.bytes;
        Some(oldest.run)
    }
}
