use std::time::Duration;

use tokio::time::Instant;
use tower_sse::runs::support::Phase;

use super::{
    export::{Effect, Export, Head},
    plan::Target,
};
use crate::runs::{
    cluster::timing::RETRY_DELAY,
    seam::reply::{AppendReply, EndReply, Failure, RenewReply, Reply, SyncReply},
};

/// The number of failures in a row after which a run is given up, or its end.
const MAX_FAILURES: u8 = 3;

const DISPLACED: &str = "the store has given its key to another run";
const REFUSED: &str = "the store refuses the run";

/// How the replies to a run's commands change its export.
impl Export {
    /// Applies one reply. Ignores the replies after one that failed, because they say nothing
    /// reliable.
    pub(crate) fn apply(
        &mut self,
        target: &Target,
        result: Result<Reply, Failure>,
        connection: u64,
        beat: Duration,
    ) -> Option<Effect> {
        if self.has_failed {
            return None;
        }
        match (target, result) {
            (_, Ok(Reply::Sync(reply))) => return self.synced(&reply, connection, beat),
            (_, Ok(Reply::End(reply))) => return self.ended(reply),
            (_, Ok(Reply::Renew(reply))) => self.renewed(reply, beat),
            (Target::Batch(_, last, len), Ok(Reply::Append(reply))) => {
                self.appended(reply, *last, *len);
            }
            (Target::Trim(_, keep_from), Ok(Reply::Trim { entries })) => {
                self.trimmed(entries, *keep_from);
            }
            (_, Err(Failure::Unavailable | Failure::WrongServer | Failure::NoScript)) => {
                self.has_failed = true;
            }
            (_, Err(Failure::Lost | Failure::Stopped)) => {
                self.has_failed = true;
                // What the store has is unknown.
                self.connection = 0;
            }
            (_, Ok(_) | Err(Failure::Run | Failure::Version)) => return self.refuse(),
        }
        None
    }

    pub(crate) fn synced(
        &mut self,
        reply: &SyncReply,
        connection: u64,
        beat: Duration,
    ) -> Option<Effect> {
        self.failures = 0;
        let is_new = self.connection != connection;
        if let SyncReply::Over { is_replaced, .. } = reply {
            // The message that it was can precede the reply to the claim.
            self.is_replaced |= is_replaced;
        }
        match reply {
            SyncReply::Over { outcome, event, .. } if !self.is_done() => {
                return Some(Effect::Over(*outcome, event.clone()));
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
            &SyncReply::InStep { newest, entries, watched } => {
                let now = Instant::now();
                // The call may have answered since the `Sync` was sent.
                if self.head == Head::Sent {
                    self.head = Head::Stored;
                }
                self.exported = newest;
                self.entries = entries;
                self.sync.answered();
                // The store may have lost the newest batches, or, before it restored the run, all
                // batches.
                self.stored.truncate(newest);
                self.lease.renewed(now, beat);
                self.lease.looked();
                // If the store had the end of the run, it has lost the end.
                self.ended_at = None;
                self.set_watched(now, watched);
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

    fn renewed(&mut self, reply: RenewReply, beat: Duration) {
        let now = Instant::now();
        match reply {
            RenewReply::Renewed { watched } => {
                self.lease.renewed(now, beat);
                // The run's first client at another process needs the events that were not pushed.
                if !watched.is_zero() && !self.is_watched(now) {
                    self.sync.need();
                }
                self.set_watched(now, watched);
            }
            RenewReply::Unsure => self.sync.need(),
        }
    }

    fn set_watched(&mut self, now: Instant, watched: Duration) {
        if !watched.is_zero() && self.sync.is_in_step() {
            let until = now + watched;
            self.watched_until = until;
            self.record.attend_until(until);
        }
    }

    /// Returns whether events may be missing in the store although later ones are there: a command
    /// whose reply is missing may have been executed by a server with an older state.
    const fn doubts(&self, newest: u64, entries: u64) -> bool {
        let is_as_acknowledged = newest == self.exported && entries == self.entries;
        self.entries > 0 && !self.sync.restores() && newest >= self.exported && !is_as_acknowledged
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

    fn trimmed(&mut self, entries: u64, keep_from: u64) {
        self.entries = self.entries.saturating_sub(entries);
        self.stored.trim(keep_from);
    }

    fn ended(&mut self, reply: EndReply) -> Option<Effect> {
        self.failures = 0;
        if let Some(reason) = self.given_up {
            return Some(Effect::Lost(reason));
        }
        self.is_replaced |= reply == EndReply::Other;
        let is_lost = match reply {
            EndReply::Behind => true,
            EndReply::Gone => self.record.phase() != Phase::Void,
            _ => false,
        };
        if is_lost {
            self.sync.need_to_restore();
        }
        (!is_lost).then_some(Effect::Ended)
    }

    /// Records that a command failed for this run alone. After several failures, the run is given up
    /// and ended in the store, unless the store refuses that too.
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

    /// Returns when the run needs its next command, after all replies to the last ones.
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
            Phase::Starting if is_in_step => self.lease.renew_at,
            Phase::Running if is_in_step && self.head == Head::Stored && !self.has_more => {
                let is_behind = newest > self.exported;
                let export_at = if is_behind { self.export_at(now) } else { self.lease.renew_at };
                export_at.min(self.lease.renew_at)
            }
            _ => now,
        }
    }
}
