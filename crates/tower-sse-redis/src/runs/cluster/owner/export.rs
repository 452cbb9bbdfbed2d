use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use tokio::time::Instant;
use tower_sse::runs::__private::{Epoch, Phase, Record};
use tower_sse::runs::Outcome;

use super::plan::{Plan, Target};
use super::stored::StoredBatches;
use crate::runs::{
    cluster::timing::{
        ENDED_EXPORT, RETRY_DELAY, Timing, UNWATCHED_INTERVAL, UNWATCHED_TICK, next_tick,
    },
    seam::{
        Append, AppendReply, Batch, EndMode, EndReply, Failure, Keep, Overhead, Reply, RunId, Sync,
        SyncReply, Trim,
    },
};
use tower_sse_broker::tasks::without_panic;

/// The maximum size of a batch, unless it has a single event.
const MAX_BATCH: usize = 64 * 1024;
/// The maximum number of batches of one run in a pipeline.
const MAX_BATCHES: usize = 4;

/// The error of a run that made the exporter panic.
pub(super) const BROKEN: &str = "the export of the run panicked";

/// The state of one run's export: what the store has, and when the next command is due.
pub(crate) struct Export {
    pub(crate) record: Arc<Record>,
    /// The time of the run's next command.
    pub(super) due: Instant,
    /// When the owner next looks for the run's keys in the store.
    look_at: Instant,
    /// When the store's time for the run begins again, at the next look.
    extend_at: Instant,
    timing: Timing,
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
    /// The moment from which ticks count.
    pub(super) base: Instant,
    /// The number of the group of runs that look for their keys together.
    group: u64,
    pub(super) stored: StoredBatches,
    /// The memory in the store, apart from the batches, the run's head and its error.
    overhead: Overhead,
    /// The head's length, which is in the claim, and at both ends of the stream.
    head_len: usize,
    /// The bytes of this run that the queue's `live_bytes` includes.
    pub(super) counted: usize,
    /// The number of failures in a row.
    pub(super) failures: u8,
    /// Whether a reply to the last plan has failed.
    pub(crate) has_failed: bool,
    /// Whether the last reply was an error.
    is_failing: bool,
    /// The reason the run was given up, if it was. Its next command ends it in the store.
    pub(super) given_up: Option<&'static str>,
    /// Whether another run has the key in the store.
    pub(super) is_replaced: bool,
    /// When the store got the end of the run, or when the run was given up.
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

/// What a reply makes the exporter do to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The store has the end of the run.
    Ended,
    /// The run was ended elsewhere.
    Over(Outcome),
    /// Another process asks to stop the run, after an event with these lines unless they are empty.
    Stop(Bytes),
    /// The reason why the store cannot keep the run.
    Lost(&'static str),
}

impl Export {
    pub(crate) fn new(
        record: Arc<Record>,
        overhead: Overhead,
        timing: Timing,
        base: Instant,
        group: u64,
    ) -> Self {
        let now = Instant::now();
        let look_at = timing.first_look(now, base, group);
        Self {
            base,
            group,
            record,
            due: look_at,
            look_at,
            extend_at: now + timing.kept_for / 4,
            timing,
            connection: 0,
            exported: 0,
            entries: 0,
            head: Head::Missing,
            sync: SyncState::default(),
            has_more: false,
            watched_until: now,
            stored: StoredBatches::default(),
            overhead,
            head_len: 0,
            counted: 0,
            failures: 0,
            has_failed: false,
            is_failing: false,
            given_up: None,
            is_replaced: false,
            ended_at: None,
            #[cfg(test)]
            panics: 0,
        }
    }

    /// Changes the time of the next command, here and in the queue of all runs.
    pub(super) fn set_due(&mut self, queue: &mut BTreeSet<(Instant, Epoch)>, due: Instant) {
        queue.remove(&(self.due, self.record.epoch));
        self.due = due;
        queue.insert((due, self.record.epoch));
    }

    pub(crate) fn run(&self) -> RunId {
        RunId::of(&self.record)
    }

