use std::sync::Arc;

use tokio::sync::Semaphore;
use tower_sse::runs::support::{Process, Record};

use super::{mirror::Mirror, mirror_map::MirrorMap};
use crate::runs::{cluster::timing::Timing, seam::run_id::RunId, store::Store};

/// The maximum number of pages that are loaded at the same time. Together, these pages have about a
/// megabyte. On a slow link, all later replies wait until the pages have arrived.
const MAX_PAGES: usize = 16;

/// Copies of runs of other processes, while a client reads them at this process.
///
/// The first mirror of a run begins at the id of its client, but not above the newest event in the
/// store. It serves all clients with higher ids. A client that needs earlier events gets another mirror,
/// which begins at the first event.
pub(crate) struct Mirrors {
    pub(super) process: Arc<Process>,
    pub(super) store: Arc<Store>,
    pub(super) timing: Timing,
    /// The permits of loads: each load holds one while it loads a page.
    pub(super) pages: Semaphore,
    pub(crate) map: Arc<MirrorMap>,
}

impl Mirrors {
    pub(crate) fn new(
        process: Arc<Process>,
        store: Arc<Store>,
        timing: Timing,
        map: Arc<MirrorMap>,
    ) -> Self {
        Self { process, store, timing, pages: Semaphore::new(MAX_PAGES), map }
    }

    /// Returns the mirror of a run to which this record belongs.
    pub(crate) fn of(&self, run: &RunId, record: &Arc<Record>) -> Option<Arc<Mirror>> {
        self.map.of(run, record)
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }
}
