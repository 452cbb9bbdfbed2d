use std::sync::{Arc, Weak};
use std::{mem, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};
use tower_sse::runs::__private::{Phase, Process, Record};
use tower_sse::runs::Outcome;

use super::exports::{Export, Exports};
use crate::runs::cluster::timing::{
    ENDED_EXPORT, RETRY_DELAY, Timing, UNWATCHED_INTERVAL, UNWATCHED_TICK, next_tick,
};
use crate::runs::seam::{
    Batch, ENTRY, End, EndMode, EndReply, Failure, RunId, Sync, SyncReply, spawn_on,
};
use crate::runs::store::Store;
use tower_sse_broker::tasks::caught;

/// The maximum size of a batch, unless it has a single event.
const MAX_BATCH: usize = 64 * 1024;
/// The number of failures in a row after which a run, or its end, is given up.
const MAX_FAILURES: u8 = 3;

const BROKEN: &str = "the export of the run panicked";
const DISPLACED: &str = "the store has given its key to another run";
const REFUSED: &str = "the store refuses the run";

/// Starts to export a run whose claim was acknowledged.
pub(crate) fn begin(
    record: &Arc<Record>,
    exports: &Arc<Exports>,
    process: &Arc<Process>,
    store: &Arc<Store>,
) {
    let exporter = Exporter {
        export: exports.add(record),
        exports: Arc::clone(exports),
        process: Arc::downgrade(process),
        store: Arc::clone(store),
        overhead: store.overhead(&record.key),
        exported: 0,
        entries: 0,
        has_head: false,
        restores: false,
        bytes: 0,
        head_len: 0,
        counted: 0,
    };
    spawn_on(&exports.runtime, exporter.run());
}

/// Exports one run, and knows what the store has of it.
struct Exporter {
    export: Arc<Export>,
    exports: Arc<Exports>,
    /// Weak, so that a process that nothing else uses ends although the store is away.
    process: Weak<Process>,
    store: Arc<Store>,
    /// The newest event in the store.
    exported: u64,
    /// The number of entries in the store.
    entries: u64,
    /// Whether the store has the head of the run's answer.
    has_head: bool,
    /// Whether the next `Sync` creates lost keys again. Otherwise, it reports the loss.
    restores: bool,
    /// The size of the batches in the store, at least approximately.
    bytes: u64,
    /// The memory in the store, apart from the entries, the run's head and its error.
    overhead: usize,
    /// The length of the head, which is in the claim, and at both ends of the stream.
    head_len: usize,
    /// The bytes of this run that the sum of all live runs includes.
    counted: usize,
}

impl Exporter {
    /// Exports the run until the store has its end, or will never have it.
    async fn run(mut self) {
        self.count();
        let mut failures = 0;
        loop {
            let reason = match caught(self.export(&mut failures)).await {
                Some(Ok(())) => break,
                // Nothing was changed.
                Some(Err(Failure::Unavailable | Failure::WrongServer | Failure::NoScript)) => {
                    self.pause().await;
                    continue;
                }
                Some(Err(Failure::Lost | Failure::Stopped)) => None,
                Some(Err(Failure::Run | Failure::Version)) => Some(REFUSED),
                None => Some(BROKEN),
            };
            {
                // It is unknown what the store has.
                let mut state = self.export.state();
                state.over = 0;
                state.ask();
            }
            failures += u8::from(reason.is_some());
            if let Some(reason) = reason.filter(|_| failures >= MAX_FAILURES) {
                self.give_up(reason).await;
                break;
            }
            self.pause().await;
        }
        self.exports.remove(&self.export);
    }

    /// Begins the run's stream, appends events, ends it, and restores what the store loses. Each
    /// success resets `failures`.
    async fn export(&mut self, failures: &mut u8) -> Result<(), Failure> {
        while let Some(over) = self.next().await {
            // Boxed to save memory, because most runs wait most of the time.
            Box::pin(self.advance(over)).await?;
            *failures = 0;
        }
        Ok(())
    }

