use std::sync::Arc;

use crate::{history::Epoch, runs::record::Record};

/// What a process calls because other processes reach its runs, and it theirs.
pub(crate) trait Hooks: Send + Sync {
    /// Called for an event of a run whose [`Mark`](super::Mark) was not set.
    fn has_events(&self, epoch: Epoch);

    /// Called when the phases of runs have changed.
    fn have_changed(&self, runs: &[Arc<Record>]);

    /// Evicts what can be loaded again, if there is anything, because memory is full. Returns
    /// whether there was.
    fn evict(&self) -> bool;
}
