use std::sync::Arc;

use tokio::sync::Semaphore;
use tower_sse::runs::{StartError, support::Record};

use super::{load::Load, mirror::Mirror, mirrors::Mirrors};
use crate::runs::seam::{reply::Push, run_id::RunId};

/// The maximum number of requests, for each run, that wait for events that this process does not
/// have yet.
const MAX_WAITERS: usize = 16;

impl Mirrors {
    /// Returns the record of a run for a client that has seen the events up to `after`, once the
    /// record has that event and the first page of later ones.
    pub(crate) async fn open(
        self: &Arc<Self>,
        run: &RunId,
        after: u64,
    ) -> Result<Arc<Record>, StartError> {
        let (record, mirror) = self.find_or_add(run, after);
        if !mirror.readable().await {
            return Err(StartError::Unavailable);
        }
        self.until_reached(&mirror, record, after).await
    }

    fn find_or_add(self: &Arc<Self>, run: &RunId, after: u64) -> (Arc<Record>, Arc<Mirror>) {
        let mut mirrors = self.map.lock();
        let mirrors = mirrors.entry(run.clone()).or_default();
        let found = mirrors.iter().find_map(|it| Some((it.serve(after)?, Arc::clone(it))));
        if let Some(found) = found {
            return found;
        }
        let waiters = mirrors.first().map(|mirror| Arc::clone(&mirror.waiters));
        let waiters = waiters.unwrap_or_else(|| Arc::new(Semaphore::new(MAX_WAITERS)));
        mirrors.retain(|mirror| mirror.is_used());
        let start = if mirrors.is_empty() { after } else { 0 };
        let (record, copy) = self.process.mirror(run.key.clone(), run.epoch, 0);
        let mirror = Arc::new(Mirror::new(run.clone(), copy, start, waiters));
        mirrors.push(Arc::clone(&mirror));
        Load::start(self, &mirror);
        (record, mirror)
    }

    /// Passes a push to the mirrors of a run.
    pub(crate) fn push(self: &Arc<Self>, run: &RunId, push: &Push) {
        for mirror in self.map.all_of(run) {
            if let Push::Batch(batch) = push {
                self.process.make_room(batch.memory());
            }
            if mirror.push(push.clone()) {
                Load::start(self, &mirror);
            }
        }
    }

    /// Loads all mirrors, because pushes may be missing.
    pub(crate) fn load_all(self: &Arc<Self>) {
        for mirror in self.map.all() {
            Load::start(self, &mirror);
        }
    }
}