    /// Waits until the store lacks something of the run, and returns the connection over which to
    /// send it. Returns `None` once the store has the end and the run cannot be exported again, or
    /// if the store is away and nothing else uses the process.
    async fn next(&self) -> Option<u64> {
        let (mut export_at, connection) = (None, self.store.connection());
        loop {
            if export_at.is_none() {
                // The run's task can mark the record for an event that has already been exported.
                // While the record is marked, the next event would go unnoticed.
                self.export.record.clear_mark();
            }
            let now = Instant::now();
            let due = self.due(now, &mut export_at)?;
            let is_due = due.is_some_and(|due| due <= now);
            {
                let mut state = self.export.state();
                state.late_at = is_due.then(|| state.late_at.unwrap_or(now + RETRY_DELAY));
            }
            match *connection.borrow() {
                Some(number) if is_due => return Some(number),
                None if is_due && self.process.strong_count() == 0 => return None,
                _ => {}
            }
            match due.filter(|_| !is_due) {
                Some(due) => _ = timeout_at(due, self.export.changed.notified()).await,
                None => self.export.changed.notified().await,
            }
        }
    }

    /// Returns when the store needs something of the run, or `Some(None)` if that depends on what
    /// becomes of the run. New events can wait until `export_at`, which is set with the first one.
    /// Returns `None` once the run can no longer be exported.
    fn due(&self, now: Instant, export_at: &mut Option<Instant>) -> Option<Option<Instant>> {
        let (phase, newest, _) = self.export.record.progress();
        let state = self.export.state();
        if let Some(at) = state.ended_at {
            let is_unreachable = state.is_replaced || phase == Phase::Void;
            let kept_until = if is_unreachable { at } else { at + ENDED_EXPORT };
            let due = if state.is_in_step() { kept_until } else { now };
            return (kept_until > now).then_some(Some(due));
        }
        Some(match phase {
            _ if !state.is_in_step() => Some(now),
            Phase::Starting => None,
            Phase::Running if self.has_head && newest <= self.exported => None,
            Phase::Running if self.has_head && !state.is_watched(now) => {
                let tick =
                    || next_tick(now + UNWATCHED_INTERVAL, self.exports.base, UNWATCHED_TICK);
                Some(*export_at.get_or_insert_with(tick))
            }
            _ => Some(now),
        })
    }

    /// Waits before the next attempt, unless something other than new events changes. With each
    /// new event, the attempt would push all events again that the store lacks.
    async fn pause(&self) {
        self.export.state().late_at = Some(Instant::now());
        if !self.export.record.set_mark() {
            // An event during the attempt has left a notification.
            _ = timeout(Duration::ZERO, self.export.changed.notified()).await;
        }
        _ = timeout(RETRY_DELAY, self.export.changed.notified()).await;
    }

    /// Gives the store what it lacks.
    async fn advance(&mut self, over: u64) -> Result<(), Failure> {
        #[cfg(test)]
        self.export.panic_if_broken();
        let (phase, newest, error) = self.export.record.progress();
        if phase == Phase::Void {
            return self.end(over, EndMode::Release).await;
        }
        let has_failed = matches!(phase, Phase::Ended(outcome) if outcome != Outcome::Completed);
        // A run that has failed without an event needs no head: only its end is exported.
        let begins = phase != Phase::Starting && !(has_failed && newest == 0);
        if !self.is_in_step(over) || begins && !self.has_head {
            return self.sync(over, begins || self.has_head).await;
        }
        self.append(over, newest).await?;
        let record = &self.export.record;
        let limit = record.retain_bytes() as u64;
        // The store keeps what this process keeps, and the newest batch: a stream without batches
        // has no newest event.
        if self.bytes > limit
            && let Some((oldest, ..)) = record.next_batch(0, 0)
        {
            let keep_from = oldest.min(self.exported);
            let trimmed = self.store.trim(over, &self.export.run(), keep_from).await?;
            self.entries = self.entries.saturating_sub(trimmed);
            // Less, so that not each batch that follows needs a command to trim.
            self.bytes = limit - limit / 8;
            self.count();
        }
        match phase {
            Phase::Ended(outcome) if self.exported == newest => {
                let entries = Some(self.entries);
                self.end(over, EndMode::Own { outcome, error, newest, entries }).await
            }
            // The process forgot the run before it had exported all events.
            Phase::Ended(_) if self.is_in_step(over) => self.end(over, EndMode::Release).await,
            _ => Ok(()),
        }
    }

