//! What the owner of runs does for all of them together.

use std::sync::{Arc, Weak};

use tokio::time::{Instant, sleep, timeout_at};
use tower_sse::runs::__private::{Process, shrink_if_sparse};

use super::exports::{Export, Exports};
use crate::runs::cluster::timing::RETRY_DELAY;
use crate::runs::seam::{End, EndMode, Failure, LIVE, RunId};
use crate::runs::store::Store;
use tower_sse_broker::tasks::caught;

/// The maximum number of ends in one call.
const MAX_ENDS: usize = 512;
/// The maximum number of runs whose keys one command looks for.
const MAX_LOOKS: usize = 64;

/// Looks for the keys of runs, releases lost claims and deletes ended runs, until the [`Process`]
/// is dropped. After a panic, starts again, but only after a delay: repeated panics would occupy a
/// processor.
pub(crate) async fn supervise(process: Weak<Process>, exports: Arc<Exports>, store: Arc<Store>) {
    let mut keeper = Keeper { exports, store, look_at: Instant::now() };
    while caught(keeper.run(&process)).await.is_none() {
        sleep(RETRY_DELAY).await;
    }
}

struct Keeper {
    exports: Arc<Exports>,
    store: Arc<Store>,
    /// When to check next that the store still has the claims and streams of the live runs.
    look_at: Instant,
}

impl Keeper {
    async fn run(&mut self, process: &Weak<Process>) {
        let connection = self.store.connection();
        // Lost claims keep the `Process` alive, as producers do.
        let mut kept = None;
        while let Some(process) = kept.take().or_else(|| process.upgrade()) {
            let up = *connection.borrow();
            if let Some(over) = up {
                self.release(over).await;
                self.delete(over).await;
                self.look(over).await;
            }
            kept = Some(process).filter(|_| !self.exports.lock().lost_claims.is_empty());
            match self.next_due().filter(|_| up.is_some()) {
                Some(due) => _ = timeout_at(due, self.exports.changed.notified()).await,
                None => self.exports.changed.notified().await,
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let state = self.exports.lock();
        let claims = state.lost_claims.values().copied();
        let look = (!state.runs.is_empty()).then_some(self.look_at);
        claims.chain(look).min()
    }

    /// Releases the lost claims that are due.
    async fn release(&self, over: u64) {
        let now = Instant::now();
        let ends: Vec<_> = {
            let state = self.exports.lock();
            let due = state.lost_claims.iter().filter(|(_, due)| **due <= now);
            let end = |run: &RunId| End { run: run.clone(), mode: EndMode::Release };
            due.map(|(run, _)| end(run)).take(MAX_ENDS).collect()
        };
        let replies = self.store.end_all(Some(over), &ends).await;
        for (End { run, .. }, reply) in ends.into_iter().zip(replies) {
            let lost_claims = &mut self.exports.lock().lost_claims;
            _ = match reply {
                // A later release would be refused too.
                Ok(_) | Err(Failure::Run | Failure::Version) => lost_claims.remove(&run),
                Err(_) => lost_claims.insert(run, Instant::now() + RETRY_DELAY),
            };
            shrink_if_sparse(lost_claims);
        }
        self.exports.notify_replied();
    }

    /// Deletes the runs that have ended and for which there is no room, and lets the store delete
    /// those that were replaced.
    async fn delete(&self, over: u64) {
        loop {
            let ends = self.exports.evict(MAX_ENDS);
            if ends.is_empty() {
                return;
            }
            // A run that is not deleted expires.
            self.store.end_all(Some(over), &ends).await;
        }
    }

    /// Looks for the keys of live runs, a little more often than once in a lease. If a key is
    /// missing, all runs whose keys the same command looks for are synchronized.
    async fn look(&mut self, over: u64) {
        let now = Instant::now();
        if now < self.look_at {
            return;
        }
        self.look_at = now + self.exports.timing.lease / 16 * 15;
        for due in self.due(over).chunks(MAX_LOOKS) {
            let (exports, keys): (Vec<_>, Vec<_>) = due.iter().cloned().unzip();
            let are_found = match self.store.have_keys(over, &keys).await {
                Ok(are_found) => are_found,
                // The next connection synchronizes all runs. Without one, the next look follows.
                Err(Failure::Unavailable | Failure::WrongServer) => return,
                Err(_) => false,
            };
            exports.iter().filter(|_| !are_found).for_each(|export| export.synchronize());
        }
    }

    /// Returns the live runs whose keys are to be looked for. Runs whose last `Sync` is long ago or
    /// used another connection are synchronized instead, after which the time that the store keeps
    /// their keys begins again.
    fn due(&self, over: u64) -> Vec<(Arc<Export>, (RunId, bool))> {
        let state = self.exports.lock();
        let keys = |export: &Arc<Export>| {
            let its = export.state();
            if !its.is_in_step() || its.ended_at.is_some() {
                return None;
            }
            let is_old = its.answered_at.is_none_or(|at| at.elapsed() >= LIVE / 2);
            if is_old || its.over != over {
                drop(its);
                export.synchronize();
                return None;
            }
            Some((Arc::clone(export), (export.run(), its.has_stream)))
        };
        state.runs.values().filter_map(keys).collect()
    }
}
