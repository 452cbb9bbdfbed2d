use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;
use tower_sse::runs::{
    Outcome,
    support::{Epoch, Mark, Phase, Record, without_panic},
};

use super::{lease::Lease, plan::Plan, stored_batches::StoredBatches, sync_state::SyncState};
use crate::runs::{
    cluster::timing::{ENDED_EXPORT, UNWATCHED_INTERVAL, UNWATCHED_TICK, next_tick},
    seam::{
        command::{Append, Batch, EndMode, Renew, Sync, Trim},
        run_id::RunId,
        store::Overhead,
    },
};

/// The maximum size of a batch, unless it has a single event.
const MAX_BATCH: usize = 64 * 1024;
/// The maximum number of batches of one run in a pipeline.
const MAX_BATCHES: usize = 4;

/// The error of a run whose plan, or whose replies, made the exporter panic.
pub(super) const BROKEN: &str = "the export of the run panicked";

/// The state of one run's export: what the store has of the run, and when it needs its next
/// command.
pub(crate) struct Export {
    pub(crate) record: Arc<Record>,
    pub(super) mark: Mark,
    /// The time of the run's next command.
    pub(super) due: Instant,
    pub(super) lease: Lease,
    /// The connection over which the state below was acknowledged, or 0.
    pub(super) connection: u64,
    /// The newest event in the store.
    pub(super) exported: u64,
    /// The number of entries in the store.
    pub(super) entries: u64,
    pub(super) head: Head,
    pub(crate) sync: SyncState,
    /// Whether the last plan left events for the next one.
    pub(super) has_more: bool,
    /// Until when a client of another process watches the run.
    pub(super) watched_until: Instant,
    /// The moment from which ticks are counted.
    pub(super) base: Instant,
    pub(super) stored: StoredBatches,
    /// The memory in the store besides the batches, and besides what the run's head and error need.
    overhead: Overhead,
    /// The length of the head, which is in the claim, and at the stream's beginning and end.
    head_len: usize,
    /// The bytes of this run that the queue's `live_bytes` includes.
    pub(super) counted: usize,
    /// The number of failures in a row.
    pub(super) failures: u8,
    /// Whether a reply to the last plan has failed.
    pub(crate) has_failed: bool,
    /// The reason for which the run is given up, if it is. Its next command ends it in the store.
    pub(super) given_up: Option<&'static str>,
    /// Whether another run has the key in the store.
    pub(super) is_replaced: bool,
    /// The time at which the store got the end of the run, or at which the run was given up.
    pub(super) ended_at: Option<Instant>,
    #[cfg(test)]
    pub(super) panics: usize,
}

/// Whether the store has the head of the run's answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    Missing,
    /// The last `Sync` had it.
    Sent,
    Stored,
}

/// What the exporter does to a run because of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The store has the end of the run.
    Ended,
    /// The run was ended elsewhere, after this event if there is one.
    Over(Outcome, Option<Batch>),
    /// The store does not keep the run, for this reason.
    Lost(&'static str),
}

impl Export {
    pub(crate) fn new(
        record: Arc<Record>,
        overhead: Overhead,
        beat: Duration,
        base: Instant,
    ) -> Self {
        let now = Instant::now();
        Self {
            base,
            mark: Mark::new(record.epoch),
            record,
            due: now + beat,
            lease: Lease::new(now + beat),
            connection: 0,
            exported: 0,
            entries: 0,
            head: Head::Missing,
            sync: SyncState::InStep,
            has_more: false,
            watched_until: now,
            stored: StoredBatches::default(),
            overhead,
            head_len: 0,
            counted: 0,
            failures: 0,
            has_failed: false,
            given_up: None,
            is_replaced: false,
            ended_at: None,
            #[cfg(test)]
            panics: 0,
        }
    }

    /// Changes the time of the next command, here and in the queue of all runs.
    pub(super) fn set_due(&mut self, queue: &mut BTreeSet<(Instant, Epoch)>, due: Instant) {
        queue.remove(&(self.due, self.mark.epoch));
        self.due = due;
        queue.insert((due, self.mark.epoch));
    }

    pub(crate) fn run(&self) -> RunId {
        RunId::of(&self.record)
    }

    /// Returns whether a client of another process watches the run.
    pub(super) fn is_watched(&self, now: Instant) -> bool {
        self.watched_until > now
    }

    /// Returns whether a client of another process watched the run before the connection broke.
    pub(super) fn was_watched(&self) -> bool {
        self.watched_until > self.lease.renew_at
    }

    /// Returns the time at which to export events that are recorded at `now`.
    pub(crate) fn export_at(&self, now: Instant) -> Instant {
        if self.is_watched(now) {
            now
        } else {
            next_tick(now + UNWATCHED_INTERVAL, self.base, UNWATCHED_TICK)
        }
    }