    fn is_in_step(&self, over: u64) -> bool {
        let state = self.export.state();
        state.over == over && state.is_in_step()
    }

    /// Begins the stream, or learns what the store has of it.
    async fn sync(&mut self, over: u64, has_head: bool) -> Result<(), Failure> {
        let now = Instant::now();
        let (is_new, asked, is_watched) = {
            let state = self.export.state();
            (state.over != over, state.asked, state.is_watched(now))
        };
        let head = has_head.then(|| self.export.record.head());
        self.head_len = head.as_ref().map_or(self.head_len, Bytes::len);
        let entries = (!is_new).then_some(self.entries);
        let (run, restores) = (self.export.run(), self.restores);
        let sync = Sync { run, entries, restores, is_watched, head };
        let reply = self.store.sync(over, &sync).await?;
        let is_done = self.export.state().ended_at.is_some();
        match reply {
            SyncReply::Over { outcome, newest, is_replaced, is_reported } => {
                // The hint that another run has the key is lost if it precedes the reply to the
                // claim. The claim of that run can be gone again, but only a replacement leaves a
                // cancelled run unreported.
                let is_cancelled = outcome == Outcome::Cancelled && !is_reported;
                self.export.state().is_replaced |= is_replaced || is_cancelled;
                self.answered(over, asked);
                // Otherwise, the store has the end of the run, or can no longer get it.
                if !is_done {
                    self.end_as(outcome, Some(newest), is_reported).await;
                }
            }
            SyncReply::Other if !is_done => {
                self.export.state().is_replaced = true;
                self.answered(over, asked);
                self.lose(DISPLACED).await;
            }
            SyncReply::InStep { newest, entries, .. } if is_new && self.doubts(newest, entries) => {
                self.restore(over);
            }
            SyncReply::InStep { newest, entries, stop } => {
                // An estimate: the store may have lost the newest batches, or all batches before
                // the run was restored.
                self.bytes = self.bytes / self.entries.max(1) * entries.min(self.entries);
                (self.exported, self.entries, self.has_head) = (newest, entries, has_head);
                self.export.state().has_stream = entries > 0;
                if is_done {
                    // The store has lost the end of the run.
                    self.exports.revive(&self.export);
                }
                self.answered(over, asked);
                self.count();
                if let (Some(lines), Some(process)) = (stop, self.process.upgrade()) {
                    let lines = Some(&lines[..]).filter(|lines| !lines.is_empty());
                    process.cancel_record(&self.export.record, lines);
                }
            }
            SyncReply::Behind if !is_done || !self.export.record.is_forgotten() => {
                self.restore(over);
            }
            _ => self.answered(over, asked),
        }
        self.exports.notify_replied();
        Ok(())
    }

    /// Records the reply to a `Sync`. `asked` is how often a `Sync` had been asked for when this
    /// one was sent.
    fn answered(&mut self, over: u64, asked: u64) {
        self.restores = false;
        let mut state = self.export.state();
        (state.over, state.answered, state.answered_at) = (over, asked, Some(Instant::now()));
    }

    /// Lets the next `Sync` restore the run.
    fn restore(&mut self, over: u64) {
        self.restores = true;
        let mut state = self.export.state();
        state.over = over;
        state.ask();
    }

    /// Returns whether the store may lack events before its newest one: a server with an older
    /// state may have executed a command whose reply is missing.
    const fn doubts(&self, newest: u64, entries: u64) -> bool {
        let is_as_acknowledged = newest == self.exported && entries == self.entries;
        self.entries > 0 && !self.restores && newest >= self.exported && !is_as_acknowledged
    }

    /// Appends the events up to `newest`, unless the store refuses one or a `Sync` is due.
    async fn append(&mut self, over: u64, newest: u64) -> Result<(), Failure> {
        let run = self.export.run();
        while self.exported < newest && self.is_in_step(over) {
            let next = self.export.record.next_batch(self.exported, MAX_BATCH);
            let Some((first, last, bytes)) = next else { break };
            let batch = Batch { first, last, bytes };
            if !self.send_parts(over, &run, &batch).await? {
                break;
            }
            let pushes = self.export.state().is_watched(Instant::now());
            match self.store.append(over, &run, &batch, self.entries, pushes).await? {
                Some(entries) => {
                    self.exported = last;
                    self.entries += entries;
                    self.bytes += batch.bytes.len() as u64;
                    self.count();
                }
                None => self.export.state().ask(),
            }
        }
        Ok(())
    }

