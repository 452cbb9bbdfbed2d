use std::sync::Arc;

use tokio::{sync::oneshot, time::Instant};
use tower_sse::runs::{
    RunKey, StartError,
    support::{Epoch, Mark, Producer, Record, spawn},
};

use super::{cluster::Cluster, owner::exports::Exports};
use crate::runs::seam::{
    command::Command,
    reply::{Failure, LookReply},
    run_id::RunId,
};

impl Cluster {
    /// Claims a key for a new run, in place of the run `earlier` if there is one. Returns `None` if
    /// the caller has to look again.
    ///
    /// The claim runs on a task of its own, so that a claim whose request is dropped is released.
    pub(super) async fn start(
        self: &Arc<Self>,
        key: &RunKey,
        earlier: Option<RunId>,
    ) -> Result<Option<Producer>, StartError> {
        let replaced = earlier.as_ref().map(|run| run.epoch);
        if !self.is_up() {
            return Err(StartError::Unavailable);
        }
        let is_replaced = |own: &Arc<Record>| replaced == Some(own.epoch);
        if let Some(own) = self.live_here(key).filter(|own| !is_replaced(own)) {
            // The store has ended this process's run, or has lost its claim. A `Sync` finds out which
            // before another run starts.
            self.exports.synchronize(own.epoch);
            let is_settled = || !own.phase().is_live() || self.exports.is_in_step(own.epoch);
            let settled = self.wait_until(is_settled).await.then_some(None);
            return settled.ok_or(StartError::Unavailable);
        }
        let reserved = self.process.reserve(key, replaced)?;
        let cluster = Arc::clone(self);
        let (sender, receiver) = oneshot::channel();
        // The request sets the producer's mark below. If the request is gone, the producer is
        // dropped without a mark, and releases its claim.
        spawn(async move {
            let confirmed = cluster.confirm(reserved, earlier, &sender).await;
            _ = sender.send(confirmed);
        });
        let claimed = receiver.await.unwrap_or(Err(StartError::Unavailable))?;
        Ok(claimed.map(|(mut producer, mark)| {
            producer.export(mark);
            producer
        }))
    }

    /// Sends the claim for a reserved record. If the request has left before the reply, or the
    /// reply took longer than a lease because the process was paused, the claim is given back:
    /// another request may have the key by then.
    async fn confirm(
        &self,
        reserved: Producer,
        earlier: Option<RunId>,
        request: &oneshot::Sender<Confirmed>,
    ) -> Confirmed {
        let run = RunId::of(&reserved.record);
        let replaced = earlier.as_ref().map(|run| run.epoch);
        let mut sent = SentClaim { exports: &self.exports, run: Some(run.clone()) };
        let began = Instant::now();
        let reply = self.look_up(Command::Claim { run, earlier }).await;
        let is_late = request.is_closed() || began.elapsed() >= self.timing.lease;
        match &reply {
            Err(Failure::Lost | Failure::Stopped) => {}
            Ok(LookReply::Claimed) if is_late => {
                replaced.into_iter().for_each(|earlier| self.exports.replaced(earlier));
            }
            _ => sent.run = None,
        }
        drop(sent);
        match reply {
            Ok(LookReply::Claimed) if !is_late => {
                let mark = self.enter(&reserved, replaced);
                Ok(Some((reserved, mark)))
            }
            Ok(LookReply::Restoring) | Err(_) => Err(StartError::Unavailable),
            Ok(_) => Ok(None),
        }
    }

    /// Lets requests find a claimed run.
    fn enter(&self, reserved: &Producer, replaced: Option<Epoch>) -> Mark {
        let record = &reserved.record;
        let mark = self.exports.add(Arc::clone(record), self.store.overhead(&record.key));
        replaced.into_iter().for_each(|earlier| self.exports.replaced(earlier));
        self.process.enter(reserved, replaced);
        mark
    }
}

/// The result of a claim, for the request.
type Confirmed = Result<Option<(Producer, Mark)>, StartError>;

/// A claim that was sent. If this value is dropped before the claim is settled, the claim is
/// released, because the store may have executed it.
struct SentClaim<'a> {
    exports: &'a Exports,
    /// `None` once the claim is settled.
    run: Option<RunId>,
}

impl Drop for SentClaim<'_> {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            self.exports.lose_claim(run);
        }
    }
}
