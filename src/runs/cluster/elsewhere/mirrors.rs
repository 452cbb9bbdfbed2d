#[cfg(not(tower_sse_simulation))]
use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{load::Load, mirror::Mirror};
#[cfg(tower_sse_simulation)]
use crate::simulation::HashMap;
use crate::{
    history::sync::{Mutex, lock},
    runs::{
        StartError,
        cluster::seam::{reply::Push, run_id::RunId, store::Store},
        process::Shared,
        record::Record,
    },
};

/// The maximum number of requests that wait for events of a run that this process does not have yet.
const MAX_WAITERS: usize = 16;

/// The mirrors of this process, by run.
///
/// The first mirror of a run begins at the id of its client, but not above the newest event in the
/// store. It serves all clients with higher ids. A client that needs earlier events gets another mirror,
/// which begins at the first event.
#[derive(Default)]
pub(crate) struct Mirrors {
    mirrors: Mutex<HashMap<RunId, Vec<Arc<Mirror>>>>,
}

impl Mirrors {
    /// Returns a mirror for a client that has seen the events up to `after`, once it has the first
    /// page of the events behind them.
    pub(crate) async fn open(
        &self,
        shared: &Arc<Shared>,
        run: &RunId,
        after: u64,
    ) -> Result<(Arc<Record>, Arc<Mirror>), StartError> {
        let (record, mirror) = self.find_or_add(shared, run, after);
        if mirror.readable().await { Ok((record, mirror)) } else { Err(StartError::Unavailable) }
    }

    fn find_or_add(
        &self,
        shared: &Arc<Shared>,
        run: &RunId,
        after: u64,
    ) -> (Arc<Record>, Arc<Mirror>) {
        let mut mirrors = lock(&self.mirrors);
        let mirrors = mirrors.entry(run.clone()).or_default();
        let found = mirrors.iter().find_map(|it| Some((it.serve(after)?, Arc::clone(it))));
        if let Some(found) = found {
            return found;
        }
        let waiters = mirrors.first().map(|mirror| Arc::clone(&mirror.waiters));
        let waiters = waiters.unwrap_or_else(|| Arc::new(Semaphore::new(MAX_WAITERS)));
        mirrors.retain(|mirror| mirror.is_used());
        let start = if mirrors.is_empty() { after } else { 0 };
        let (counters, options) = (Arc::clone(&shared.counters), &shared.options);
        let record = Record::mirror(run.key.clone(), run.epoch, 0, options, counters);
        let record = Arc::new(record);
        let mirror = Arc::new(Mirror::new(run.clone(), &record, start, waiters));
        mirrors.push(Arc::clone(&mirror));
        Load::start(shared, &mirror);
        (record, mirror)
    }

    /// Returns the mirror that has a record.
    pub(crate) fn of(&self, run: &RunId, record: &Arc<Record>) -> Option<Arc<Mirror>> {
        let is_its =
            |mirror: &&Arc<Mirror>| mirror.record().is_some_and(|its| Arc::ptr_eq(&its, record));
        lock(&self.mirrors).get(run)?.iter().find(is_its).cloned()
    }

    /// Passes a push to the mirrors of a run.
    pub(crate) fn push(&self, shared: &Arc<Shared>, run: &RunId, push: &Push) {
        let mirrors = lock(&self.mirrors).get(run).cloned().unwrap_or_default();
        for mirror in mirrors {
            if let Push::Batch(batch) = push {
                shared.make_room(batch.memory());
            }
            if mirror.push(push.clone()) {
                Load::start(shared, &mirror);
            }
        }
    }

    /// Loads all mirrors, because pushes may be missing.
    pub(crate) fn load_all(&self, shared: &Arc<Shared>) {
        for mirror in self.all() {
            Load::start(shared, &mirror);
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Mirror>> {
        lock(&self.mirrors).values().flatten().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.mirrors).values().map(Vec::len).sum()
    }

    /// Makes the largest mirror give way. Returns whether a mirror had anything to evict.
    pub(crate) fn evict(&self) -> bool {
        let records = self.all().into_iter().filter_map(|mirror| mirror.record());
        let largest = records.map(|record| (record.events_memory(), record));
        match largest.max_by_key(|(memory, _)| *memory) {
            Some((1.., record)) => record.give_way(),
            _ => return false,
        }
        true
    }

    /// Removes the mirrors that nothing uses, and those that have lost their run.
    pub(crate) fn prune(&self, store: &dyn Store) {
        lock(&self.mirrors).retain(|run, mirrors| {
            mirrors.retain(|mirror| mirror.is_used());
            // Under the lock, so that a mirror that is added later subscribes after it.
            if mirrors.is_empty() {
                store.unsubscribe(run);
            }
            !mirrors.is_empty()
        });
    }
}
