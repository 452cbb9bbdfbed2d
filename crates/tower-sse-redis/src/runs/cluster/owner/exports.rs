use std::sync::{Arc, Mutex, MutexGuard};

use tokio::{sync::Notify, time::Instant};
use tower_sse::runs::support::{Epoch, Mark, Options, Record, lock};

use super::export::{Effect, Export};
use super::plan::{Plan, Target};
use super::queue::{LostClaim, Queue};
use crate::runs::cluster::timing::{EARLY, Timing};
use crate::runs::seam::{Failure, Overhead, Reply, RunId};

/// The runs of this process that the store has or should have, and when each is due.
pub(crate) struct Exports {
    queue: Mutex<Queue>,
    /// Notified when a run becomes due earlier.
    changed: Notify,
    /// Notified when replies were applied.
    pub(crate) replied: Notify,
}

impl Exports {
    pub(crate) fn new(timing: Timing, options: &Options) -> Self {
        let queue = Mutex::new(Queue::new(timing, options));
        Self { queue, changed: Notify::new(), replied: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// Adds a run whose claim was acknowledged, with the memory that the store needs for it.
    pub(crate) fn add(&self, record: Arc<Record>, overhead: Overhead) -> Mark {
        let mark = self.lock().add(record, overhead);
        self.changed.notify_one();
        mark
    }

    /// Makes the next thousand plans of a run panic, for tests.
    #[cfg(test)]
    pub(crate) fn break_plans(&self, epoch: Epoch) {
        if let Some(export) = self.lock().exports.get_mut(&epoch) {
            export.panics = 1_000;
        }
    }

    /// Makes a run due whose events are not exported yet.
    pub(crate) fn make_due(&self, epoch: Epoch) {
        let now = Instant::now();
        if self.lock().hasten(epoch, |export| export.export_at(now)) {
            self.changed.notify_one();
        }
    }

    /// Makes runs due whose phase has changed.
    pub(crate) fn mark_all(&self, records: &[Arc<Record>]) {
        if !records.is_empty() {
            self.hasten_all(records.iter().map(|record| record.epoch), |_| {});
        }
    }

    /// Makes a run due for a `Sync`.
    pub(crate) fn synchronize(&self, epoch: Epoch) {
        self.hasten_all([epoch], Export::synchronize);
    }

    /// Records that another run has the key of a run of this process in the store.
    pub(crate) fn replaced(&self, epoch: Epoch) {
        self.lock().replaced(epoch);
        self.synchronize(epoch);
    }

    /// Makes all runs due for a `Sync`.
    pub(crate) fn synchronize_all(&self) {
        let epochs: Vec<_> = self.lock().exports.keys().copied().collect();
        self.hasten_all(epochs, Export::synchronize);
    }

    /// Changes runs, and makes them due.
    fn hasten_all(&self, epochs: impl IntoIterator<Item = Epoch>, change: impl Fn(&mut Export)) {
        let now = Instant::now();
        let mut queue = self.lock();
        for epoch in epochs {
            queue.hasten(epoch, |export| {
                change(export);
                now
            });
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// Remembers a claim that the store may have, although no run of this process has it.
    pub(crate) fn lose_claim(&self, run: RunId) {
        let now = Instant::now();
        self.lock().lost_claims.insert(run, LostClaim { lost_at: now, due: now });
        self.changed.notify_one();
    }

    /// Returns the record of a run of this process whose export has not been given up.
    pub(crate) fn record(&self, run: &RunId) -> Option<Arc<Record>> {
        let queue = self.lock();
        let export = queue.exports.get(&run.epoch)?;
        (export.record.key == run.key).then(|| Arc::clone(&export.record))
    }

    /// Returns whether the store has the end of a run, or will never have it.
    pub(crate) fn has_ended(&self, epoch: Epoch) -> bool {
        self.lock().exports.get(&epoch).is_none_or(Export::has_confirmed_end)
    }

    /// Returns whether a run is a live one in the store, according to a `Sync` that was sent after
    /// the last call of [`synchronize`](Self::synchronize).
    pub(crate) fn is_in_step(&self, epoch: Epoch) -> bool {
        self.lock().exports.get(&epoch).is_some_and(Export::is_in_step)
    }

    /// Returns the number of runs whose export is overdue.
    pub(crate) fn waiting(&self) -> usize {
        let now = Instant::now();
        self.lock().due.iter().take_while(|(due, _)| *due <= now).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        let queue = self.lock();
        queue.exports.is_empty() && queue.lost_claims.is_empty()
    }

    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Makes all runs due, because the connection is new. Runs that are watched become due first.
    pub(crate) fn reconnect(&self) {
        let now = Instant::now();
        let earlier = now.checked_sub(EARLY).unwrap_or(now);
        let Queue { exports, due, .. } = &mut *self.lock();
        for export in exports.values_mut() {
            export.set_due(due, if export.was_watched() { earlier } else { now });
        }
    }

    /// Returns when the next command is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let queue = self.lock();
        let claims = queue.lost_claims.values().map(|claim| claim.due);
        let run = queue.due.first().map(|(due, _)| *due);
        claims.chain(run).chain(queue.ended.next_due()).min()
    }

    /// Takes the commands that are due.
    pub(crate) fn plan(&self, connection: u64, options: &Options) -> Plan {
        self.lock().plan(connection, options)
    }

    /// Applies the replies to a plan. Returns the runs that the exporter has to change, each with
    /// the effect.
    pub(crate) fn apply(
        &self,
        targets: Vec<Target>,
        results: Vec<Result<Reply, Failure>>,
        connection: u64,
    ) -> Vec<(Arc<Record>, Effect)> {
        self.lock().apply(targets, results, connection)
    }
}
