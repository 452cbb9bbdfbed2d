use std::sync::Arc;

use tokio::sync::oneshot;

use super::{
    cluster::Cluster,
    owner::exports::{Exports, Mark},
    seam::{
        command::Command,
        reply::{LookReply, StoreError},
        run_id::RunId,
    },
};
use crate::{
    history::Epoch,
    runs::{
        Outcome, RunKey, StartError, call::Producer, process::Shared, record::Record, spawn::spawn,
    },
};

impl Shared {
    /// Claims a key for a new run, in place of the run `earlier` if there is one. Returns `None` if
    /// the caller has to look again.
    ///
    /// The claim runs on a task of its own, so that a claim whose request is dropped is released.
    pub(super) async fn start(
        self: &Arc<Self>,
        cluster: &Cluster,
        key: &RunKey,
        earlier: Option<RunId>,
    ) -> Result<Option<Producer>, StartError> {
        let replaced = earlier.as_ref().map(|run| run.epoch);
        if !cluster.is_up() {
            return Err(StartError::Unavailable);
        }
        let is_replaced = |own: &Arc<Record>| replaced == Some(own.epoch);
        if let Some(own) = self.live_here(key).filter(|own| !is_replaced(own)) {
            // The store has ended this process's run, or has lost its claim. A `Sync` finds out which
            // before another run starts.
            cluster.exports.synchronize(own.epoch);
            let is_settled = || !own.phase().is_live() || cluster.exports.is_in_step(own.epoch);
            let settled = cluster.wait_until(is_settled).await.then_some(None);
            return settled.ok_or(StartError::Unavailable);
        }
        let record = self.with_registry(|registry, _| registry.reserve(key, replaced, self))?;
        let reserved = Producer::new(Arc::clone(self), record);
        let (sender, receiver) = oneshot::channel();
        // The request sets the mark, because a producer without one releases its claim when dropped.
        spawn(async move {
            let confirmed = confirm(reserved, earlier, &sender).await;
            _ = sender.send(confirmed);
        });
        let claimed = receiver.await.unwrap_or(Err(StartError::Unavailable))?;
        Ok(claimed.map(|(mut producer, mark)| {
            producer.export(mark);
            producer
        }))
    }
}

/// The result of a claim, for the request.
type Confirmed = Result<Option<(Producer, Mark)>, StartError>;

/// Sends the claim for a reserved record. If the request has left by the reply, the claim is given
/// back: a later request may have the key by then.
async fn confirm(
    reserved: Producer,
    earlier: Option<RunId>,
    request: &oneshot::Sender<Confirmed>,
) -> Confirmed {
    let (shared, record) = (&reserved.shared, &reserved.record);
    let Some(cluster) = &shared.cluster else { return Err(StartError::Unavailable) };
    let run = RunId::new(record.key.clone(), record.epoch);
    let replaced = earlier.as_ref().map(|run| run.epoch);
    let mut sent = SentClaim { exports: &cluster.exports, run: Some(run.clone()) };
    let reply = cluster.look_up(Command::Claim { run, earlier }).await;
    let has_left = request.is_closed();
    match &reply {
        Err(StoreError::Lost(_)) => {}
        Ok(LookReply::Claimed) if has_left => {
            // The claim has cancelled it.
            replaced.into_iter().for_each(|earlier| cluster.exports.synchronize(earlier));
        }
        _ => sent.run = None,
    }
    drop(sent);
    match reply {
        Ok(LookReply::Claimed) if !has_left => {
            let mark = enter(shared, cluster, record, replaced);
            Ok(Some((reserved, mark)))
        }
        Ok(LookReply::Restoring) | Err(_) => Err(StartError::Unavailable),
        Ok(_) => Ok(None),
    }
}

/// A claim that was sent. If it is dropped before it is settled, it is released, because the store
/// may have executed it.
struct SentClaim<'a> {
    exports: &'a Exports,
    /// `None` once it is settled.
    run: Option<RunId>,
}

impl Drop for SentClaim<'_> {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            self.exports.lose_claim(run);
        }
    }
}

/// Lets requests find a claimed run.
fn enter(
    shared: &Arc<Shared>,
    cluster: &Cluster,
    record: &Arc<Record>,
    replaced: Option<Epoch>,
) -> Mark {
    let mark = cluster.exports.add(Arc::clone(record), cluster.store.overhead(&record.key));
    shared.with_registry(|registry, deferred| {
        if let Some(other) = registry.get(&record.key).cloned() {
            // The store has lost the claim of a run that this one does not replace.
            let is_replaced = replaced == Some(other.epoch);
            let outcome = if is_replaced { Outcome::Cancelled } else { Outcome::Interrupted };
            registry.end(&other, outcome, None, deferred);
        }
        // The run may have ended already, at the beginning of a shutdown.
        registry.enter(record, deferred);
    });
    shared.make_room(0);
    mark
}
