use std::time::Duration;

use tokio::time::Instant;

use super::{
    export::{Effect, Export},
    reply::{AppendReply, EndReply, RenewReply, SyncReply},
    timing::{RETRY_DELAY, Timing},
};
use crate::runs::record::Phase;

/// The number of failures in a row after which a run is given up.
const MAX_FAILURES: u8 = 3;

/// What the replies to its commands change.
impl Export {
    pub(crate) fn synced(&mut self, reply: &SyncReply, connection: u64, timing: Timing) -> Effect {
        let now = Instant::now();
        self.failures = 0;
        match *reply {
            SyncReply::InStep { newest, entries, .. }
                if self.doubts(newest, entries, connection) =>
            {
                self.connection = connection;
                self.restores = true;
                Effect::None
            }
            SyncReply::InStep { newest, entries, watched } => {
                self.has_begun = self.has_sent_head;
                self.connection = connection;
                self.exported = newest;
                self.entries = entries;
                self.needs_sync = self.is_outdated;
                if std::mem::take(&mut self.restores) {
                    self.stored.clear();
                    self.stored_bytes = 0;
                }
                self.lease.renewed(now, timing.beat);
                self.lease.looked();
                // The store has lost the end that it had.
                self.ended_until = None;
                self.set_watched(now, watched);
                Effect::None
            }
            SyncReply::Behind | SyncReply::Gone if self.is_done() && self.record.is_forgotten() => {
                self.connection = connection;
                self.needs_sync = self.is_outdated;
                Effect::None
            }
            SyncReply::Behind | SyncReply::Gone => {
                self.connection = connection;
                self.restores = true;
                Effect::None
            }
            SyncReply::Over(_) | SyncReply::Other if self.is_done() => {
                self.connection = connection;
                self.needs_sync = self.is_outdated;
                self.restores = false;
                Effect::None
            }
            SyncReply::Over(outcome) => Effect::Over(outcome),
            SyncReply::Other => Effect::Displaced,
        }
    }

    pub(crate) fn renewed(&mut self, reply: RenewReply, timing: Timing) {
        let now = Instant::now();
        match reply {
            RenewReply::Renewed { watched } => {
                self.lease.renewed(now, timing.beat);
                // Its first client elsewhere needs what was not pushed.
                self.needs_sync |= !watched.is_zero() && !self.is_watched(now);
                self.set_watched(now, watched);
            }
            RenewReply::Unsure => self.needs_sync = true,
        }
    }

    fn set_watched(&mut self, now: Instant, watched: Duration) {
        if !watched.is_zero() && !self.needs_sync {
            let until = now + watched;
            self.watched_until = Some(until);
            self.record.attend_until(until);
        }
    }

    /// Returns whether events may be missing in the store although later ones are there: a command
    /// whose reply is missing may have been executed by a server with an older state.
    const fn doubts(&self, newest: u64, entries: u64, connection: u64) -> bool {
        let is_first = self.connection != connection && self.entries > 0;
        let is_as_acknowledged = newest == self.exported && entries == self.entries;
        is_first && !self.restores && newest >= self.exported && !is_as_acknowledged
    }

    pub(crate) fn appended(&mut self, reply: AppendReply, last: u64, len: usize) {
        self.failures = 0;
        match reply {
            AppendReply::Appended { entries } => {
                self.exported = last;
                self.entries += entries;
                self.stored.push_back((last, len));
                self.stored_bytes += len;
            }
            AppendReply::Refused => self.needs_sync = true,
        }
    }

    pub(crate) fn trimmed(&mut self, entries: u64, keep_from: u64) {
        self.entries = self.entries.saturating_sub(entries);
        while let Some(&(last, len)) = self.stored.front()
            && last < keep_from
        {
            self.stored.pop_front();
            self.stored_bytes -= len;
        }
    }

    pub(crate) fn ended(&mut self, reply: &EndReply) -> Effect {
        self.failures = 0;
        match reply {
            EndReply::Behind => {
                self.restores = true;
                Effect::None
            }
            EndReply::Gone if self.record.phase() != Phase::Void => {
                self.restores = true;
                Effect::None
            }
            _ => Effect::Ended,
        }
    }

    /// Records that a command failed for this run alone.
    pub(crate) const fn refuse(&mut self) -> Effect {
        self.failures = self.failures.saturating_add(1);
        self.needs_sync = true;
        if self.failures >= MAX_FAILURES { Effect::Refused } else { Effect::None }
    }

    /// Lets the run be, because the store has its end or will never have it.
    pub(crate) fn settle(&mut self, until: Instant) {
        self.ended_until = Some(until);
        self.needs_sync = self.is_outdated;
        self.restores = false;
        self.stored_bytes = 0;
        self.stored.clear();
    }

    /// Records that a reply is missing: what the store has is unknown.
    pub(crate) const fn forget_connection(&mut self) {
        self.connection = 0;
    }

    /// Returns when the run needs its next command, after all replies to the last ones.
    pub(crate) fn next_due(&self, has_failed: bool, connection: u64, now: Instant) -> Instant {
        if has_failed && !self.has_confirmed_end() {
            return now + RETRY_DELAY;
        }
        if let Some(until) = self.ended_until {
            return if self.restores || self.needs_sync { now } else { until };
        }
        let (phase, newest, _) = self.record.progress();
        let is_out_of_step = self.connection != connection || self.restores || self.needs_sync;
        let begins = phase != Phase::Starting && !self.has_begun;
        match phase {
            Phase::Starting | Phase::Running if is_out_of_step || begins => now,
            Phase::Running if self.has_more => now,
            Phase::Running if newest > self.exported => {
                self.lease.renew_at.min(self.export_at(now))
            }
            Phase::Starting | Phase::Running => self.lease.renew_at,
            Phase::Void | Phase::Ended(_) => now,
        }
    }
}
