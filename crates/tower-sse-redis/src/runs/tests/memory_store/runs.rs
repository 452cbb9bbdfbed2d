use std::mem::discriminant;

use tokio::time::Instant;
use tower_sse::runs::Outcome;

use super::server::{Sent, Server, State, Stream};
use crate::runs::seam::{
    Append, AppendReply, Check, CheckReply, End, EndMode, EndReply, Liveness, ProcessId, Push,
    Renew, RenewReply, RunId, Sync, SyncReply,
};

/// The commands that concern one run.
impl Server {
    pub(super) fn sync(&mut self, sync: &Sync, process: &ProcessId) -> SyncReply {
        let run = &sync.run;
        self.synced.push(run.epoch);
        let stream = self.streams.get(run).cloned().unwrap_or_default();
        let claim = self.claims.get(&run.key);
        let is_lost = claim.is_none_or(|claim| claim.epoch < run.epoch);
        if let Some(end) = stream.end {
            let is_replaced = claim.is_some_and(|claim| claim.epoch != run.epoch);
            let is_reported = !self.live.contains_key(run);
            let (outcome, newest) = (end.outcome, end.newest);
            return SyncReply::Over { outcome, newest, is_replaced, is_reported };
        }
        if is_lost && !sync.restores {
            return SyncReply::Gone;
        }
        if is_lost {
            self.create(run, process);
        }
        let Some(claim) = self.claims.get_mut(&run.key) else { return SyncReply::Gone };
        if claim.epoch != run.epoch {
            return SyncReply::Other;
        }
        match claim.state {
            State::Starting | State::Running => {}
            State::Void => return over(Outcome::Interrupted, stream.newest()),
            State::Ended(outcome) => return over(outcome, stream.newest()),
        }
        let stream = self.streams.entry(run.clone()).or_default();
        if sync.restores {
            *stream = Stream::default();
        }
        let is_behind = !sync.restores && sync.entries.is_some_and(|n| n != stream.entries());
        if let Some(head) = sync.head.clone().filter(|_| !is_behind) {
            if stream.entries() == 0 {
                stream.head = Some(head.clone());
            }
            if claim.state == State::Starting {
                claim.state = State::Running;
                claim.head = Some(head.clone());
                self.sent.push(Sent::Push(run.clone(), Push::Head(head)));
            }
        }
        claim.deadline = Instant::now() + claim.lease;
        let watched = claim.watched.saturating_duration_since(Instant::now());
        if is_behind {
            return SyncReply::Behind;
        }
        if !watched.is_zero() && !sync.pushes {
            self.sent.push(Sent::Push(run.clone(), Push::Newest(stream.newest())));
        }
        let (newest, entries, stop) = (stream.newest(), stream.entries(), claim.stop.clone());
        SyncReply::InStep { newest, entries, watched, stop }
    }

    pub(super) fn renew(
        &mut self,
        Renew { run, entries }: &Renew,
        process: &ProcessId,
    ) -> RenewReply {
        let now = Instant::now();
        let stored = self.streams.get(run).map_or(0, Stream::entries);
        let is_as_expected = entries.is_none_or(|entries| entries == stored);
        match self.claims.get_mut(&run.key) {
            Some(claim)
                if claim.epoch == run.epoch
                    && claim.process == *process
                    && claim.is_live()
                    && claim.stop.is_none()
                    && is_as_expected =>
            {
                claim.deadline = now + claim.lease;
                let watched = claim.watched.saturating_duration_since(now);
                RenewReply::Renewed { watched }
            }
            _ => RenewReply::Unsure,
        }
    }

    pub(super) fn append(&mut self, append: &Append) -> AppendReply {
        let batch = append.batch.clone();
        match self.streams.get_mut(&append.run) {
            Some(stream) if stream.end.is_none() && stream.newest() < batch.last => {
                stream.batches.insert(batch.last, batch.clone());
                if append.pushes {
                    self.pushed_batches += 1;
                    let push = if batch.bytes.len() > 64 * 1024 {
                        Push::Newest(batch.last)
                    } else {
                        Push::Batch(batch)
                    };
                    self.sent.push(Sent::Push(append.run.clone(), push));
                }
                AppendReply::Appended { entries: 1 }
            }
            _ => AppendReply::Refused,
        }
    }

