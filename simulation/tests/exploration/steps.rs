//! All steps from a state.

use super::{owner::Command, protocol::EPOCHS};
use crate::*;

/// One step: what happens, to which run, whether it is a fault, and the state after it.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) epoch: usize,
    pub(crate) is_fault: bool,
    pub(crate) next: State,
}

/// The steps from a state that were collected so far.
struct Steps<'s> {
    state: &'s State,
    bounds: Bounds,
    steps: Vec<Step>,
}

impl Steps<'_> {
    fn add(&mut self, name: &'static str, epoch: usize, change: impl FnOnce(&mut State)) {
        self.add_with(0, name, epoch, change);
    }

    fn fault(&mut self, name: &'static str, epoch: usize, change: impl FnOnce(&mut State)) {
        self.add_with(1, name, epoch, change);
    }

    fn add_with(
        &mut self,
        faults: u8,
        name: &'static str,
        epoch: usize,
        change: impl FnOnce(&mut State),
    ) {
        let mut next = *self.state;
        change(&mut next);
        if next != *self.state && next.faults + faults <= self.bounds.faults {
            next.faults += faults;
            self.steps.push(Step { name, epoch, is_fault: faults > 0, next });
        }
    }
}

pub(crate) fn steps(state: &State, protocol: Protocol, bounds: Bounds) -> Vec<Step> {
    let mut steps = Steps { state, bounds, steps: Vec::new() };
    requests(&mut steps);
    for epoch in 0..EPOCHS {
        if let Some(run) = state.runs[epoch] {
            service(&mut steps, epoch, run);
            exporter(&mut steps, protocol, epoch, run);
        }
    }
    others(&mut steps);
    servers(&mut steps);
    steps.steps
}

/// Requests that start a run at either process, attach to it or stop it, and the release of a claim
/// whose reply was lost.
fn requests(steps: &mut Steps<'_>) {
    let state = steps.state;
    let epoch = usize::from(state.epochs);
    if epoch < steps.bounds.epochs {
        // Before the first run, the processes are alike, so one of them is enough.
        for process in 0..if epoch == 0 { 1 } else { 2 } {
            // If the claim is lost, a process with a live run restores the claim, and starts no
            // other run.
            let has_live = |run: &Run| run.process == process && run.phase.is_live();
            let is_lost = state.redis.claim.is_none() && state.runs.iter().flatten().any(has_live);
            if is_lost || state.lost_claim.is_some() {
                continue;
            }
            steps.add("starts", epoch, |next| {
                if next.claim(epoch) {
                    next.epochs += 1;
                    next.runs[epoch] = Some(Run { process, ..Run::default() });
                }
            });
        }
        steps.fault("starts, and the reply is lost", epoch, |next| {
            if next.lost_claim.is_none() && next.claim(epoch) {
                next.epochs += 1;
                next.lost_claim = Some(epoch);
            }
        });
    }
    if let Some(lost) = state.lost_claim {
        steps.add("is released", lost, |next| {
            next.end_any(lost, Outcome::Interrupted);
            next.lost_claim = None;
        });
    }
    if state.client == Client::None {
        steps.add("gets a client elsewhere", 0, State::attach);
    }
    if let Some(claim) = state.redis.claim.filter(|_| !state.has_cancelled) {
        steps.add("is cancelled", claim.epoch, |next| {
            next.has_cancelled = true;
            next.end_any(claim.epoch, Outcome::Cancelled);
        });
    }
}

/// What the program's source of the run does.
fn service(steps: &mut Steps<'_>, epoch: usize, run: Run) {
    let mut set = |name, change: fn(&mut Run)| {
        steps.add(name, epoch, |next| next.runs[epoch].iter_mut().for_each(change));
    };
    match run.phase {
        Phase::Starting => {
            set("answers", |run| run.phase = Phase::Running);
            set("answers without a stream", |run| run.phase = Phase::Void);
        }
        Phase::Running if run.produced < EVENTS => set("yields an event", |run| run.produced += 1),
        Phase::Running => set("completes", |run| run.phase = Phase::Ended(Outcome::Completed)),
        Phase::Void | Phase::Ended(_) => {}
    }
}

/// What the owner sends, and the faults of the owner and of its connection.
fn exporter(steps: &mut Steps<'_>, protocol: Protocol, epoch: usize, run: Run) {
    if let Some(command) = run.command(protocol) {
        steps.add("exports", epoch, |next| next.execute(protocol, epoch, command, true));
        steps.fault("exports, and the reply is lost", epoch, |next| {
            next.execute(protocol, epoch, command, false);
        });
    }
    if run.is_in_step && run.phase.is_live() {
        let renew = |next: &mut State| next.execute(protocol, epoch, Command::Sync, true);
        steps.add("renews its lease", epoch, renew);
    }
    if run.exported < run.produced && !run.is_evicted {
        steps.fault("loses its events to make room", epoch, |next| {
            next.runs[epoch].iter_mut().for_each(|run| run.is_evicted = true);
        });
    }
    steps.fault("dies", epoch, |next| next.runs[epoch] = None);
    if run.is_in_step {
        steps.fault("has a new connection", epoch, |next| {
            next.runs[epoch].iter_mut().for_each(|run| run.is_in_step = false);
        });
    }
}

/// What other processes do: for their client, and when an owner doesn't renew its lease.
fn others(steps: &mut Steps<'_>) {
    let state = steps.state;
    if matches!(state.client, Client::Attached { .. }) {
        steps.add("is checked", 0, State::load);
    }
    if let Client::Attached { epoch, .. } = state.client
        && state.redis.claim.is_none()
    {
        steps.add("is gone for a lease", epoch, |next| next.client = Client::Ended);
    }
    let Some(claim) = state.redis.claim.filter(|claim| claim.phase.is_live()) else { return };
    let set = |lease| {
        move |next: &mut State| next.redis.claim.iter_mut().for_each(|claim| claim.lease = lease)
    };
    // An owner that has seen the end of its run does not renew its lease.
    let is_dead = state.runs[claim.epoch].is_none_or(|run| run.is_done);
    match claim.lease {
        Lease::Held if is_dead => steps.add("is late", claim.epoch, set(Lease::Late)),
        Lease::Held => steps.fault("is late", claim.epoch, set(Lease::Late)),
        Lease::Late if is_dead => steps.add("is dead", claim.epoch, set(Lease::Dead)),
        // The fault that made the owner late also keeps it late.
        Lease::Late => steps.add("counts as dead", claim.epoch, set(Lease::Dead)),
        Lease::Dead => steps.add("is buried", claim.epoch, |next| {
            next.end_any(claim.epoch, Outcome::Interrupted);
        }),
    }
}

fn servers(steps: &mut Steps<'_>) {
    let state = steps.state;
    let reconnect = |next: &mut State| {
        next.is_swapped = false;
        next.runs.iter_mut().flatten().for_each(|run| run.is_in_step = false);
    };
    if state.is_swapped {
        steps.add("and the others see another server", 0, reconnect);
    }
    steps.fault("Redis loses everything", 0, |next| {
        next.lose(Data::default());
        reconnect(next);
    });
    let mut older = state.redis;
    while let Some(data) = older.older() {
        older = data;
        steps.fault("Redis is back with an older state", 0, |next| {
            next.lose(older);
            reconnect(next);
        });
        steps.fault("a proxy leads to a server with an older state", 0, |next| {
            next.lose(older);
            next.is_swapped = true;
        });
    }
}
