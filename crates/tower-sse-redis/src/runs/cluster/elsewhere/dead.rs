//! The runs of dead processes, even those that no client asks for.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use super::{check::MAX_COMMANDS, mirrors::Mirrors};
use crate::runs::seam::{DeadProcess, End, EndMode, EndReply, Failure, ProcessId, RunId};
use tower_sse_broker::tasks::lock;

/// Ends the runs of a dead process and reports each of them, unless another process does. Called
/// again after each beat while the store lists any of the runs.
pub(crate) async fn look_after(mirrors: Arc<Mirrors>, dead: DeadProcess) {
    let Ok(runs) = mirrors.store.inherit(&dead).await else { return };
    for runs in runs.chunks(MAX_COMMANDS) {
        mirrors.end_dead(&dead.id, runs).await;
    }
}

impl Mirrors {
    async fn end_dead(&self, owner: &ProcessId, runs: &[RunId]) {
        let mode = EndMode::Bury { owner: owner.clone() };
        let bury = |run: &RunId| End { run: run.clone(), mode: mode.clone() };
        let results = self.end_all(&runs.iter().map(bury).collect::<Vec<_>>()).await;
        // No process has to report these: the owner has ended the run, or another run has the key.
        let over = runs
            .iter()
            .zip(results)
            .filter(|(_, result)| matches!(result, Ok(EndReply::Over(_) | EndReply::Other { .. })));
        let reported: Vec<_> = over.map(|(run, _)| run.clone()).collect();
        _ = self.store.reported(owner, &reported).await;
    }

    /// Ends runs, reports those that this process has buried, and then records that in the store.
    /// If this process dies in between, another process reports them again.
    pub(crate) async fn end_all(&self, ends: &[End]) -> Vec<Result<EndReply, Failure>> {
        let results = self.store.end_all(None, ends).await;
        let mut reported = BTreeMap::<_, Vec<_>>::new();
        for (End { run, .. }, result) in ends.iter().zip(&results) {
            let Ok(EndReply::Buried { owner, newest }) = result else { continue };
            self.report(run, *newest);
            reported.entry(owner).or_default().push(run.clone());
        }
        for (owner, runs) in reported {
            _ = self.store.reported(owner, &runs).await;
        }
        results
    }

    /// Reports the end of a dead process's run, unless this process has just reported it: the
    /// store's reply that this is recorded can be lost.
    fn report(&self, run: &RunId, newest: u64) {
        let is_new = {
            let mut recent = lock(&self.reported);
            recent.retain(|_, at: &mut Instant| at.elapsed() < self.timing.lease);
            recent.insert(run.clone(), Instant::now()).is_none()
        };
        if is_new {
            self.process.report_dead(run.key.clone(), run.epoch, newest);
        }
    }
}
