//! The runs of dead processes, even those that no client asks for.

use std::{collections::HashMap, sync::Weak};

use tokio::time::{Instant, sleep};
use tower_sse::runs::Outcome;

use super::{check::MAX_COMMANDS, mirrors::Mirrors};
use crate::runs::seam::{Command, End, EndMode, EndReply, Failure, ProcessId, Reply, RunId};
use tower_sse_broker::tasks::lock;

/// The number of leases after which another process looks after the runs, as in `lua/join.lua`.
const TENURE: u32 = 3;

/// Ends the runs of a silent process once it counts as dead, and reports each of them. If it is
/// alive, its runs go on.
pub(crate) async fn look_after(mirrors: Weak<Mirrors>, silent: ProcessId) {
    let began = Instant::now();
    // The runs that another process has buried or replaced, or whose claim is gone, and when this
    // process first saw that.
    let mut over = HashMap::new();
    while let Some(mirrors) = mirrors.upgrade()
        && began.elapsed() < mirrors.timing.lease * TENURE
    {
        let live = mirrors.store.execute(None, vec![Command::LiveRuns(silent.clone())]).await;
        if let Some(Ok(Reply::LiveRuns { runs, has_returned })) = live.into_iter().next() {
            if runs.is_empty() {
                return;
            }
            for runs in runs.chunks(MAX_COMMANDS) {
                mirrors.end_dead(&silent, has_returned, runs, &mut over).await;
            }
        }
        let pause = mirrors.timing.lease / 8;
        drop(mirrors);
        sleep(pause).await;
    }
}

impl Mirrors {
    async fn end_dead(
        &self,
        owner: &ProcessId,
        has_returned: bool,
        runs: &[RunId],
        over: &mut HashMap<RunId, Instant>,
    ) {
        let ends = runs.iter().map(|run| {
            // The process that has buried the run, or its owner, would have reported it by now. An
            // owner that lives would have restored a claim that is gone.
            let lease = self.timing.lease;
            let is_late = over.get(run).is_some_and(|since| since.elapsed() >= lease);
            let away = (!has_returned).then(|| owner.clone());
            let mode = if is_late { EndMode::Inherit { away } } else { EndMode::Bury };
            End { run: run.clone(), mode }
        });
        let ends: Vec<_> = ends.collect();
        let results = self.end_all(ends.clone()).await;
        for (End { run, mode }, result) in ends.into_iter().zip(results) {
            let is_late = matches!(mode, EndMode::Inherit { .. });
            match result {
                Err(_) | Ok(Reply::End(EndReply::Buried { .. })) => continue,
                Ok(Reply::End(EndReply::NotDead(_))) => {
                    over.remove(&run);
                    continue;
                }
                // The owner finds out that the run was replaced, and reports that, or restores it.
                Ok(Reply::End(EndReply::Other { .. } | EndReply::Gone)) if has_returned => continue,
                Ok(Reply::End(EndReply::Other { newest })) if is_late => {
                    self.report(&run, newest);
                }
                Ok(Reply::End(
                    EndReply::Over(Outcome::Interrupted) | EndReply::Other { .. } | EndReply::Gone,
                )) => {
                    over.entry(run).or_insert_with(Instant::now);
                    continue;
                }
                // The run is over, and its owner has reported it.
                Ok(_) => {}
            }
            let reported = Command::Reported(owner.clone(), run);
            self.store.execute(None, vec![reported]).await;
        }
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