    pub(super) fn end(&mut self, end: &End, process: &ProcessId) -> EndReply {
        let run = &end.run;
        if let EndMode::Forget | EndMode::Discard = end.mode {
            return self.forget(run, matches!(end.mode, EndMode::Discard));
        }
        let stream = self.streams.get(run).cloned().unwrap_or_default();
        let Some(claim) = self.claims.get_mut(&run.key) else {
            return EndReply::Gone;
        };
        let is_release = matches!(end.mode, EndMode::Release);
        if claim.epoch != run.epoch || is_release && claim.process != *process {
            return EndReply::Other { newest: stream.newest() };
        }
        let newest = stream.newest();
        let mut ended_by = (process.clone(), discriminant(&end.mode));
        match claim.state {
            State::Starting | State::Running => {}
            State::Void => return EndReply::Freed,
            State::Ended(_) if matches!(end.mode, EndMode::Bury | EndMode::Inherit) => {
                let buried = discriminant(&EndMode::Bury);
                let is_ours = |(by, how): &(ProcessId, _)| {
                    *how == buried && (by == process || matches!(end.mode, EndMode::Inherit))
                };
                if claim.ended_by.as_ref().is_some_and(is_ours) {
                    claim.ended_by = Some((process.clone(), buried));
                    return EndReply::Buried { owner: claim.process.clone(), newest };
                }
                return EndReply::Over(claim.outcome());
            }
            State::Ended(outcome) if claim.ended_by.as_ref() == Some(&ended_by) => {
                return EndReply::Ended { outcome, newest };
            }
            State::Ended(outcome) => return EndReply::Over(outcome),
        }
        let (outcome, error) = match &end.mode {
            EndMode::Own { newest: owned, entries, .. }
                if newest != *owned || entries.is_some_and(|n| n != stream.entries()) =>
            {
                return EndReply::Behind;
            }
            EndMode::Own { outcome, error, .. } => (*outcome, error.clone()),
            EndMode::Cancel { .. } if claim.process == *process => (Outcome::Cancelled, None),
            EndMode::Cancel { .. } | EndMode::Bury | EndMode::Inherit => {
                if let EndMode::Cancel { lines } = &end.mode
                    && claim.stop.is_none()
                {
                    claim.stop = Some(lines.clone().unwrap_or_default());
                    self.sent.push(Sent::Hint(claim.process.clone(), run.epoch));
                }
                ended_by.1 = discriminant(&EndMode::Bury);
                match claim.liveness() {
                    Liveness::Dead => (Outcome::Interrupted, None),
                    other => return EndReply::NotDead(other),
                }
            }
            EndMode::Void | EndMode::Release if claim.state == State::Starting => {
                claim.state = State::Void;
                self.sent.push(Sent::Push(run.clone(), Push::Void));
                self.live.remove(run);
                return EndReply::Freed;
            }
            EndMode::Void => return EndReply::Running,
            EndMode::Lost | EndMode::Release | EndMode::Forget | EndMode::Discard => {
                (Outcome::Interrupted, None)
            }
        };
        claim.state = State::Ended(outcome);
        let is_buried = ended_by.1 == discriminant(&EndMode::Bury);
        claim.ended_by = Some(ended_by);
        let owner = claim.process.clone();
        self.close(run, outcome, error);
        if owner != *process {
            self.sent.push(Sent::Hint(owner.clone(), run.epoch));
        }
        if is_buried {
            return EndReply::Buried { owner, newest };
        }
        self.live.remove(run);
        EndReply::Ended { outcome, newest }
    }

    fn forget(&mut self, run: &RunId, was_replaced: bool) -> EndReply {
        if let Some(claim) = self.claims.get(&run.key).filter(|claim| claim.epoch == run.epoch) {
            if claim.is_live() || was_replaced {
                return EndReply::Running;
            }
            self.claims.remove(&run.key);
        }
        self.streams.remove(run);
        self.live.remove(run);
        EndReply::Freed
    }

    pub(super) fn check(&mut self, check: &Check) -> CheckReply {
        let mut reply = self.checked(check);
        if let CheckReply::Running { head, .. }
        | CheckReply::Ended { head, .. }
        | CheckReply::Other { head, .. } = &mut reply
            && !check.wants_head
        {
            *head = None;
        }
        reply
    }

    fn checked(&mut self, check: &Check) -> CheckReply {
        let run = &check.run;
        let stream = self.streams.get(run);
        let (newest, has_end) = stream.map_or((0, false), |it| (it.newest(), it.end.is_some()));
        let head = stream.and_then(|stream| stream.end.as_ref()?.head.clone());
        let claim = self.claims.get_mut(&run.key);
        let is_lost = claim.as_ref().is_none_or(|claim| claim.epoch < run.epoch);
        if is_lost && !has_end {
            return CheckReply::Gone;
        }
        let Some(claim) = claim.filter(|claim| claim.epoch == run.epoch) else {
            return CheckReply::Other { newest, head };
        };
        match claim.state {
            State::Void => return CheckReply::Void,
            State::Ended(outcome) if has_end => {
                return CheckReply::Ended { newest, outcome, head };
            }
            State::Ended(_) => {
                let outcome = Outcome::Interrupted;
                claim.state = State::Ended(outcome);
                let head = claim.head.clone();
                self.close(run, outcome, None);
                return CheckReply::Ended { newest, outcome, head };
            }
            State::Starting | State::Running => {}
        }
        let liveness = claim.liveness();
        if check.is_watched {
            let now = Instant::now();
            if claim.watched <= now {
                self.sent.push(Sent::Hint(claim.process.clone(), run.epoch));
            }
            claim.watched = now + claim.lease * 3 / 4;
        }
        match claim.state {
            State::Starting => CheckReply::Starting(liveness),
            _ => CheckReply::Running { newest, liveness, head: claim.head.clone() },
        }
    }
}

fn over(outcome: Outcome, newest: u64) -> SyncReply {
    SyncReply::Over { outcome, newest, is_replaced: false, is_reported: false }
}
