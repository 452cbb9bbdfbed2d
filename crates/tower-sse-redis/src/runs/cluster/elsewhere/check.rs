use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;
use tower_sse::runs::__private::Phase;

use super::{mirror::Mirror, mirrors::Mirrors};
use crate::runs::seam::{
    Check, CheckReply, DeadProcess, End, EndMode, EndReply, Failure, ProcessId, RunId, RunState,
};
use tower_sse_broker::tasks::caught;

impl Mirrors {
    /// Checks a mirror for a client, so the owner treats the run as watched. Returns whether to
    /// load the mirror.
    pub(super) async fn watch(&self, mirror: &Mirror) -> bool {
        let check = Check { run: mirror.run.clone(), is_watched: true };
        let results = self.store.check(&[check]).await;
        results.into_iter().any(|result| self.apply(mirror, result))
    }

    /// Applies the reply to a check. Returns whether the store may have events, a head or an end
    /// that the mirror lacks.
    fn apply(&self, mirror: &Mirror, result: Result<CheckReply, Failure>) -> bool {
        let (Ok(reply), Some(record)) = (result, mirror.record()) else { return false };
        let CheckReply { state, newest, head, owner } = reply;
        if state == RunState::Gone {
            return false;
        }
        if let Some(owner) = owner {
            // Counts beats for the owner from now on, so that this process learns of the owner's
            // death even if the store does not list it.
            self.store.is_dead(&owner);
            mirror.set_owner(owner);
        }
        mirror.set_contact();
        mirror.start_below(newest);
        head.iter().for_each(|head| mirror.copy.begin(head));
        match state {
            RunState::Running => newest > record.newest() || record.phase() == Phase::Starting,
            RunState::Ended => true,
            RunState::Other => {
                mirror.set_ended();
                true
            }
            RunState::Void => {
                mirror.copy.void();
                false
            }
            RunState::Starting | RunState::Gone => false,
        }
    }

    async fn check_all(&self) {
        for due in self.map.all().chunks(MAX_CHECKS) {
            let check = |mirror: &Arc<Mirror>| {
                let record = mirror.record().filter(|record| record.phase().is_live())?;
                let check = Check { run: mirror.run.clone(), is_watched: record.is_read() };
                Some((Arc::clone(mirror), check))
            };
            let (due, checks): (Vec<_>, Vec<_>) = due.iter().filter_map(check).unzip();
            let results = self.store.check(&checks).await;
            for (mirror, result) in due.into_iter().zip(results) {
                if self.apply(&mirror, result) {
                    mirror.request_load();
                }
                // Test this before the next chunk: after a long round, the last contact would be
                // old although the owner is healthy.
                if mirror.is_out_of_reach(self.timing) {
                    mirror.copy.lose();
                }
            }
        }
    }
}

/// The maximum number of runs that one command checks.
const MAX_CHECKS: usize = 64;

/// Checks the mirrors at this interval, until the [`Runs`](tower_sse::runs::Runs) is dropped.
pub(crate) async fn supervise(mirrors: Weak<Mirrors>, interval: Duration) {
    while caught(run(&mirrors, interval)).await.is_none() {}
}

async fn run(mirrors: &Weak<Mirrors>, interval: Duration) {
    loop {
        sleep(interval).await;
        let Some(mirrors) = mirrors.upgrade() else { return };
        mirrors.map.prune(&mirrors.store);
        mirrors.check_all().await;
    }
}

/// The maximum number of runs in one call of the store.
const MAX_ENDS: usize = 512;

/// Ends the runs of a dead process, unless another process does. Called again after each beat while
/// the store lists any of the runs.
pub(crate) async fn look_after(mirrors: Arc<Mirrors>, dead: DeadProcess) {
    // A call that waits finds only the runs that are left.
    let _inheriting = mirrors.inheriting.lock().await;
    let Ok(mut runs) = mirrors.store.inherit(&dead).await else { return };
    if runs.is_empty() && dead.seen.is_empty() {
        // The store may have lost the list of the dead process's runs, too.
        let its = mirrors.map.all().into_iter().filter(|mirror| mirror.is_of(&dead.id));
        runs.extend(its.map(|mirror| mirror.run.clone()));
    }
    for runs in runs.chunks(MAX_ENDS) {
        mirrors.bury(&dead.id, runs).await;
    }
}

impl Mirrors {
    /// Ends runs of a dead process. Reports each unreported end, then records that in the store. If
    /// this process dies in between, or the command that records it is lost, these ends are
    /// reported again, as documented at [`RunEnd::id`](tower_sse::runs::RunEnd::id).
    pub(crate) async fn bury(&self, owner: &ProcessId, runs: &[RunId]) {
        // The store takes a run that is not reported yet for one that this process has to report.
        let _burying = self.burying.lock().await;
        let mode = EndMode::Bury { owner: owner.clone() };
        let bury = |run: &RunId| End { run: run.clone(), mode: mode.clone() };
        let results = self.store.end_all(None, &runs.iter().map(bury).collect::<Vec<_>>()).await;
        let mut reported = Vec::with_capacity(runs.len());
        for (run, result) in runs.iter().zip(results) {
            match result {
                Ok(EndReply::Buried { newest }) => {
                    self.process.report_dead(run.key.clone(), run.epoch, newest);
                }
                // No process has to report it: the run has already ended, or another run has the
                // key.
                Ok(EndReply::Over(_) | EndReply::Other) => {}
                _ => continue,
            }
            reported.push(run.clone());
        }
        _ = self.store.reported(owner, &reported).await;
    }
}
