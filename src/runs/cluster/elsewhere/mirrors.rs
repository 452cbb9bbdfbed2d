use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{mirror::Mirror, mirror_map::MirrorMap};
use crate::runs::{
    cluster::{
        seam::{run_id::RunId, store::Store},
        timing::Timing,
    },
    process::Process,
    record::Record,
};

/// The maximum number of pages that are loaded at the same time. Together, they have about a
/// megabyte, which a slow link passes before it is the turn of anything else.
const MAX_PAGES: usize = 16;

/// The runs of other processes, while a client reads them here.
///
/// The first mirror of a run begins at the id of its client, but not above the newest event in the
/// store. It serves all clients with higher ids. A client that needs earlier events gets another mirror,
/// which begins at the first event.
pub(crate) struct Mirrors {
    pub(super) process: Arc<Process>,
    pub(super) store: Arc<dyn Store>,
    pub(super) timing: Timing,
    /// The turns of loads.
    pub(super) pages: Semaphore,
    pub(crate) map: Arc<MirrorMap>,
}

impl Mirrors {
    pub(crate) fn new(
        process: Arc<Process>,
        store: Arc<dyn Store>,
        timing: Timing,
        map: Arc<MirrorMap>,
    ) -> Self {
        Self { process, store, timing, pages: Semaphore::new(MAX_PAGES), map }
    }

    /// Returns the mirror that has a record.
    pub(crate) fn of(&self, run: &RunId, record: &Arc<Record>) -> Option<Arc<Mirror>> {
        self.map.of(run, record)
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }
}