    /// Returns whether a client of another process watches the run.
    pub(super) fn is_watched(&self, now: Instant) -> bool {
        self.watched_until > now
    }

    /// Records that a client of another process watches the run. Returns whether this needs a `Sync`:
    /// the first one needs the events that were not pushed, and the store may have lost the end.
    pub(super) fn watch(&mut self, now: Instant, until: Instant) -> bool {
        let needs_sync = self.is_done() || !self.is_watched(now);
        if needs_sync {
            self.synchronize();
        }
        self.watched_until = until;
        self.record.attend_until(until);
        needs_sync
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

    /// Returns until when the run can be exported again if the store loses its end.
    pub(super) fn kept_until(&self) -> Option<Instant> {
        let is_unreachable = self.is_replaced || self.record.phase() == Phase::Void;
        self.ended_at.map(|at| if is_unreachable { at } else { at + ENDED_EXPORT })
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

    /// Returns whether the run is live in the store, according to the replies so far.
    pub(crate) const fn is_in_step(&self) -> bool {
        !self.is_done() && self.sync.is_in_step()
    }

    /// Makes the next command a `Sync`.
    pub(crate) const fn synchronize(&mut self) {
        self.sync.ask();
    }

    /// Adds the next commands of the run. After a panic, gives the run up, so that the exporter
    /// continues with the others.
    pub(super) fn plan(&mut self, plan: &mut Plan, connection: u64, now: Instant) {
        if self.given_up.is_none()
            && without_panic(|| self.plan_next(plan, connection, now)).is_none()
        {
            self.given_up = Some(BROKEN);
        }
        if self.given_up.is_some() {
            (self.has_failed, self.sync) = (false, SyncState::default());
            if !self.is_done() {
                plan.end(self.run(), EndMode::Lost);
            }
        }
    }

    fn plan_next(&mut self, plan: &mut Plan, connection: u64, now: Instant) {
        self.record.clear_mark();
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
        let has_ended = matches!(phase, Phase::Ended(outcome) if outcome != Outcome::Completed);
        let is_failed_call = has_ended && newest == 0;
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
                restores: self.sync.restores,
                is_watched: self.is_watched(now),
                head,
            });
            return;
        }
        if now >= self.look_at {
            let (has_stream, extends) = (self.entries > 0, now >= self.extend_at);
            plan.look(Keep { run: self.run(), has_stream, extends });
            if extends {
                self.extend_at = now + self.timing.kept_for / 4;
            }
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
        // This follows the end, which compares the number of entries.
        if let Some(keep_from) = self.stored.trim_from(self.record.retain_bytes()) {
            plan.trim(Trim { run: self.run(), keep_from });
        }
    }

    /// Adds the next batches.
    fn plan_batches(&mut self, plan: &mut Plan, newest: u64, now: Instant) {
        let pushes = self.is_watched(now);
        let (mut from, mut entries) = (self.exported, self.entries);
        for number in 0..MAX_BATCHES {
            if from >= newest || plan.is_full() {
                break;
            }
            let Some((first, last, bytes)) = self.record.next_batch(from, MAX_BATCH) else {
                break;
            };
            from = last;
            let batch = Batch { first, last, bytes };
            let added = 1 + u64::from(batch.is_large());
            plan.append(Append { run: self.run(), batch, follows: number > 0, entries, pushes });
            entries += added;
        }
        self.has_more = from < newest;
    }
}

/// The number of failures in a row after which a run, or its end, is given up.
const MAX_FAILURES: u8 = 3;

const DISPLACED: &str = "the store has given its key to another run";
const REFUSED: &str = "the store refuses the run";

/// How the replies to a run's commands change its export.
impl Export {
    /// Applies one reply. After a failed reply, ignores later replies, which are not reliable. But
    /// a reply to a trim still counts: entries are gone.
    pub(crate) fn apply(
        &mut self,
        target: &Target,
        result: Result<Reply, Failure>,
        connection: u64,
    ) -> Option<Effect> {
        if self.has_failed && !matches!(result, Ok(Reply::Trim { .. })) {
            return None;
        }
        self.is_failing = self.has_failed || result.is_err();
        match (target, result) {
            (_, Ok(Reply::Sync(reply))) => return self.synced(&reply, connection),
            (_, Ok(Reply::End(reply))) => return self.ended(&reply),
            (_, Ok(Reply::Kept(is_kept))) => {
                self.look_at = self.timing.next_look(Instant::now(), self.base);
                if !is_kept {
                    self.sync.need();
                }
            }
            (Target::Batch(_, last, len), Ok(Reply::Append(reply))) => {
                self.appended(reply, *last, *len);
            }
            (Target::Trim(_, keep_from), Ok(Reply::Trim { entries })) => {
                self.entries = self.entries.saturating_sub(entries);
                self.stored.trim(*keep_from);
            }
            (_, Err(Failure::Unavailable | Failure::WrongServer | Failure::NoScript)) => {
                self.has_failed = true;
            }
            (_, Err(Failure::Lost | Failure::Stopped)) => {
                self.has_failed = true;
                // It is unknown what the store has.
                self.connection = 0;
            }
            (_, Ok(_) | Err(Failure::Run | Failure::Version)) => return self.refuse(),
        }
        None
    }

