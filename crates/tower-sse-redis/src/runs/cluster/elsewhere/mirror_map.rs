#[cfg(not(tower_sse_simulation))]
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tower_sse::runs::support::{Record, lock};
#[cfg(tower_sse_simulation)]
use tower_sse::simulation::HashMap;

use super::mirror::Mirror;
use crate::runs::{seam::run_id::RunId, store::Store};

/// The mirrors of this process, by run.
#[derive(Default)]
pub(crate) struct MirrorMap {
    by_run: Mutex<HashMap<RunId, Vec<Arc<Mirror>>>>,
}

impl MirrorMap {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Vec<Arc<Mirror>>>> {
        lock(&self.by_run)
    }

    /// Returns the mirror of a run to which this record belongs.
    pub(super) fn of(&self, run: &RunId, record: &Arc<Record>) -> Option<Arc<Mirror>> {
        let is_its =
            |mirror: &&Arc<Mirror>| mirror.record().is_some_and(|its| Arc::ptr_eq(&its, record));
        self.lock().get(run)?.iter().find(is_its).cloned()
    }

    pub(super) fn all_of(&self, run: &RunId) -> Vec<Arc<Mirror>> {
        self.lock().get(run).cloned().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Mirror>> {
        self.lock().values().flatten().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    /// Makes the largest mirror give way. Returns whether a mirror had anything to evict.
    pub(crate) fn evict(&self) -> bool {
        let largest = self.all().into_iter().map(|mirror| (mirror.copy.memory(), mirror));
        match largest.max_by_key(|(memory, _)| *memory) {
            Some((1.., mirror)) => mirror.copy.give_way(),
            _ => return false,
        }
        true
    }

    /// Removes the mirrors that nothing uses, and those that have lost their run.
    pub(super) fn prune(&self, store: &Store) {
        self.lock().retain(|run, mirrors| {
            mirrors.retain(|mirror| mirror.is_used());
            // Unsubscribes while the map is locked, so that a mirror that is added later subscribes
            // afterwards.
            if mirrors.is_empty() {
                store.unsubscribe(run);
            }
            !mirrors.is_empty()
        });
    }
}
