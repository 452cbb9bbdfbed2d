#[cfg(not(tower_sse_simulation))]
use std::collections::HashMap;
use std::{collections::BTreeSet, mem, sync::Arc};

use tokio::time::Instant;
use tower_sse::runs::__private::{Epoch, Options, Record};
#[cfg(tower_sse_simulation)]
use tower_sse::simulation::HashMap;

use super::export::{BROKEN, Effect, Export};
use super::plan::{Plan, Target};
use super::stored::StoredRuns;
use crate::runs::cluster::timing::{LATE_CLAIM, RETRY_DELAY, Timing};
use crate::runs::seam::{EndReply, Failure, Overhead, ProcessId, Reply, RunId};
use tower_sse_broker::tasks::without_panic;

/// The number of consecutive runs that look for their keys together.
const GROUP: u64 = 64;

/// When each run is due, and its export's state.
pub(super) struct Queue {
    pub(super) exports: HashMap<Epoch, Export>,
    pub(super) due: BTreeSet<(Instant, Epoch)>,
    /// Claims whose reply was lost. The store may still execute them.
    pub(super) lost_claims: HashMap<RunId, LostClaim>,
    /// The runs that this process lacks, although other processes take it for their owner, and when it
    /// first learned that.
    unknown: HashMap<RunId, Instant>,
    pub(super) ended: StoredRuns,
    /// The runs that were replaced, and whose end this process has reported since.
    pub(super) reports: Vec<RunId>,
    id: ProcessId,
    /// The number of runs that this process has begun.
    added: u64,
    /// The memory in the store of runs that have not ended there.
    live_bytes: usize,
    pub(super) timing: Timing,
    /// The moment from which ticks are counted, so that runs share them.
    base: Instant,
}

/// A claim whose reply was lost.
#[derive(Clone, Copy)]
pub(super) struct LostClaim {
    pub(super) lost_at: Instant,
    pub(super) due: Instant,
}

impl Queue {
    pub(super) fn new(id: ProcessId, timing: Timing) -> Self {
        Self {
            id,
            reports: Vec::new(),
            exports: HashMap::default(),
            due: BTreeSet::new(),
            lost_claims: HashMap::default(),
            unknown: HashMap::default(),
            ended: StoredRuns::default(),
            added: 0,
            live_bytes: 0,
            timing,
            base: Instant::now(),
        }
    }

    pub(super) fn add(&mut self, record: Arc<Record>, overhead: Overhead) {
        let epoch = record.epoch;
        let group = self.added / GROUP;
        let mut export = Export::new(record, overhead, self.timing, self.base, group);
        self.added += 1;
        count(&mut self.live_bytes, &mut export);
        self.due.insert((export.due, epoch));
        self.exports.insert(epoch, export);
    }

    /// Makes a run due at a time, unless it is due earlier. Returns whether it is now due first.
    pub(super) fn hasten(
        &mut self,
        epoch: Epoch,
        due: impl FnOnce(&mut Export) -> Instant,
    ) -> bool {
        let Some(export) = self.exports.get_mut(&epoch) else { return false };
        let due = due(export);
        if export.due <= due {
            return false;
        }
        let is_first = self.due.first().is_none_or(|(first, _)| *first > due);
        export.set_due(&mut self.due, due);
        is_first
    }

    /// Records that a client of another process watches a run. Returns whether a command is due now.
    ///
    /// If the store has returned to an earlier state, its claim can name a run that is over. This
    /// process releases such a claim, once it has lacked the run for a lease: the reply to a claim
    /// that it sent can take as long.
    pub(super) fn watched(&mut self, run: RunId) -> bool {
        let (now, Timing { lease, .. }) = (Instant::now(), self.timing);
        let until = now + self.timing.watch();
        if let Some(export) = self.exports.get_mut(&run.epoch).filter(|it| it.run() == run) {
            let is_due = export.watch(now, until);
            if is_due {
                export.set_due(&mut self.due, export.due.min(now));
            }
            return is_due;
        }
        self.unknown.retain(|_, since| now - *since < lease * 2);
        let is_over = now - *self.unknown.entry(run.clone()).or_insert(now) >= lease;
        if is_over {
            self.unknown.remove(&run);
            self.lost_claims.insert(run, LostClaim { lost_at: now, due: now });
        }
        is_over
    }

    /// Records that a run was replaced.
    pub(super) fn replaced(&mut self, epoch: Epoch) {
        if let Some(export) = self.exports.get_mut(&epoch) {
            export.is_replaced = true;
        }
        self.ended.replace(epoch, Instant::now() + self.timing.lease * 2);
    }