    pub(crate) fn synced(&mut self, reply: &SyncReply, connection: u64) -> Option<Effect> {
        self.failures = 0;
        let is_new = self.connection != connection;
        if let SyncReply::Over { is_replaced, .. } = reply {
            // The message that it was can precede the reply to the claim.
            self.is_replaced |= is_replaced;
        }
        match reply {
            SyncReply::Over { outcome, newest, is_reported, .. } if !self.is_done() => {
                return Some(match self.over(*outcome, Some(*newest)) {
                    // Another process has taken this one for dead.
                    Effect::Over(_) if *is_reported => Effect::Over(Outcome::Interrupted),
                    effect => effect,
                });
            }
            SyncReply::Other if !self.is_done() => {
                self.is_replaced = true;
                return Some(Effect::Lost(DISPLACED));
            }
            _ => self.connection = connection,
        }
        match reply {
            &SyncReply::InStep { newest, entries, .. }
                if is_new && self.doubts(newest, entries) =>
            {
                self.sync.need_to_restore();
            }
            &SyncReply::InStep { newest, entries, ref stop } => {
                // The call may have answered since the `Sync` was sent.
                if self.head == Head::Sent {
                    self.head = Head::Stored;
                }
                self.exported = newest;
                self.entries = entries;
                self.sync.answered();
                // The store may have lost the newest batches, or all batches before it restored the
                // run.
                self.stored.truncate(newest);
                let now = Instant::now();
                self.look_at = self.timing.first_look(now, self.base, self.group);
                self.extend_at = now + self.timing.kept_for / 4;
                // If the store had the end of the run, it has lost it.
                self.ended_at = None;
                return stop.clone().map(Effect::Stop);
            }
            SyncReply::Behind | SyncReply::Gone
                if !self.is_done() || !self.record.is_forgotten() =>
            {
                self.sync.need_to_restore();
            }
            // The run has ended, and the store has its end or can no longer get it.
            _ => self.sync.answered(),
        }
        None
    }

    /// Returns whether the store may lack events before its newest one: a server with an older
    /// state may have executed a command whose reply is missing.
    const fn doubts(&self, newest: u64, entries: u64) -> bool {
        let is_as_acknowledged = newest == self.exported && entries == self.entries;
        self.entries > 0 && !self.sync.restores && newest >= self.exported && !is_as_acknowledged
    }

    fn appended(&mut self, reply: AppendReply, last: u64, len: usize) {
        self.failures = 0;
        match reply {
            AppendReply::Appended { entries } => {
                self.exported = last;
                self.entries += entries;
                self.stored.push(last, len);
            }
            AppendReply::Refused => self.sync.need(),
        }
    }

    /// Returns the effect of an end in the store, after the event `newest` if that is known.
    fn over(&self, outcome: Outcome, newest: Option<u64>) -> Effect {
        let (phase, own, _) = self.record.progress();
        let is_own = phase == Phase::Ended(outcome) && newest.is_none_or(|newest| newest == own);
        if is_own { Effect::Ended } else { Effect::Over(outcome) }
    }

