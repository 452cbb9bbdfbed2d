//! The commands that an owner sends, how the replies change the owner's state, and what a client of
//! another process receives.

use crate::redis::Synced;
use crate::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Sync,
    Append(u8),
    End(Option<Outcome>),
    Void,
}

impl Run {
    /// Returns the next command, as `Exporter::advance` does.
    pub(crate) fn command(&self, protocol: Protocol) -> Option<Command> {
        if self.is_done && self.is_in_step && !self.restores {
            return None;
        }
        if self.phase == Phase::Void {
            return (!self.is_done).then_some(Command::Void);
        }
        let begins = self.phase != Phase::Starting && !self.has_begun;
        if !self.is_in_step || self.restores || begins {
            return Some(Command::Sync);
        }
        if self.exported < self.produced && !self.is_evicted {
            return Some(Command::Append(self.exported + 1));
        }
        match self.phase {
            Phase::Ended(outcome) if self.exported == self.produced => {
                Some(Command::End(Some(outcome)))
            }
            Phase::Ended(_) if protocol.reports_losses => Some(Command::End(None)),
            _ => Some(Command::Sync),
        }
    }
}

impl State {
    /// Executes a command of an owner, and applies the reply. A lost reply is not applied, except
    /// that of an `Append`.
    pub(crate) fn execute(
        &mut self,
        protocol: Protocol,
        epoch: usize,
        command: Command,
        is_answered: bool,
    ) {
        let Some(mut run) = self.runs[epoch] else { return };
        match command {
            Command::Sync => {
                let expected = run.is_in_step.then_some(run.entries);
                let has_head = run.phase != Phase::Starting;
                let reply = self.sync(protocol, epoch, expected, run.restores, has_head);
                if is_answered {
                    run.synced(protocol, reply, has_head);
                }
            }
            Command::Append(event) => {
                if self.append(epoch, event) && is_answered {
                    run.exported = event;
                    run.entries += 1;
                } else {
                    // The next `Sync` finds out what the store has.
                    run.is_in_step = false;
                }
            }
            Command::End(outcome) => {
                let (newest, entries) = (run.produced, run.entries);
                let is_done = self.end_own(protocol, epoch, outcome, newest, entries);
                run.is_done |= is_done && is_answered;
                run.restores |= !is_done && is_answered;
            }
            Command::Void => {
                self.end_void(protocol, epoch);
                run.is_done = is_answered;
            }
        }
        // The connection is replaced when a reply is missing.
        run.is_in_step &= is_answered;
        self.runs[epoch] = Some(run);
    }
}

impl Run {
    fn synced(&mut self, protocol: Protocol, reply: Synced, has_head: bool) {
        let was_in_step = std::mem::replace(&mut self.is_in_step, true);
        match reply {
            Synced::Ok { newest, entries } => {
                // The reply does not tell whether the events before the newest one are there.
                let is_doubtful =
                    newest > self.exported || newest == self.exported && entries != self.entries;
                let has_sent = !was_in_step && !self.restores && self.entries > 0;
                if protocol.doubts_events && has_sent && is_doubtful {
                    self.restores = true;
                    return;
                }
                (self.exported, self.entries) = (newest, entries);
                (self.has_begun, self.restores, self.is_done) = (has_head, false, false);
            }
            Synced::Lacks => self.restores = true,
            Synced::Over(outcome) => {
                if self.phase.is_live() {
                    let is_cancelled = outcome == Outcome::Cancelled;
                    let outcome = if is_cancelled { outcome } else { Outcome::Interrupted };
                    self.phase = Phase::Ended(outcome);
                }
                (self.restores, self.is_done) = (false, true);
            }
        }
    }
}

// What a client of another process receives.

impl State {
    /// Attaches a client to the run that has the key, if the run is live or has completed.
    pub(crate) fn attach(&mut self) {
        if let Some(Claim { epoch, phase, .. }) = self.redis.claim
            && (phase.is_live() || phase == Phase::Ended(Outcome::Completed))
        {
            self.client = Client::Attached { epoch, received: 0 };
        }
    }

    /// Checks and loads the run of the client, as `check.lua` and `load.lua` do. Pushes are not
    /// needed for that, so each of them may be lost.
    pub(crate) fn load(&mut self) {
        let Client::Attached { epoch, received } = self.client else { return };
        let claim = self.redis.claim.filter(|claim| claim.epoch == epoch);
        let end = self.redis.streams[epoch].and_then(|stream| stream.end);
        match (claim.map(|claim| claim.phase), end) {
            (Some(Phase::Void), _) => {
                self.client = Client::Ended;
                return;
            }
            (Some(Phase::Ended(_)), None) => {
                // The events that are left must not look like the whole answer.
                self.add_end(epoch, Outcome::Interrupted);
                self.set_phase(Phase::Ended(Outcome::Interrupted));
            }
            (Some(Phase::Starting | Phase::Running), Some((outcome, _))) => {
                self.set_phase(Phase::Ended(outcome));
            }
            _ => {}
        }
        self.client = self.read(epoch, received, claim.is_none() && self.redis.claim.is_some());
    }

    fn read(&self, epoch: usize, mut received: u8, has_lost_its_key: bool) -> Client {
        let stream = self.redis.streams[epoch].unwrap_or_default();
        while received < EVENTS && stream.events & (1 << received) != 0 {
            received += 1;
        }
        let has_hole = stream.events >> received != 0;
        match stream.end {
            // The next event is missing.
            _ if has_hole => Client::Ended,
            Some((Outcome::Completed, newest)) if received >= newest && received < EVENTS => {
                Client::Misled
            }
            Some(_) => Client::Ended,
            None if has_lost_its_key => Client::Ended,
            None => Client::Attached { epoch, received },
        }
    }
}