    /// Sends the parts of a batch that has parts. Returns whether the batch can then be appended.
    async fn send_parts(&self, over: u64, run: &RunId, batch: &Batch) -> Result<bool, Failure> {
        for part in batch.parts() {
            // A request to stop the run doesn't wait for the whole event.
            if !self.is_in_step(over) {
                return Ok(false);
            }
            if !self.store.add_part(over, run, part).await? {
                self.export.state().ask();
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn end(&mut self, over: u64, mode: EndMode) -> Result<(), Failure> {
        let is_void = self.export.record.phase() == Phase::Void;
        let end = End { run: self.export.run(), mode };
        match self.store.end(Some(over), end).await? {
            EndReply::Over(outcome) => self.end_as(outcome, None, false).await,
            // The run that has the key can be an earlier one. A `Sync` finds out.
            EndReply::Other if !is_void => self.export.state().ask(),
            EndReply::Behind => self.restore(over),
            EndReply::Gone if !is_void => self.restore(over),
            reply => {
                self.export.state().is_replaced |= reply == EndReply::Other;
                // The store keeps the run for the time that `lua/end.lua` sets.
                let Timing { lease, kept_for, .. } = self.exports.timing;
                self.settle(if reply == EndReply::Freed { lease * 2 } else { kept_for }).await;
            }
        }
        Ok(())
    }

    /// Ends the run as the store says that it has ended, after the event `newest` if that is known.
    async fn end_as(&mut self, outcome: Outcome, newest: Option<u64>, is_reported: bool) {
        let record = &self.export.record;
        let (phase, own, _) = record.progress();
        let is_own = phase == Phase::Ended(outcome) && newest.is_none_or(|newest| newest == own);
        match (outcome, self.process.upgrade()) {
            (Outcome::Cancelled, Some(process)) if !is_own && !is_reported => {
                // Another run has the key.
                process.cancel_record(record, None);
            }
            // Another process has ended the run: it has declared this process dead, and reports the
            // end.
            (_, Some(process)) if !is_own => process.fence(record),
            _ => {}
        }
        self.settle(self.exports.timing.kept_for).await;
    }

    /// Ends the run in the store, unless the store refuses that too, and then in this process.
    async fn give_up(&mut self, reason: &'static str) {
        let (connection, mut failures) = (self.store.connection(), 0);
        while failures < MAX_FAILURES && self.process.strong_count() > 0 {
            let up = *connection.borrow();
            let end = End { run: self.export.run(), mode: EndMode::Release };
            match caught(self.store.end(up, end)).await {
                Some(Ok(_)) => break,
                Some(Err(Failure::Run | Failure::Version)) | None => failures += 1,
                Some(Err(_)) => {}
            }
            self.pause().await;
        }
        self.lose(reason).await;
    }

    /// Ends the run here, because the store cannot keep it.
    async fn lose(&mut self, reason: &'static str) {
        self.process.upgrade().inspect(|process| process.lose(&self.export.record, reason));
        self.settle(self.exports.timing.kept_for).await;
    }

    /// Records that the store has the end of the run, or will never have it.
    async fn settle(&mut self, kept_for: Duration) {
        let now = Instant::now();
        self.export.state().ended_at = Some(now);
        let counted = mem::take(&mut self.counted);
        let is_replaced = self.exports.ended(&self.export, self.memory(), counted, now + kept_for);
        self.process.upgrade().inspect(|it| it.acknowledge_end(&self.export.record));
        self.exports.notify_replied();
        if is_replaced {
            _ = self.store.reported(&self.exports.id, &[self.export.run()]).await;
        }
    }

    /// Updates this run's part of the memory in the store.
    fn count(&mut self) {
        let memory = self.memory();
        self.exports.count(&mut self.counted, memory);
    }

    /// Returns the memory that the run needs in the store.
    fn memory(&self) -> usize {
        let error = self.export.record.progress().2;
        let texts = 3 * self.head_len + error.map_or(0, |error| error.len());
        self.overhead + texts + self.bytes as usize + ENTRY * self.entries as usize
    }
}
