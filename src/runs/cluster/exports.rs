use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::AcqRel},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    export::{Effect, Export},
    plan::{Plan, Target},
    queue::{LostClaim, Queue, apply},
    reply::{Reply, StoreError},
    run_id::RunId,
    timing::{EARLY, ENDED_EXPORT, Timing},
};
use crate::{
    history::Epoch,
    runs::record::{Phase, Record},
};

/// The runs of this process that the store has or should have, and when each is due.
pub(crate) struct Exports {
    queue: Mutex<Queue>,
    beat: Duration,
    /// The moment from which ticks are counted, so that runs share them.
    base: Instant,
    /// Notified when a run becomes due earlier.
    changed: Notify,
    /// Notified when replies were applied.
    pub(crate) replied: Notify,
}

/// A run's mark, which its task sets for each event without a lock.
#[derive(Clone)]
pub(crate) struct Mark {
    is_set: Arc<AtomicBool>,
    epoch: Epoch,
}

/// What the exporter does to the run of a reply.
pub(crate) struct Consequence {
    pub(crate) record: Arc<Record>,
    pub(crate) effect: Effect,
}

impl Exports {
    /// Creates it with the interval of renewals, and the maximum size of an owner's ended runs.
    pub(crate) fn new(beat: Duration, max_per_owner: Option<usize>) -> Self {
        let queue = Mutex::new(Queue::new(max_per_owner));
        Self { queue, beat, base: Instant::now(), changed: Notify::new(), replied: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a run whose claim was acknowledged.
    pub(crate) fn add(&self, record: Arc<Record>) -> Mark {
        let export = Export::new(record, self.beat, self.base);
        let mark = Mark { is_set: Arc::clone(&export.is_marked), epoch: export.record.epoch };
        let mut queue = self.lock();
        queue.due.insert((export.due, mark.epoch));
        queue.exports.insert(mark.epoch, export);
        drop(queue);
        self.changed.notify_one();
        mark
    }

    /// Marks a run that has new events.
    #[inline]
    pub(crate) fn mark(&self, mark: &Mark) {
        if !mark.is_set.swap(true, AcqRel) {
            self.make_due(mark.epoch);
        }
    }

    /// Returns the mark of a run, for tests. Panics if the run is not of this process.
    #[cfg(test)]
    pub(crate) fn mark_of(&self, epoch: Epoch) -> Mark {
        let queue = self.lock();
        let export = queue.exports.get(&epoch).expect("a run of this process");
        Mark { is_set: Arc::clone(&export.is_marked), epoch }
    }

    /// Makes a run due whose events are not exported yet.
    fn make_due(&self, epoch: Epoch) {
        let now = Instant::now();
        if self.lock().hasten(epoch, |export| export.export_at(now)) {
            self.changed.notify_one();
        }
    }

    /// Makes runs due whose phase has changed.
    pub(crate) fn mark_all(&self, records: &[Arc<Record>]) {
        if records.is_empty() {
            return;
        }
        let mut queue = self.lock();
        let now = Instant::now();
        for record in records {
            queue.hasten(record.epoch, |_| now);
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// Makes a run due for a `Sync`.
    pub(crate) fn synchronize(&self, epoch: Epoch) {
        let mut queue = self.lock();
        if let Some(export) = queue.exports.get_mut(&epoch) {
            export.synchronize();
            let now = Instant::now();
            queue.hasten(epoch, |_| now);
            drop(queue);
            self.changed.notify_one();
        }
    }

    /// Makes all runs due for a `Sync`.
    pub(crate) fn synchronize_all(&self) {
        let now = Instant::now();
        let mut queue = self.lock();
        let epochs: Vec<_> = queue.exports.keys().copied().collect();
        for epoch in epochs {
            if let Some(export) = queue.exports.get_mut(&epoch) {
                export.synchronize();
            }
            queue.hasten(epoch, |_| now);
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
    pub(super) fn is_in_step(&self, epoch: Epoch) -> bool {
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

    /// Makes all runs due, because the connection is new. Those that are watched come first.
    pub(crate) fn reconnect(&self) {
        let now = Instant::now();
        let earlier = now.checked_sub(EARLY).unwrap_or(now);
        let mut queue = self.lock();
        let due = |export: &Export| if export.was_watched() { earlier } else { now };
        let all: Vec<_> = queue.exports.iter().map(|(epoch, of)| (*epoch, due(of))).collect();
        all.into_iter().for_each(|(epoch, due)| queue.set_due(epoch, due));
    }

    /// Returns when the next command is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let queue = self.lock();
        let claims = queue.lost_claims.values().map(|claim| claim.due);
        claims.chain(queue.due.first().map(|(due, _)| *due)).min()
    }

    /// Takes the commands that are due.
    pub(crate) fn plan(&self, connection: u64, max_memory: usize, retain: Duration) -> Plan {
        self.lock().plan(connection, (max_memory, retain), self.beat)
    }

    /// Applies the replies to a plan. Returns what follows for the runs.
    pub(crate) fn apply(
        &self,
        targets: Vec<Target>,
        results: Vec<Result<Reply, StoreError>>,
        connection: u64,
        timing: Timing,
    ) -> Vec<Consequence> {
        let now = Instant::now();
        let mut queue = self.lock();
        let mut failed = HashSet::new();
        let mut seen = Vec::with_capacity(targets.len());
        let mut consequences = Vec::new();
        for (target, result) in targets.into_iter().zip(results) {
            let epoch = match target {
                Target::Run(epoch) | Target::Batch(epoch, ..) | Target::Trim(epoch, _) => epoch,
                Target::Release(run) => {
                    queue.released(&run, &result, now);
                    continue;
                }
                Target::Forget => continue,
            };
            seen.push(epoch);
            let Some(export) = queue.exports.get_mut(&epoch) else { continue };
            let bytes_before = export.stored_bytes;
            let effect = if failed.contains(&epoch) {
                Effect::None
            } else {
                apply(export, &target, result, connection, timing, || failed.insert(epoch))
            };
            let bytes = export.stored_bytes;
            queue.live_bytes = (queue.live_bytes + bytes).saturating_sub(bytes_before);
            if effect == Effect::None {
                continue;
            }
            let Some(export) = queue.exports.get_mut(&epoch) else { continue };
            if export.ended_until.is_none() {
                let is_void = export.record.phase() == Phase::Void;
                let run = export.run();
                export.settle(if is_void { now } else { now + ENDED_EXPORT });
                let record = Arc::clone(&export.record);
                queue.live_bytes = queue.live_bytes.saturating_sub(bytes);
                queue.ended.add(run, bytes, now);
                consequences.push(Consequence { record, effect });
            }
        }
        seen.sort_unstable();
        seen.dedup();
        for epoch in seen {
            let Some(export) = queue.exports.get(&epoch) else { continue };
            // The mark of an event that was in the plan can come after it, and would hide the next one.
            export.is_marked.swap(false, AcqRel);
            export.record.set_exported(export.exported);
            let due = export.next_due(failed.contains(&epoch), connection, now);
            queue.set_due(epoch, due);
        }
        consequences
    }
}