    fn ended(&mut self, reply: &EndReply) -> Option<Effect> {
        self.failures = 0;
        if let Some(reason) = self.given_up {
            return Some(Effect::Lost(reason));
        }
        let is_void = self.record.phase() == Phase::Void;
        self.is_replaced |= is_void && matches!(reply, EndReply::Other { .. });
        let is_lost = match reply {
            EndReply::Over(outcome) => return Some(self.over(*outcome, None)),
            // The run that has the key can be an earlier one. A `Sync` finds out.
            EndReply::Other { .. } if !is_void => {
                self.sync.need();
                return None;
            }
            EndReply::Behind => true,
            EndReply::Gone => !is_void,
            _ => false,
        };
        if is_lost {
            self.sync.need_to_restore();
        }
        (!is_lost).then_some(Effect::Ended)
    }

    /// Records that a command failed for this run alone. After several failures, gives the run up
    /// and ends it in the store, unless the store refuses that too.
    fn refuse(&mut self) -> Option<Effect> {
        self.has_failed = true;
        self.failures = self.failures.saturating_add(1);
        self.sync.need();
        if self.failures < MAX_FAILURES {
            return None;
        }
        self.failures = 0;
        self.given_up.replace(REFUSED).map(Effect::Lost)
    }

    /// Stops the export of the run, because the store has the run's end or will never have it.
    pub(super) fn settle(&mut self, now: Instant) {
        self.ended_at = Some(now);
        self.sync.answered();
    }

    /// Returns whether the store lacks what it should have by now. A run with a new event is due at
    /// once, but waits for the reply to the previous commands.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.due + RETRY_DELAY <= now || self.is_failing && !self.has_confirmed_end()
    }

    /// Returns when the run needs its next command, once all replies have arrived.
    pub(super) fn next_due(&self, connection: u64, now: Instant) -> Instant {
        if self.has_failed && !self.has_confirmed_end() {
            return now + RETRY_DELAY;
        }
        if let Some(until) = self.kept_until() {
            return if self.has_confirmed_end() { until } else { now };
        }
        let (phase, newest, _) = self.record.progress();
        let is_in_step = self.connection == connection && self.is_in_step();
        match phase {
            Phase::Starting if is_in_step => self.look_at,
            Phase::Running if is_in_step && self.head == Head::Stored && !self.has_more => {
                let is_behind = newest > self.exported;
                let export_at = if is_behind { self.export_at(now) } else { self.look_at };
                export_at.min(self.look_at)
            }
            _ => now,
        }
    }
}

/// Whether the store's copy of a run is as its owner knows it, or needs a `Sync`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SyncState {
    /// Whether the next plan has a `Sync`, or the last plan had one. The reply settles the state.
    is_due: bool,
    /// Whether a `Sync` was requested since the last plan, so that an earlier reply is out of date.
    is_asked: bool,
    /// Whether the `Sync` creates lost keys again. Otherwise, it reports the loss.
    pub(crate) restores: bool,
}

impl SyncState {
    /// Requests a `Sync` for another reason than a reply to the last plan.
    pub(super) const fn ask(&mut self) {
        (self.is_due, self.is_asked) = (true, true);
    }

    /// Makes a `Sync` due, because of a reply.
    pub(super) const fn need(&mut self) {
        self.is_due = true;
    }

    /// Makes a restoring `Sync` due, because of a reply.
    pub(super) const fn need_to_restore(&mut self) {
        (self.is_due, self.restores) = (true, true);
    }

    /// Records that the run's next commands are planned.
    pub(super) const fn planned(&mut self) {
        self.is_asked = false;
    }

    /// Records a reply that says what the store has.
    pub(super) const fn answered(&mut self) {
        (self.is_due, self.restores) = (self.is_asked, false);
    }

    pub(crate) const fn is_in_step(self) -> bool {
        !self.is_due
    }
}
