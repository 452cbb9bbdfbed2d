//! The runs of dead processes, even those that no client asks for.

use std::sync::Arc;

use tokio::time::Instant;

use super::{check::MAX_COMMANDS, mirrors::Mirrors};
use crate::runs::seam::{
    Command, DeadProcess, End, EndMode, EndReply, Failure, ProcessId, Reply, RunId,
};
use tower_sse_broker::tasks::lock;

/// Ends the runs of a dead process and reports each of them, unless another process does. Called
/// again after each beat while the store lists any of the runs.
pub(crate) async fn look_after(mirrors: Arc<Mirrors>, dead: DeadProcess) {
    let inherit = Command::Inherit(dead.clone());
    let inherited = mirrors.store.execute(None, vec![inherit]).await;
    let Some(Ok(Reply::LiveRuns(runs))) = inherited.into_iter().next() else { return };
    for runs in runs.chunks(MAX_COMMANDS) {
        mirrors.end_dead(&dead.id, runs).await;
    }
}

impl Mirrors {
    async fn end_dead(&self, owner: &ProcessId, runs: &[RunId]) {
        let mode = EndMode::Bury { owner: owner.clone() };
        let bury = |run: &RunId| End { run: run.clone(), mode: mode.clone() };
        let results = self.end_all(runs.iter().map(bury).collect()).await;
        // The owner has reported these.
        let over = runs.iter().zip(results).filter(|(_, result)| {
            matches!(result, Ok(Reply::End(EndReply::Over(_) | EndReply::Other { .. })))
        });
        let reported = over.map(|(run, _)| Command::Reported(owner.clone(), run.clone()));
        self.store.execute(None, reported.collect()).await;
    }

    /// Ends runs, reports those that this process has buried, and then records that in the store.
    /// If this process dies in between, another process reports them again.
    pub(crate) async fn end_all(&self, ends: Vec<End>) -> Vec<Result<Reply, Failure>> {
        let commands = ends.iter().cloned().map(Command::End).collect();
        let results = self.store.execute(None, commands).await;
        let mut reported = Vec::new();
        for (End { run, .. }, result) in ends.iter().zip(&results) {
            let Ok(Reply::End(EndReply::Buried { owner, newest })) = result else { continue };
            self.report(run, *newest);
            reported.push(Command::Reported(owner.clone(), run.clone()));
        }
        self.store.execute(None, reported).await;
        results
    }

    /// Reports the end of a dead process's run, unless this process has just reported it: the
    /// store's reply to [`Reported`](Command::Reported) can be lost.
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