    /// Returns whether the store has the end of the run.
    pub(super) const fn is_done(&self) -> bool {
        self.ended_at.is_some()
    }

    /// Returns the time until which the run can be exported again if the store loses the run's end.
    pub(super) fn kept_until(&self) -> Option<Instant> {
        let is_unreachable = self.is_void() || self.is_replaced;
        self.ended_at.map(|at| if is_unreachable { at } else { at + ENDED_EXPORT })
    }

    /// Returns whether the call did not return an event stream.
    pub(super) fn is_void(&self) -> bool {
        self.record.phase() == Phase::Void
    }

    /// Returns the memory that the run needs in the store.
    pub(super) fn memory(&self) -> usize {
        let Overhead { claim, stream, batch } = self.overhead;
        let (phase, _, error) = self.record.progress();
        if phase == Phase::Void {
            return claim;
        }
        let texts = 3 * self.head_len + error.map_or(0, |error| error.len());
        claim + stream + texts + self.stored.memory(batch)
    }

    /// Returns whether the store had the end of the run when it was last asked.
    pub(crate) const fn has_confirmed_end(&self) -> bool {
        self.is_done() && self.sync.is_in_step()
    }

    /// Returns whether the run is live in the store, according to the replies that its owner has
    /// received.
    pub(crate) const fn is_in_step(&self) -> bool {
        !self.is_done() && self.sync.is_in_step()
    }

    /// Makes the next command a `Sync`.
    pub(crate) const fn synchronize(&mut self) {
        self.sync.ask();
    }

    /// Adds the next commands of the run. If that panics, gives the run up, so that the exporter
    /// continues with the other runs.
    pub(super) fn plan(&mut self, plan: &mut Plan, connection: u64, now: Instant) {
        if self.given_up.is_none()
            && without_panic(|| self.plan_next(plan, connection, now)).is_none()
        {
            self.given_up = Some(BROKEN);
        }
        if self.given_up.is_some() {
            (self.has_failed, self.sync) = (false, SyncState::InStep);
            if !self.is_done() {
                plan.end(self.run(), EndMode::Lost);
            }
        }
    }

    fn plan_next(&mut self, plan: &mut Plan, connection: u64, now: Instant) {
        self.mark.clear();
        self.sync.planned();
        self.has_failed = false;
        #[cfg(test)]
        if self.panics > 0 {
            self.panics -= 1;
            panic!("the plan panics");
        }
        let (phase, newest, error) = self.record.progress();
        if phase == Phase::Void {
            plan.end(self.run(), EndMode::Void);
            return;
        }
        let is_new = self.connection != connection;
        if self.has_confirmed_end() && !is_new {
            return;
        }
        let is_failed_call = matches!(phase, Phase::Ended(_)) && newest == 0;
        let is_stored = self.head == Head::Stored;
        let has_head = phase != Phase::Starting && (is_stored || !is_failed_call);
        if is_new || !self.sync.is_in_step() || has_head && !is_stored {
            if !is_stored {
                self.head = if has_head { Head::Sent } else { Head::Missing };
            }
            let head = has_head.then(|| self.record.head());
            self.head_len = head.as_ref().map_or(self.head_len, Bytes::len);
            plan.sync(Sync {
                run: self.run(),
                entries: (!is_new).then_some(self.entries),
                restores: self.sync.restores(),
                pushes: self.is_watched(now),
                head,
            });
            return;
        }
        if now >= self.lease.renew_at {
            let entries = self.lease.looks().then_some(self.entries);
            plan.renew(Renew { run: self.run(), entries });
        }
        self.plan_batches(plan, newest, now);
        if let Phase::Ended(outcome) = phase {
            if self.exported == newest {
                let entries = Some(self.entries);
                plan.end(self.run(), EndMode::Own { outcome, error, newest, entries });
            } else if self.record.next_batch(self.exported, 1).is_none() {
                // The process forgot the run before it had exported all events.
                plan.end(self.run(), EndMode::Lost);
            }
        }
    }

    /// Adds the next batches.
    fn plan_batches(&mut self, plan: &mut Plan, newest: u64, now: Instant) {
        let pushes = self.is_watched(now);
        let mut from = self.exported;
        for _ in 0..MAX_BATCHES {
            if from >= newest || plan.is_full() {
                break;
            }
            let Some((first, last, bytes)) = self.record.next_batch(from, MAX_BATCH) else {
                break;
            };
            from = last;
            let batch = Batch { first, last, bytes };
            plan.append(Append { run: self.run(), batch, pushes });
        }
        self.has_more = from < newest;
        if let Some(keep_from) = self.stored.trim_from(self.record.retain_bytes()) {
            plan.trim(Trim { run: self.run(), keep_from });
        }
    }
}
