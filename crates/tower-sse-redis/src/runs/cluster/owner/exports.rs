use std::collections::BTreeMap;
#[cfg(not(tower_sse_simulation))]
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::{iter, mem};

use tokio::{runtime::Handle, sync::Notify, time::Instant};
use tower_sse::runs::__private::{Epoch, Record, shrink_if_sparse};
#[cfg(tower_sse_simulation)]
use tower_sse::simulation::HashMap;

use super::stored::StoredRuns;
use crate::runs::cluster::timing::Timing;
use crate::runs::seam::{End, ProcessId, RunId};
use tower_sse_broker::tasks::lock;

/// The runs of this process that the store should have.
pub(crate) struct Exports {
    pub(super) id: ProcessId,
    pub(super) timing: Timing,
    /// The memory that all runs may take in the store.
    max_memory: usize,
    /// The moment from which ticks are counted, so that runs share them.
    pub(super) base: Instant,
    /// The runtime of all exports. A request's own runtime may end earlier.
    pub(crate) runtime: Handle,
    state: Mutex<State>,
    /// Notified when the keeper may have something to look for, to release or to delete.
    pub(super) changed: Notify,
    /// Notified when replies were applied.
    pub(crate) replied: Notify,
}

#[derive(Default)]
pub(super) struct State {
    /// In the order of their epochs. Redis has the keys of neighbours close to each other in its
    /// memory. Looking for keys in another order takes a quarter longer.
    pub(super) runs: BTreeMap<Epoch, Arc<Export>>,
    /// Claims to release: the store may have them or execute them later, but this process has no
    /// run for them. Each with the time at which to release it.
    pub(super) lost_claims: HashMap<RunId, Instant>,
    /// The runs that this process lacks, although other processes take it for their owner, and when
    /// it first learned that.
    unknown: HashMap<RunId, Instant>,
    pub(super) ended: StoredRuns,
    /// The memory in the store of runs that have not ended there.
    pub(super) live_bytes: usize,
}

/// What other tasks know of a run's export, and ask of it.
pub(crate) struct Export {
    pub(crate) record: Arc<Record>,
    state: Mutex<ExportState>,
    /// Notified when the run has changed, or more is asked of it.
    pub(super) changed: Notify,
}

#[derive(Default)]
pub(super) struct ExportState {
    /// How often the export was asked for a `Sync`.
    pub(super) asked: u64,
    /// The value of `asked` at the time when the newest `Sync` with a reply was sent.
    pub(super) answered: u64,
    /// When the newest reply to a `Sync` arrived.
    pub(super) answered_at: Option<Instant>,
    /// The connection over which the store's copy is known, or 0.
    pub(super) over: u64,
    /// Whether the store has a stream of the run.
    pub(super) has_stream: bool,
    /// When the store got the end of the run, or when the run was given up.
    pub(super) ended_at: Option<Instant>,
    /// Whether another run has the key in the store.
    pub(super) is_replaced: bool,
    /// Until when a client of another process watches the run.
    watched_until: Option<Instant>,
    /// When the run begins to count as waiting, if the store lacks what it should have.
    pub(super) late_at: Option<Instant>,
    #[cfg(test)]
    panics: usize,
}

impl ExportState {
    /// Asks for a `Sync`.
    pub(super) const fn ask(&mut self) {
        self.asked += 1;
    }

    /// Returns whether a `Sync` that was sent after the last [`ask`](Self::ask) was answered, or
    /// none was asked for.
    pub(super) const fn is_in_step(&self) -> bool {
        self.answered == self.asked
    }

    /// Returns whether the store had the end of the run when it was last asked, or whether the run
    /// was given up.
    pub(super) const fn has_confirmed_end(&self) -> bool {
        self.ended_at.is_some() && self.is_in_step()
    }

    pub(super) fn is_watched(&self, now: Instant) -> bool {
        self.watched_until.is_some_and(|until| until > now)
    }
}

