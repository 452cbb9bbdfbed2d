use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::AcqRel},
    },
};

use tokio::time::Instant;

use super::{
    command::{Append, Batch, EndMode, Renew, Sync, Trim},
    head,
    lease::{Lease, Renewal},
    plan::Plan,
    run_id::RunId,
    timing::{UNWATCHED_INTERVAL, UNWATCHED_TICK, next_tick},
};
use crate::runs::{
    Outcome,
    record::{Phase, Record},
};

/// The maximum size of a batch, unless it has a single event.
const MAX_BATCH: usize = 64 * 1024;
/// The maximum number of batches of one run in a pipeline.
const MAX_BATCHES: usize = 4;

/// One run of this process, as the store has it.
pub(crate) struct Export {
    pub(crate) record: Arc<Record>,
    /// Whether the run is marked as changed since the last plan.
    pub(crate) is_marked: Arc<AtomicBool>,
    /// The time of its next command.
    pub(crate) due: Instant,
    pub(super) lease: Lease,
    /// The connection over which the state below was acknowledged, or 0.
    pub(super) connection: u64,
    /// The newest event in the store.
    pub(super) exported: u64,
    /// The number of entries in the store.
    pub(super) entries: u64,
    pub(super) has_begun: bool,
    /// Whether the last `Sync` had the head. The call may answer before the reply arrives.
    pub(super) has_sent_head: bool,
    pub(super) needs_sync: bool,
    /// Whether a `Sync` was asked for since the last plan: a reply to an earlier one is out of date.
    pub(super) is_outdated: bool,
    /// Whether the next `Sync` creates lost keys again.
    pub(super) restores: bool,
    /// Whether the last plan left events for the next one.
    pub(super) has_more: bool,
    pub(super) watched_until: Option<Instant>,
    /// The moment from which ticks are counted.
    pub(super) base: Instant,
    /// The sequence number and the size of each batch in the store, the oldest first.
    pub(super) stored: VecDeque<(u64, usize)>,
    pub(crate) stored_bytes: usize,
    pub(super) failures: u8,
    /// Until when the run can be exported again, once the store has its end.
    pub(crate) ended_until: Option<Instant>,
}

/// What follows from a reply, besides the state of the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    /// The store has the end of the run.
    Ended,
    /// The run was ended elsewhere.
    Over(Outcome),
    /// Another run has its key, because the store has lost its claim.
    Displaced,
    /// The store refuses all commands for this run.
    Refused,
}

impl Export {
    pub(crate) fn new(record: Arc<Record>, beat: std::time::Duration, base: Instant) -> Self {
        let now = Instant::now();
        record.set_exported(0);
        Self {
            base,
            record,
            is_marked: Arc::default(),
            due: now + beat,
            lease: Lease::new(now + beat),
            connection: 0,
            exported: 0,
            entries: 0,
            has_begun: false,
            has_sent_head: false,
            needs_sync: false,
            is_outdated: false,
            restores: false,
            has_more: false,
            watched_until: None,
            stored: VecDeque::new(),
            stored_bytes: 0,
            failures: 0,
            ended_until: None,
        }
    }

    pub(crate) fn run(&self) -> RunId {
        RunId::new(self.record.key.clone(), self.record.epoch)
    }

    /// Returns whether a client of another process watches the run.
    pub(super) fn is_watched(&self, now: Instant) -> bool {
        self.watched_until.is_some_and(|until| until > now)
    }

    /// Returns whether such a client watched it before the connection broke.
    pub(super) fn was_watched(&self) -> bool {
        self.watched_until.is_some_and(|until| until > self.lease.renew_at)
    }

    /// Returns when events that are new now are exported.
    pub(crate) fn export_at(&self, now: Instant) -> Instant {
        if self.is_watched(now) {
            now
        } else {
            next_tick(now + UNWATCHED_INTERVAL, self.base, UNWATCHED_TICK)
        }
    }

    /// Returns whether the store has the end of the run.
    pub(crate) const fn is_done(&self) -> bool {
        self.ended_until.is_some()
    }

    /// Returns whether the store had the end of the run when it was last asked.
    pub(crate) const fn has_confirmed_end(&self) -> bool {
        self.is_done() && !self.needs_sync && !self.restores
    }

    /// Returns whether the run is a live one in the store, as far as its owner was told.
    pub(crate) const fn is_in_step(&self) -> bool {
        !self.is_done() && !self.needs_sync && !self.restores
    }

    /// Makes the next command a `Sync`.
    pub(crate) const fn synchronize(&mut self) {
        self.needs_sync = true;
        self.is_outdated = true;
    }

    /// Adds the next commands of the run.
    pub(crate) fn plan(&mut self, plan: &mut Plan, connection: u64, now: Instant) {
        self.is_marked.swap(false, AcqRel);
        self.is_outdated = false;
        let (phase, newest, error) = self.record.progress();
        if phase == Phase::Void {
            plan.end(&self.record, EndMode::Void);
            return;
        }
        let is_new = self.connection != connection;
        if self.has_confirmed_end() && !is_new {
            return;
        }
        let begins = phase != Phase::Starting && !self.has_begun && !self.is_failed_call(phase);
        let needs_sync = is_new || self.restores || self.needs_sync || begins;
        if needs_sync {
            let sync = self.sync_command(is_new, phase, now);
            plan.sync(&self.record, sync);
            return;
        }
        if let Some(renewal) = self.lease.next(now) {
            let looks = renewal == Renewal::Look;
            plan.renew(Renew { run: self.run(), entries: looks.then_some(self.entries) });
        }
        self.plan_batches(plan, newest, now);
        if let Phase::Ended(outcome) = phase {
            if self.exported == newest {
                let entries = Some(self.entries);
                plan.end(&self.record, EndMode::Own { outcome, error, newest, entries });
            } else if self.record.next_batch(self.exported, 1).is_none() {
                // Memory forced the rest out before it was exported.
                plan.end(&self.record, EndMode::Lost);
            }
        }
    }

    /// Returns whether the run ended before its call answered.
    fn is_failed_call(&self, phase: Phase) -> bool {
        matches!(phase, Phase::Ended(_)) && self.record.newest() == 0
    }

    fn sync_command(&mut self, is_new: bool, phase: Phase, now: Instant) -> Sync {
        let has_head = phase != Phase::Starting && (self.has_begun || !self.is_failed_call(phase));
        self.has_sent_head = has_head;
        Sync {
            run: self.run(),
            entries: (!is_new).then_some(self.entries),
            restores: self.restores,
            pushes: self.is_watched(now),
            head: has_head.then(|| head::encode(self.record.options().as_ref())),
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
            plan.append(&self.record, Append { run: self.run(), batch, pushes });
        }
        self.has_more = from < newest;
        if let Some(keep_from) = self.trim_from() {
            plan.trim(&self.record, Trim { run: self.run(), keep_from });
        }
    }

    /// Returns the sequence number of the oldest event to keep, if the store has too many bytes.
    /// The newest two batches stay, because a stream without entries has no newest event.
    fn trim_from(&self) -> Option<u64> {
        let mut excess = self.stored_bytes.checked_sub(self.record.retain_bytes())?;
        let mut trimmed = None;
        for (last, len) in self.stored.iter().take(self.stored.len().saturating_sub(2)) {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(*len);
            trimmed = Some(last + 1);
        }
        trimmed
    }
}
