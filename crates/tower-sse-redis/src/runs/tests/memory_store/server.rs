use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::{mem::Discriminant, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;
use tower_sse::runs::{Outcome, RunKey, support::Epoch};

use super::faults::Faults;
use crate::runs::seam::{
    Batch, Command, EndMode, Liveness, LookReply, ProcessId, Push, Receive, Reply, RunId, StoredEnd,
};

/// The state of the server.
#[derive(Clone, Default)]
pub(crate) struct Server {
    pub(super) lease: Duration,
    /// The claims of all keys.
    pub(crate) claims: HashMap<RunKey, Claim>,
    /// The streams of all runs.
    pub(crate) streams: HashMap<RunId, Stream>,
    pub(super) inboxes: Vec<(ProcessId, Receive, Arc<Mutex<Faults>>)>,
    /// What commands have sent to other processes, until it is delivered.
    pub(super) sent: Vec<Sent>,
    /// Until when owners may restore claims that the server has lost.
    pub(super) restoring_until: Option<Instant>,
    /// The number of batches that were pushed.
    pub(crate) pushed_batches: usize,
    /// The runs of all renewals, in their order.
    pub(crate) synced: Vec<Epoch>,
    /// The live runs, and those whose end is not reported yet, each with its process.
    pub(super) live: HashMap<RunId, ProcessId>,
    /// Until when each process counts as present, and whether another one looks after it.
    pub(super) present: HashMap<ProcessId, (Instant, bool)>,
    /// The number of calls with commands.
    pub(crate) pipelines: usize,
    /// The number of pages that were loaded.
    pub(crate) loads: usize,
    /// The number of subscriptions to runs.
    pub(crate) subscriptions: usize,
    /// The number of commands of each kind.
    pub(crate) commands: HashMap<&'static str, usize>,
}

/// Which run has a key.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(super) epoch: Epoch,
    pub(super) process: ProcessId,
    /// The state of the run.
    pub(crate) state: State,
    pub(super) deadline: Instant,
    pub(super) lease: Duration,
    pub(super) watched: Instant,
    pub(super) late: Option<(Instant, Instant)>,
    /// The process that has ended the run, and the kind of its command.
    pub(super) ended_by: Option<(ProcessId, Discriminant<EndMode>)>,
    pub(super) head: Option<Bytes>,
    /// If the owner is asked to stop the run, the lines of the last event.
    pub(super) stop: Option<Bytes>,
}

/// The state of a run that has a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its call has not answered yet.
    Starting,
    /// Its call has answered with an event stream.
    Running,
    /// Its call did not return an event stream.
    Void,
    /// It has ended.
    Ended(Outcome),
}

/// The events of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    pub(super) head: Option<Bytes>,
    /// The batches by their last events.
    pub(crate) batches: BTreeMap<u64, Batch>,
    /// The end, if the run has ended.
    pub(crate) end: Option<StoredEnd>,
}

/// What a command sends to other processes.
#[derive(Clone, Debug)]
pub(super) enum Sent {
    Push(RunId, Push),
    Hint(ProcessId, Epoch),
    Replaced(ProcessId, Epoch),
}

impl Server {
    pub(super) fn execute(&mut self, command: &Command, process: &ProcessId) -> Reply {
        let (name, reply) = match command {
            Command::Look(key) => ("look", Reply::Look(self.look(key, None))),
            Command::Claim { run, earlier: None } => {
                ("claim", Reply::Look(self.look(&run.key, Some((run, process)))))
            }
            Command::Claim { run, earlier: Some(earlier) } => {
                ("replace", Reply::Look(self.replace(run, earlier, process)))
            }
            Command::Sync(sync) => ("sync", Reply::Sync(self.sync(sync, process))),
            Command::Renew(renew) => {
                let name = if renew.entries.is_some() { "renew and look" } else { "renew" };
                (name, Reply::Renew(self.renew(renew, process)))
            }
            Command::Append(append) => ("append", Reply::Append(self.append(append))),
            Command::Trim(trim) => {
                let stream = self.streams.entry(trim.run.clone()).or_default();
                let before = stream.entries();
                stream.batches.retain(|last, _| *last >= trim.keep_from);
                // It precedes all batches.
                stream.head = None;
                let entries = before - stream.entries();
                ("trim", Reply::Trim { entries })
            }
            Command::End(end) => ("end", Reply::End(self.end(end, process))),
            Command::Check(check) => ("check", Reply::Check(self.check(check))),
            Command::LiveRuns(owner) => {
                let of_owner = self.live.iter().filter(|(_, process)| *process == owner);
                let runs = of_owner.map(|(run, _)| run.clone()).collect();
                let present = self.present.get(owner);
                let has_returned = present.is_some_and(|(until, is_looked_after)| {
                    *until >= Instant::now() && !is_looked_after
                });
                ("live runs", Reply::LiveRuns { runs, has_returned })
            }
            Command::Reported(_, run) => {
                self.live.remove(run);
                ("reported", Reply::Reported)
            }
        };
        *self.commands.entry(name).or_default() += 1;
        reply
    }