impl Export {
    pub(crate) fn run(&self) -> RunId {
        RunId::of(&self.record)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, ExportState> {
        lock(&self.state)
    }

    /// Asks for a `Sync`, and wakes the exporter.
    pub(crate) fn synchronize(&self) {
        self.state().ask();
        self.changed.notify_one();
    }

    #[cfg(test)]
    pub(super) fn panic_if_broken(&self) {
        let panics = self.state().panics;
        self.state().panics = panics.saturating_sub(1);
        assert_eq!(panics, 0, "the export panics");
    }

    /// Records that a client of another process watches the run. Asks for a `Sync` if the run was
    /// not watched, for the events that were not pushed, or if it has ended, because the store may
    /// have lost the end.
    fn watch(&self, now: Instant, until: Instant) {
        let mut state = self.state();
        let needs_sync = state.ended_at.is_some() || !state.is_watched(now);
        state.watched_until = Some(until);
        drop(state);
        self.record.attend_until(until);
        if needs_sync {
            self.synchronize();
        }
    }
}

impl Exports {
    pub(crate) fn new(id: ProcessId, timing: Timing, max_memory: usize) -> Self {
        Self {
            id,
            timing,
            max_memory,
            base: Instant::now(),
            runtime: Handle::current(),
            state: Mutex::default(),
            changed: Notify::new(),
            replied: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn add(&self, record: &Arc<Record>) -> Arc<Export> {
        let mut state = self.lock();
        let (record, changed) = (Arc::clone(record), Notify::new());
        let export = Arc::new(Export { record, state: Mutex::default(), changed });
        state.runs.insert(export.record.epoch, Arc::clone(&export));
        self.changed.notify_one();
        export
    }

    fn get(&self, epoch: Epoch) -> Option<Arc<Export>> {
        self.lock().runs.get(&epoch).cloned()
    }

    /// Makes the next exports of a run panic, for tests.
    #[cfg(test)]
    pub(crate) fn break_export(&self, epoch: Epoch) {
        self.get(epoch).expect("the run").state().panics = 1_000;
    }

    /// Tells an export that its run has changed.
    pub(crate) fn mark(&self, epoch: Epoch) {
        self.get(epoch).inspect(|export| export.changed.notify_one());
    }

    /// Asks for a `Sync` of a run.
    pub(crate) fn synchronize(&self, epoch: Epoch) {
        self.get(epoch).inspect(|export| export.synchronize());
    }

    /// Asks for a `Sync` of each run.
    pub(crate) fn synchronize_all(&self) {
        self.lock().runs.values().for_each(|export| export.synchronize());
        self.changed.notify_one();
    }

    /// Records that a client of another process watches a run.
    ///
    /// If the store has returned to an earlier state, a claim can name a run that is over. This
    /// process releases such a claim, once it has lacked the run for a lease: the reply to a claim
    /// that it sent can take as long.
    pub(crate) fn watched(&self, run: RunId) {
        let (now, lease) = (Instant::now(), self.timing.lease);
        if let Some(export) = self.get(run.epoch).filter(|export| export.run() == run) {
            return export.watch(now, now + self.timing.watch());
        }
        let is_over = {
            let unknown = &mut self.lock().unknown;
            unknown.retain(|_, since| now - *since < lease * 2);
            shrink_if_sparse(unknown);
            let is_over = now - *unknown.entry(run.clone()).or_insert(now) >= lease;
            is_over && unknown.remove(&run).is_some()
        };
        if is_over {
            self.lose_claim(run);
        }
    }

    /// Records that, in the store, another run has taken the key of this process's run.
    pub(crate) fn replaced(&self, epoch: Epoch) {
        let export = self.get(epoch);
        export.iter().for_each(|export| export.state().is_replaced = true);
        self.lock().ended.replace(epoch, Instant::now() + self.timing.lease * 2);
        self.changed.notify_one();
        export.iter().for_each(|export| export.synchronize());
    }

    /// Remembers a claim that the store may have, but for which this process has no run.
    pub(crate) fn lose_claim(&self, run: RunId) {
        self.lock().lost_claims.insert(run, Instant::now());
        self.changed.notify_one();
    }

    /// Returns the record of a run that this process still exports.
    pub(crate) fn record(&self, run: &RunId) -> Option<Arc<Record>> {
        let export = self.get(run.epoch)?;
        (export.record.key == run.key).then(|| Arc::clone(&export.record))
    }

    /// Returns whether the store has the end of a run, or will never have it.
    pub(crate) fn has_ended(&self, epoch: Epoch) -> bool {
        self.get(epoch).is_none_or(|export| export.state().has_confirmed_end())
    }

    /// Returns whether the store has the ends of all runs, or will never have them, and whether no
    /// lost claim is left to release.
    pub(crate) fn have_ended(&self) -> bool {
        let state = self.lock();
        let mut runs = state.runs.values();
        state.lost_claims.is_empty() && runs.all(|export| export.state().ended_at.is_some())
    }

    /// Returns whether a run is live in the store, according to a `Sync` sent after the last
    /// [`synchronize`](Self::synchronize) call.
    pub(crate) fn is_in_step(&self, epoch: Epoch) -> bool {
        self.get(epoch).is_some_and(|export| {
            let state = export.state();
            state.ended_at.is_none() && state.is_in_step()
        })
    }

    /// Returns the number of runs of which the store lacks what it should have by now.
    pub(crate) fn waiting(&self) -> usize {
        let now = Instant::now();
        let state = self.lock();
        let is_late = |export: &&Arc<Export>| export.state().late_at.is_some_and(|at| at <= now);
        state.runs.values().filter(is_late).count()
    }

    /// Wakes all tasks, some of which end with the process.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
        self.lock().runs.values().for_each(|export| export.changed.notify_one());
    }
}

/// What exporters report, and what the keeper deletes.
impl Exports {
    /// Updates a run's part of the memory of live runs in the store.
    pub(super) fn count(&self, counted: &mut usize, memory: usize) {
        let mut state = self.lock();
        state.live_bytes = state.live_bytes - mem::replace(counted, memory) + memory;
        if state.ended.is_over(state.live_bytes, self.max_memory) {
            self.changed.notify_one();
        }
    }

