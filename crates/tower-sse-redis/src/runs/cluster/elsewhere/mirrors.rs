#[cfg(not(tower_sse_simulation))]
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::{runtime::Handle, time::timeout};
use tower_sse::runs::__private::{Phase, Process, Record, shrink_if_sparse};
use tower_sse::runs::{Outcome, StartError};
#[cfg(tower_sse_simulation)]
use tower_sse::simulation::HashMap;

use super::mirror::Mirror;
use crate::runs::cluster::timing::Timing;
use crate::runs::seam::{Push, RunId};
use crate::runs::store::{PAGE_BYTES, Store};
use tower_sse_broker::tasks::lock;

/// The expected size of the pages that are loaded at the same time. On a slow link, all later
/// replies wait for them.
const MAX_BYTES: usize = 16 * PAGE_BYTES;
/// The least that a page counts for, so that at most 128 are loaded at the same time.
const MIN_PAGE: usize = 8 * 1024;

/// Copies of runs of other processes, while clients or handles of this process use them.
///
/// A run's first mirror begins at its client's id, but not above the newest event in the store, and
/// serves all clients with higher ids. A client that needs earlier events gets another mirror, from
/// the first event on.
pub(crate) struct Mirrors {
    pub(super) process: Arc<Process>,
    pub(super) store: Arc<Store>,
    pub(super) timing: Timing,
    /// The runtime of all loads. A request's own runtime may end earlier.
    pub(super) runtime: Handle,
    pub(super) turns: Turns,
    /// Held while this process looks after the runs of a dead one.
    pub(super) inheriting: tokio::sync::Mutex<()>,
    /// Held while this process ends runs of a dead one.
    pub(super) burying: tokio::sync::Mutex<()>,
    pub(crate) map: Arc<MirrorMap>,
}

impl Mirrors {
    pub(crate) fn new(
        process: Arc<Process>,
        store: Arc<Store>,
        timing: Timing,
        map: Arc<MirrorMap>,
    ) -> Self {
        let (runtime, turns) = (Handle::current(), Turns::default());
        let [inheriting, burying] = Default::default();
        Self { process, store, timing, runtime, turns, inheriting, burying, map }
    }

    /// Returns a run's record for a client that has seen the events up to `after`, once the record
    /// has this event and the first page of later events. If the run was cancelled or interrupted
    /// before the event was exported, returns a record of its end.
    pub(crate) async fn open(
        self: &Arc<Self>,
        run: &RunId,
        after: u64,
    ) -> Result<Arc<Record>, StartError> {
        let (record, mirror) = self.find_or_add(run, after);
        if !mirror.readable().await {
            return Err(StartError::Unavailable);
        }
        if !record.has_reached(after) {
            self.reach(&mirror, &record, after).await?;
        }
        if record.is_lost() {
            return Err(StartError::Unavailable);
        }
        match record.phase() {
            _ if record.newest() >= after => Ok(record),
            // Its owner did not export all events that it had given to clients.
            Phase::Ended(outcome @ (Outcome::Cancelled | Outcome::Interrupted)) => {
                Ok(self.end_of(&record, outcome, after))
            }
            _ => Err(StartError::NotFound),
        }
    }

    fn find_or_add(self: &Arc<Self>, run: &RunId, after: u64) -> (Arc<Record>, Arc<Mirror>) {
        let mut mirrors = self.map.lock();
        let mirrors = mirrors.entry(run.clone()).or_default();
        let found = mirrors.iter().find_map(|it| Some((it.serve(after)?, Arc::clone(it))));
        if let Some(found) = found {
            return found;
        }
        mirrors.retain(|mirror| mirror.is_used());
        let start = if mirrors.is_empty() { after } else { 0 };
        let (record, copy) = self.process.mirror(run.key.clone(), run.epoch, 0);
        let mirror = Arc::new(Mirror::new(run.clone(), copy, start));
        mirrors.push(Arc::clone(&mirror));
        self.keep_loaded(&mirror);
        (record, mirror)
    }

    /// Passes a push to the mirrors of a run.
    pub(crate) fn push(&self, run: &RunId, push: &Push) {
        for mirror in self.map.all_of(run) {
            if let Push::Batch(batch) = push {
                self.process.make_room_for(batch.len(), batch.bytes.len());
            }
            if mirror.push(push.clone()) {
                mirror.request_load();
            }
        }
    }

    /// Loads all mirrors, because pushes may be missing.
    pub(crate) fn reload(&self) {
        self.map.all().iter().for_each(|mirror| mirror.request_load());
    }
}