    pub(super) fn look(
        &mut self,
        key: &RunKey,
        claiming: Option<(&RunId, &ProcessId)>,
    ) -> LookReply {
        let is_certain = !self.is_restoring();
        if let Some(claim) = self.claims.get_mut(key) {
            let (run, process) = (RunId::new(key.clone(), claim.epoch), claim.process.clone());
            match claim.state {
                State::Starting | State::Running => {
                    if claiming.is_some_and(|(claimed, own)| *claimed == run && *own == process) {
                        return LookReply::Claimed;
                    }
                    let liveness = claim.liveness();
                    return LookReply::Live { run, process, liveness, is_certain };
                }
                State::Ended(outcome) if claiming.is_none() || outcome == Outcome::Completed => {
                    return LookReply::Ended { run, outcome, is_certain };
                }
                State::Void | State::Ended(_) => {}
            }
        }
        if !is_certain {
            return LookReply::Restoring;
        }
        let Some((run, process)) = claiming else { return LookReply::Free };
        if let Some(ended) = self.claims.get(key).filter(|claim| claim.state != State::Void) {
            self.sent.push(Sent::Replaced(ended.process.clone(), ended.epoch));
        }
        self.create(run, process);
        LookReply::Claimed
    }

    /// Records that a process is present. Returns the processes whose runs it looks after.
    pub(super) fn join(&mut self, process: &ProcessId) -> Vec<ProcessId> {
        let (now, lease) = (Instant::now(), self.lease);
        self.present.insert(process.clone(), (now + lease * 3 / 4, false));
        let live = &self.live;
        let is_owner = |process: &ProcessId| live.values().any(|owner| owner == process);
        self.present.retain(|process, (until, _)| *until >= now || is_owner(process));
        let silent = self.present.iter_mut().filter(|(_, (until, _))| *until < now);
        silent
            .map(|(silent, present)| {
                *present = (now + lease * 3, true);
                silent.clone()
            })
            .collect()
    }

    fn is_restoring(&self) -> bool {
        self.restoring_until.is_some_and(|until| until > Instant::now())
    }

    pub(super) fn create(&mut self, run: &RunId, process: &ProcessId) {
        let now = Instant::now();
        let claim = Claim {
            epoch: run.epoch,
            process: process.clone(),
            state: State::Starting,
            deadline: now + self.lease,
            lease: self.lease,
            watched: now,
            late: None,
            ended_by: None,
            head: None,
            stop: None,
        };
        self.claims.insert(run.key.clone(), claim);
        self.live.insert(run.clone(), process.clone());
    }

    pub(super) fn replace(
        &mut self,
        run: &RunId,
        earlier: &RunId,
        process: &ProcessId,
    ) -> LookReply {
        match self.claims.get(&run.key) {
            Some(claim) if claim.epoch == run.epoch && claim.process == *process => {
                return LookReply::Claimed;
            }
            Some(claim) if claim.epoch == earlier.epoch => {
                let (is_live, owner) = (claim.is_live(), claim.process.clone());
                if is_live {
                    self.close(earlier, Outcome::Cancelled, None);
                }
                self.sent.push(Sent::Replaced(owner, earlier.epoch));
            }
            _ => return LookReply::Changed,
        }
        self.create(run, process);
        LookReply::Claimed
    }

    pub(super) fn close(&mut self, run: &RunId, outcome: Outcome, error: Option<Arc<str>>) {
        let claim = self.claims.get(&run.key).filter(|claim| claim.epoch == run.epoch);
        let head = claim.and_then(|claim| claim.head.clone());
        let stream = self.streams.entry(run.clone()).or_default();
        let end = StoredEnd { outcome, error, newest: stream.newest(), head };
        stream.end = Some(end.clone());
        self.sent.push(Sent::Push(run.clone(), Push::End(StoredEnd { head: None, ..end })));
    }
}

impl Claim {
    pub(super) fn outcome(&self) -> Outcome {
        match self.state {
            State::Ended(outcome) => outcome,
            _ => Outcome::Interrupted,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, State::Starting | State::Running)
    }

    pub(super) fn liveness(&mut self) -> Liveness {
        let now = Instant::now();
        if self.deadline >= now {
            return Liveness::Alive;
        }
        let grace = (self.lease * 3 / 8).max(Duration::from_millis(1500));
        let first = match self.late {
            Some((first, last)) if first > self.deadline && now - last <= grace => first,
            _ => now,
        };
        self.late = Some((first, now));
        if now - first >= grace {
            return Liveness::Dead;
        }
        Liveness::Late((grace / 2).min(grace - (now - first)).max(Duration::from_millis(1)))
    }
}

impl Stream {
    pub(super) fn newest(&self) -> u64 {
        self.end.as_ref().map(|end| end.newest).or(self.batches.keys().last().copied()).unwrap_or(0)
    }

    pub(super) fn entries(&self) -> u64 {
        self.batches.len() as u64 + u64::from(self.head.is_some())
    }
}