    /// Records that the store has the end of a run, or will never have it. The run takes `memory`
    /// bytes in the store, which deletes it by itself at `deleted_at`. The sum of live runs no
    /// longer includes the run's `counted` bytes. Returns whether another run has the key.
    pub(super) fn ended(
        &self,
        export: &Export,
        memory: usize,
        counted: usize,
        deleted_at: Instant,
    ) -> bool {
        let (run, is_replaced) = (export.run(), export.state().is_replaced);
        let epoch = run.epoch;
        let mut state = self.lock();
        state.live_bytes -= counted;
        state.ended.add(run, memory, deleted_at);
        if is_replaced {
            state.ended.replace(epoch, Instant::now() + self.timing.lease * 2);
        }
        self.changed.notify_one();
        is_replaced
    }

    /// Records that the store has lost the end of a run.
    pub(super) fn revive(&self, export: &Export) {
        export.state().ended_at = None;
        self.lock().ended.remove(export.record.epoch);
    }

    /// Takes at most `max` runs that the store must delete, each with the mode for this.
    pub(super) fn evict(&self, max: usize) -> Vec<End> {
        let mut state = self.lock();
        state.ended.expire(Instant::now());
        let live = state.live_bytes;
        let evicted = iter::from_fn(|| state.ended.evict(live, self.max_memory));
        evicted.map(|(run, mode)| End { run, mode }).take(max).collect()
    }

    /// Removes a run that is no longer exported.
    pub(super) fn remove(&self, export: &Export) {
        // Dropped once the lock is released: the run's options contain closures, whose drop can run
        // code of the program.
        let removed = self.lock().runs.remove(&export.record.epoch);
        drop(removed);
        self.notify_replied();
    }

    /// Wakes the requests that wait for replies. They catch the panics of their wakers.
    pub(super) fn notify_replied(&self) {
        self.replied.notify_waiters();
    }
}
