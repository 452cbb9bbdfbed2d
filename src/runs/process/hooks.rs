use std::sync::Arc;

use crate::{history::Epoch, runs::record::Record};

/// The callbacks of a process whose runs other processes can reach through a store.
pub trait Hooks: Send + Sync {
    /// Called for an event of a run whose [`Mark`](super::Mark) was not set.
    fn has_events(&self, epoch: Epoch);

    /// Called when the phases of runs have changed.
    fn have_changed(&self, runs: &[Arc<Record>]);

    /// Evicts events of a mirror, which can be loaded again, because memory is full. Returns
    /// whether there were any.
    fn evict(&self) -> bool;
}
