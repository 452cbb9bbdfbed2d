use std::sync::Arc;

use tokio::{sync::Semaphore, time::timeout};
use tower_sse::runs::support::{Phase, Process, Record, caught, spawn};
use tower_sse::runs::{Outcome, StartError};

use super::mirror::{Mirror, MirrorMap};
use crate::runs::seam::{Batch, Failure, Push, RunId};
use crate::{runs::cluster::timing::Timing, runs::store::Store};

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

/// A load of a mirror, on a task of its own.
pub(super) struct Load {
    mirror: Arc<Mirror>,
    /// Whether the run had ended before the first load: the store then has its end.
    expects_end: bool,
    is_over: bool,
}

impl Load {
    /// Starts a load. If a load is under way, that load starts again instead.
    pub(super) fn start(mirrors: &Arc<Mirrors>, mirror: &Arc<Mirror>) {
        if mirror.request_load() {
            let mirror = Arc::clone(mirror);
            let load = Self { mirror, expects_end: false, is_over: false };
            spawn(load.run(Arc::clone(mirrors)));
        }
    }

    /// Loads the run until no further load is requested.
    async fn run(mut self, mirrors: Arc<Mirrors>) {
        if !self.mirror.is_loaded() && !self.watch(&mirrors).await {
            return;
        }
        // A load that was requested during another one begins even if that one panics.
        while caught(self.load_while_asked(&mirrors)).await.is_none() {
            self.mirror.set_loaded(false);
        }
    }

    async fn load_while_asked(&mut self, mirrors: &Arc<Mirrors>) {
        // If the claim says that the run has ended, the stream already has the end, so that the
        // next load finds it.
        while let Some(has_ended) = self.begin() {
            let result = self.load_all(mirrors).await;
            match (&result, self.mirror.record()) {
                (Ok(()), Some(record)) if has_ended => {
                    // The run's call returned no event stream, and another run has taken the key
                    // since.
                    if record.phase() == Phase::Starting && record.newest() == 0 {
                        self.mirror.copy.void();
                    } else {
                        self.mirror.copy.end(Outcome::Interrupted, None);
                    }
                }
                // The stream cannot be read any more, even if the claim says that the run
                // continues.
                (Err(Failure::Run), _) => self.mirror.copy.lose(),
                _ => {}
            }
            let is_live = self.mirror.record().is_some_and(|record| record.phase().is_live());
            self.mirror.set_loaded(result.is_ok() && !(self.expects_end && is_live));
        }
    }

    /// Subscribes to the run and then checks it, before the first load, so that no later push is
    /// missed. Returns whether the store has the run. If not, the store is out of reach, or has
    /// lost the run's claim since a request found it, which the owner may restore.
    async fn watch(&mut self, mirrors: &Arc<Mirrors>) -> bool {
        if mirrors.store.subscribe(&self.mirror.run).await.is_err() {
            return false;
        }
        let checked = mirrors.watch(&self.mirror).await;
        self.expects_end = checked.has_ended;
        if checked.needs_load {
            self.mirror.request_load();
        }
        self.mirror.has_started()
    }

    fn begin(&mut self) -> Option<bool> {
        let begun = self.mirror.begin_load();
        self.is_over = begun.is_none();
        begun
    }

    /// Loads pages until the last one is loaded, the run has ended, or nothing uses the mirror.
    async fn load_all(&self, mirrors: &Arc<Mirrors>) -> Result<(), Failure> {
        let mirror = &self.mirror;
        loop {
            // Loads take turns, in the order in which they ask. A turn lasts until the page has
            // arrived, because the page occupies the link even if no client waits for it any more.
            let _turn = mirrors.pages.acquire().await;
            let record = mirror.record().filter(|record| record.phase().is_live());
            let Some(after) = record.map(|record| record.newest()) else { return Ok(()) };
            let page = mirrors.store.load(&mirror.run, after).await?;
            mirrors.process.make_room(page.batches.iter().map(Batch::memory).sum());
            if !mirror.apply_page(page) {
                return Ok(());
            }
            mirror.set_readable(true);
        }
    }
}

impl Drop for Load {
    /// Ends a load that does not find the run, that panics before it begins, or whose runtime is
    /// dropped. The next visitor loads again.
    fn drop(&mut self) {
        if !self.is_over {
            self.mirror.abort_load();
        }
    }
}

/// The maximum number of requests, for each run, that wait for events that this process does not
/// have yet.
const MAX_WAITERS: usize = 16;

impl Mirrors {
    /// Returns the record of a run for a client that has seen the events up to `after`, once the
    /// record has that event and the first page of later ones. If that event was not exported, returns
    /// a record of the run's end.
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

/// Clients that have seen more events of a run than this process has of it.
impl Mirrors {
    /// Waits until a record has the event `after`, or its run has ended.
    async fn reach(
        self: &Arc<Self>,
        mirror: &Arc<Mirror>,
        record: &Record,
        after: u64,
    ) -> Result<(), StartError> {
        let reached = record.until(|| record.has_reached(after).then_some(()));
        let reached = if mirror.is_stored(after) {
            timeout(self.timing.patience, reached).await
        } else {
            let Ok(_waiting) = mirror.waiters.try_acquire() else {
                return Err(StartError::Unavailable);
            };
            // The owner may have assigned the id before it has exported the event. It exports a run
            // that is watched at once.
            let watched = async {
                if self.watch(mirror).await.needs_load {
                    Load::start(self, mirror);
                }
                reached.await;
            };
            timeout(self.timing.id_wait(), watched).await
        };
        reached.map_err(|_| StartError::Unavailable)
    }

    /// Returns a record of the end of a run, for a client that has seen the events up to `after`,
    /// more than the owner exported.
    fn end_of(&self, record: &Record, outcome: Outcome, after: u64) -> Arc<Record> {
        let (_, _, error) = record.progress();
        let (end, mirror) = self.process.mirror(record.key.clone(), record.epoch, after);
        mirror.begin(&record.head());
        mirror.end(outcome, error);
        end
    }
}
