//! What the owner of runs does for all of them together.

use std::sync::{Arc, Weak};

use tokio::time::{Instant, sleep, timeout_at};
use tower_sse::runs::__private::Process;

use super::exports::{Export, Exports};
use crate::runs::cluster::timing::{LATE_CLAIM, RETRY_DELAY};
use crate::runs::seam::{Connection, End, EndMode, EndReply, ExpectedKeys, Failure, LIVE, RunId};
use crate::runs::store::Store;
use tower_sse_broker::tasks::caught;

/// The number of consecutive runs that look for their keys together.
const GROUP: u64 = 64;
/// The number of ticks in a lease. At each, some of the groups look for their keys.
const TICKS: u32 = 16;
/// The number of ticks after which a group looks again: less than a lease.
const PERIOD: u64 = 15;
/// The number of ticks between the looks of two consecutive groups.
const SPREAD: u64 = 7;
/// The maximum number of runs or ends in one call.
const MAX_RUNS: usize = 512;

/// Looks for the keys of runs, releases lost claims and deletes ended runs, until the [`Process`]
/// is dropped. After a panic, starts again, but only after a delay: repeated panics would occupy a
/// processor.
pub(crate) async fn supervise(process: Weak<Process>, exports: Arc<Exports>, store: Arc<Store>) {
    let mut keeper = Keeper { exports, store, tick: 0 };
    while caught(keeper.run(&process)).await.is_none() {
        sleep(RETRY_DELAY).await;
    }
}

struct Keeper {
    exports: Arc<Exports>,
    store: Arc<Store>,
    /// The number of the next tick.
    tick: u64,
}

impl Keeper {
    async fn run(&mut self, process: &Weak<Process>) {
        let connection = self.store.connection();
        loop {
            // Lost claims keep the `Process` alive, as producers do.
            let Some(process) = process.upgrade() else { return };
            let up = match *connection.borrow() {
                Connection::Up(number) => Some(number),
                Connection::Down => None,
            };
            if let Some(over) = up {
                self.release(over).await;
                self.delete(over).await;
                self.look(over).await;
            }
            let process = Some(process).filter(|_| !self.exports.lock().lost_claims.is_empty());
            match self.next_due().filter(|_| up.is_some()) {
                Some(due) => _ = timeout_at(due, self.exports.changed.notified()).await,
                None => self.exports.changed.notified().await,
            }
            drop(process);
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let state = self.exports.lock();
        let claims = state.lost_claims.values().map(|claim| claim.due);
        let look = (!state.runs.is_empty()).then(|| self.tick_at(self.tick));
        claims.chain(look).chain(state.ended.next_due()).min()
    }

    fn tick_at(&self, tick: u64) -> Instant {
        let ticks = u32::try_from(tick).unwrap_or(u32::MAX);
        self.exports.base + self.exports.timing.lease / TICKS * ticks
    }

    /// Releases the lost claims that are due.
    async fn release(&self, over: u64) {
        let now = Instant::now();
        let ends: Vec<_> = {
            let state = self.exports.lock();
            let due = state.lost_claims.iter().filter(|(_, claim)| claim.due <= now);
            let end = |run: &RunId| End { run: run.clone(), mode: EndMode::Release };
            due.map(|(run, _)| end(run)).take(MAX_RUNS).collect()
        };
        let replies = self.store.end_all(Some(over), &ends).await;
        for (end, reply) in ends.into_iter().zip(replies) {
            self.released(end.run, &reply);
        }
        self.exports.replied.notify_waiters();
    }

    fn released(&self, run: RunId, reply: &Result<EndReply, Failure>) {
        let now = Instant::now();
        let mut state = self.exports.lock();
        let Some(claim) = state.lost_claims.get_mut(&run) else { return };
        let is_settled = match reply {
            // The store may still execute the claim after this command.
            Ok(EndReply::Gone | EndReply::Other { .. }) => now >= claim.lost_at + LATE_CLAIM,
            Ok(_) => true,
            Err(_) => false,
        };
        if !is_settled {
            claim.due = now + RETRY_DELAY;
            return;
        }
        state.lost_claims.remove(&run);
        // The stream can have an end, which another process has added.
        if let Ok(EndReply::Over(_) | EndReply::Other { .. }) = reply {
            let (epoch, timing) = (run.epoch, self.exports.timing);
            state.ended.add(run, 0, now + timing.kept_for);
            if matches!(reply, Ok(EndReply::Other { .. })) {
                state.ended.replace(epoch, now + timing.lease * 2);
            }
        }
    }

    /// Deletes the runs that have ended and for which there is no room, and those that were replaced.
    async fn delete(&self, over: u64) {
        loop {
            let ends = self.exports.evict(MAX_RUNS);
            if ends.is_empty() {
                return;
            }
            // A run that is not deleted expires.
            self.store.end_all(Some(over), &ends).await;
        }
    }

    /// Looks for the keys of the runs whose ticks have come. If one is missing, the run is
    /// synchronized.
    async fn look(&mut self, over: u64) {
        let tick = self.exports.timing.lease / TICKS;
        let passed = self.exports.base.elapsed().as_nanos() / tick.as_nanos();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let first = self.tick.max(passed.saturating_sub(PERIOD));
        for tick in first..=passed {
            let due = self.due(tick, over);
            for due in due.chunks(MAX_RUNS) {
                let keys: Vec<_> = due.iter().map(|(_, keys)| keys.clone()).collect();
                let found = match self.store.have_keys(over, &keys).await {
                    Ok(found) => found,
                    Err(Failure::Unavailable | Failure::WrongServer) => continue,
                    Err(_) => vec![false; due.len()],
                };
                let lost = due.iter().zip(found).filter(|(_, is_found)| !is_found);
                lost.for_each(|((export, _), _)| export.synchronize());
            }
        }
        self.tick = self.tick.max(passed + 1);
    }

    /// Returns the runs that look for their keys at a tick, except those that synchronize instead.
    fn due(&self, tick: u64, over: u64) -> Vec<(Arc<Export>, ExpectedKeys)> {
        let timing = self.exports.timing;
        // The number of looks after which a run sends a `Sync`, so that the store keeps its keys.
        let looks = LIVE.as_nanos() / 2 / (timing.lease / TICKS * PERIOD as u32).as_nanos();
        let looks = u64::try_from(looks).unwrap_or(u64::MAX).max(1);
        let state = self.exports.lock();
        // The groups take turns in a number of ticks that has no common factor with the period, so the
        // looks of all groups are spread evenly.
        let first = |export: &Arc<Export>| export.number / GROUP * SPREAD % PERIOD;
        let due = state.runs.values().filter(|export| tick % PERIOD == first(export));
        let keys = |export: &Arc<Export>| {
            let its = export.state();
            if !its.is_in_step() || its.ended_at.is_some() {
                return None;
            }
            let extends = (tick / PERIOD + export.number / GROUP) % looks == looks - 1;
            if extends || its.over != over {
                drop(its);
                export.synchronize();
                return None;
            }
            let keys = ExpectedKeys { run: export.run(), has_stream: its.has_stream };
            Some((Arc::clone(export), keys))
        };
        due.filter_map(keys).collect()
    }
}