    /// Takes the commands that are due. Without replies, their runs are due again later.
    pub(super) fn plan(&mut self, connection: u64, options: &Options) -> Plan {
        let now = Instant::now();
        let mut plan = Plan::default();
        for (run, claim) in &self.lost_claims {
            if claim.due <= now && !plan.is_full() {
                plan.release(run.clone());
            }
        }
        for run in self.reports.drain(..) {
            plan.report(self.id.clone(), run);
        }
        self.ended.expire(now);
        while !plan.is_full()
            && let Some((run, mode)) = self.ended.evict(now, self.live_bytes, options.max_memory)
        {
            plan.delete(run, mode);
        }
        while !plan.is_full()
            && let Some(&(due, epoch)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            let Some(export) = self.exports.get_mut(&epoch) else { continue };
            if export.kept_until().is_some_and(|until| until <= now) {
                plan.forgotten.0.extend(self.exports.remove(&epoch).map(|export| export.record));
                continue;
            }
            export.plan(&mut plan, connection, now);
            // This time applies until the replies arrive.
            export.due = now + self.timing.check;
            self.due.insert((export.due, epoch));
        }
        plan
    }

    /// Applies the replies to a plan. Returns each run that the exporter must change, and how.
    pub(super) fn apply(
        &mut self,
        targets: Vec<Target>,
        results: Vec<Result<Reply, Failure>>,
        connection: u64,
    ) -> Vec<(Arc<Record>, Effect)> {
        let now = Instant::now();
        let mut effects = Vec::new();
        let mut seen = Vec::with_capacity(targets.len());
        for (target, result) in targets.into_iter().zip(results) {
            let epoch = match target {
                Target::Run(epoch) | Target::Batch(epoch, ..) | Target::Trim(epoch, _) => epoch,
                Target::Release(run) => {
                    self.released(&run, &result, now);
                    continue;
                }
                Target::Deleted => continue,
            };
            let Some(export) = self.exports.get_mut(&epoch) else { continue };
            seen.push(epoch);
            let was_done = export.is_done();
            let is_freed = matches!(result, Ok(Reply::End(EndReply::Freed)));
            let applied = without_panic(|| export.apply(&target, result, connection));
            if applied.is_none() {
                (export.given_up, export.has_failed) = (Some(BROKEN), true);
            }
            let effect = applied.flatten();
            if let Some(effect) = effect.filter(|_| !export.is_done()) {
                if !matches!(effect, Effect::Stop(_)) {
                    export.settle(now);
                    // The store keeps the run for the time that `lua/end.lua` sets.
                    let kept_for =
                        if is_freed { self.timing.lease * 2 } else { self.timing.kept_for };
                    self.ended.add(export.run(), export.memory(), now + kept_for);
                    // Before the next plan, the exporter applies the effect, which reports the end.
                    self.reports.extend(export.is_replaced.then(|| export.run()));
                }
                effects.push((Arc::clone(&export.record), effect));
            }
            if export.is_replaced {
                self.ended.replace(epoch, now + self.timing.lease * 2);
            }
            count(&mut self.live_bytes, export);
            // The store had the end of the run, and has lost it.
            if was_done && !export.is_done() {
                self.ended.remove(epoch);
            }
        }
        seen.sort_unstable();
        seen.dedup();
        for epoch in seen {
            let Some(export) = self.exports.get_mut(&epoch) else { continue };
            // The run's task can set the mark for an event that the plan has already taken. The
            // next event would then go unnoticed.
            export.record.clear_mark();
            let due = export.next_due(connection, now);
            export.set_due(&mut self.due, due);
        }
        effects
    }

    fn released(&mut self, run: &RunId, result: &Result<Reply, Failure>, now: Instant) {
        let Some(claim) = self.lost_claims.get_mut(run) else { return };
        let is_settled = match result {
            // The store may still execute the claim after this command.
            Ok(Reply::End(EndReply::Gone | EndReply::Other { .. })) => {
                now >= claim.lost_at + LATE_CLAIM
            }
            Ok(_) => true,
            Err(_) => false,
        };
        if !is_settled {
            claim.due = now + RETRY_DELAY;
            return;
        }
        self.lost_claims.remove(run);
        // The stream can have an end, which another process has added.
        if let Ok(Reply::End(reply @ (EndReply::Over(_) | EndReply::Other { .. }))) = result {
            self.ended.add(run.clone(), 0, now + self.timing.kept_for);
            if matches!(reply, EndReply::Other { .. }) {
                self.ended.replace(run.epoch, now + self.timing.lease * 2);
            }
        }
    }
}

/// Updates this run's part of `live_bytes`, which is zero once the run has ended in the store.
fn count(live_bytes: &mut usize, export: &mut Export) {
    let memory = if export.is_done() { 0 } else { export.memory() };
    *live_bytes = *live_bytes - mem::replace(&mut export.counted, memory) + memory;
}