impl Drop for Mirrors {
    /// Fails the clients that read runs of other processes: nothing updates the mirrors any more.
    fn drop(&mut self) {
        self.map.all().iter().for_each(|mirror| mirror.copy.lose());
    }
}

/// Clients that have seen more events of a run than this process has of it.
impl Mirrors {
    /// Waits until a record has the event `after`, or its run has ended.
    async fn reach(&self, mirror: &Mirror, record: &Record, after: u64) -> Result<(), StartError> {
        let reached = record.reach(after);
        let reached = if mirror.is_stored(after) {
            timeout(self.timing.patience, reached).await
        } else {
            let Ok(_waiting) = mirror.waiters.try_acquire() else {
                return Err(StartError::Unavailable);
            };
            // The owner may have sent a client the event `after` without having exported it yet. It
            // exports a watched run at once.
            let watched = async {
                if self.watch(mirror).await {
                    mirror.request_load();
                }
                reached.await;
            };
            timeout(self.timing.id_wait(), watched).await
        };
        reached.map_err(|_| StartError::Unavailable)
    }

    /// Returns a record of a run's end, for a client that has seen an event that was not exported.
    fn end_of(&self, record: &Record, outcome: Outcome, after: u64) -> Arc<Record> {
        let (_, _, error) = record.progress();
        let (end, mirror) = self.process.mirror(record.key.clone(), record.epoch, after);
        mirror.begin(&record.head());
        mirror.end(outcome, error);
        end
    }
}

/// The mirrors of this process, by run.
#[derive(Default)]
pub(crate) struct MirrorMap {
    by_run: Mutex<HashMap<RunId, Vec<Arc<Mirror>>>>,
}

impl MirrorMap {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Vec<Arc<Mirror>>>> {
        lock(&self.by_run)
    }

    /// Returns the mirror with this record, or `None` for a run of this process.
    pub(crate) fn of(&self, record: &Arc<Record>) -> Option<Arc<Mirror>> {
        let is_its =
            |mirror: &&Arc<Mirror>| mirror.record().is_some_and(|its| Arc::ptr_eq(&its, record));
        self.lock().get(&RunId::of(record))?.iter().find(is_its).cloned()
    }

    pub(super) fn all_of(&self, run: &RunId) -> Vec<Arc<Mirror>> {
        self.lock().get(run).cloned().unwrap_or_default()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Mirror>> {
        self.lock().values().flatten().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    /// Evicts from the largest mirror. Returns whether a mirror had anything to evict.
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
        let mut by_run = self.lock();
        by_run.retain(|run, mirrors| {
            mirrors.retain(|mirror| mirror.is_used());
            // Unsubscribes while the map is locked, so that a mirror that is added later subscribes
            // afterwards.
            if mirrors.is_empty() {
                store.unsubscribe(run);
            }
            !mirrors.is_empty()
        });
        shrink_if_sparse(&mut by_run);
    }
}

/// The turns of loads: each load holds one while it loads a page.
///
/// The size of a page is unknown before it arrives. It is expected to be as large as the largest of
/// those that arrived lately: clients of many short answers would wait if each counted as a full page.
pub(super) struct Turns {
    /// Held by the load that waits for the next turn, so that the others ask for what is expected
    /// when it is up to them.
    next: tokio::sync::Mutex<()>,
    free: Semaphore,
    expected: AtomicUsize,
}

impl Turns {
    /// Waits for a turn to load a page. `last` is the size of the run's page before it. Turns are
    /// taken in order.
    pub(super) async fn take(&self, last: usize) -> Option<SemaphorePermit<'_>> {
        let _next = self.next.lock().await;
        let expected = last.max(self.expected.load(Relaxed)).min(PAGE_BYTES);
        // At most eight, and nobody closes the semaphore.
        self.free.acquire_many(expected.div_ceil(MIN_PAGE).max(1) as u32).await.ok()
    }

    /// Notes the size of a page that has arrived. An empty one says nothing about the others.
    pub(super) fn loaded(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let next = |expected: usize| Some((expected - expected / 8).max(bytes.min(PAGE_BYTES)));
        _ = self.expected.fetch_update(Relaxed, Relaxed, next);
    }
}

impl Default for Turns {
    fn default() -> Self {
        let (next, free) = (Default::default(), Semaphore::new(MAX_BYTES / MIN_PAGE));
        Self { next, free, expected: AtomicUsize::new(PAGE_BYTES) }
    }
}
