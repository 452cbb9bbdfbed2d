use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::run_id::RunId;
use crate::runs::registry::Owners;

/// The runs of this process that have ended and that the store keeps, in the order of their ends.
pub(super) struct StoredRuns {
    runs: BTreeMap<u64, StoredRun>,
    /// The number of the next run.
    next: u64,
    bytes: usize,
    owners: Owners<u64>,
    /// Runs that exceed the limit of their owner.
    excess: Vec<RunId>,
}

struct StoredRun {
    run: RunId,
    bytes: usize,
    since: Instant,
}

impl StoredRuns {
    /// Creates it with the maximum size of an owner's runs.
    pub(super) fn new(max_per_owner: Option<usize>) -> Self {
        let owners = Owners::new(max_per_owner);
        Self { runs: BTreeMap::new(), next: 0, bytes: 0, owners, excess: Vec::new() }
    }

    pub(super) fn add(&mut self, run: RunId, bytes: usize, since: Instant) {
        let key = run.key.clone();
        self.owners.add(key.shared_owner(), self.next, bytes);
        self.runs.insert(self.next, StoredRun { run, bytes, since });
        self.next += 1;
        self.bytes += bytes;
        while let Some(number) = self.owners.excess(key.shared_owner()) {
            let excess = self.remove(number);
            self.excess.extend(excess);
        }
    }

    /// Removes the runs that the store has deleted by itself, because they ended `retain` ago.
    pub(super) fn expire(&mut self, retain: Duration, now: Instant) {
        while let Some((&number, oldest)) = self.runs.first_key_value()
            && now - oldest.since >= retain
        {
            self.remove(number);
        }
    }

    /// Removes a run that exceeds the limit of its owner, or the oldest run if all runs in the
    /// store, of which `live` bytes belong to running ones, have more than `limit` bytes.
    pub(super) fn evict(&mut self, live: usize, limit: usize) -> Option<RunId> {
        if let Some(run) = self.excess.pop() {
            return Some(run);
        }
        let (&oldest, _) = self.runs.first_key_value()?;
        if self.bytes + live <= limit { None } else { self.remove(oldest) }
    }

    fn remove(&mut self, number: u64) -> Option<RunId> {
        let StoredRun { run, bytes, .. } = self.runs.remove(&number)?;
        self.owners.remove(run.key.shared_owner(), number);
        self.bytes -= bytes;
        Some(run)
    }
}
