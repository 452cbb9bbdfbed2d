use std::sync::Arc;

use tokio::sync::oneshot;

use super::{
    cluster::Cluster,
    reply::{LookReply, ReplaceReply, StoreError},
    run_id::RunId,
};
use crate::{
    history::Epoch,
    runs::{
        Outcome, RunKey, StartError,
        call::{Producer, spawn},
        record::Record,
        registry::Shared,
    },
};

/// How to start a run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    New,
    InPlaceOf(Epoch),
}

impl Start {
    const fn earlier(self) -> Option<Epoch> {
        match self {
            Self::New => None,
            Self::InPlaceOf(epoch) => Some(epoch),
        }
    }
}

impl Shared {
    /// Claims a key for a new run. Returns `None` if another run has got the key meanwhile.
    ///
    /// The claim runs on a task of its own, so that a claim whose request is dropped is released.
    pub(super) async fn start(
        self: &Arc<Self>,
        cluster: &Cluster,
        key: &RunKey,
        start: Start,
    ) -> Result<Option<Producer>, StartError> {
        if !cluster.is_up() {
            return Err(StartError::Unavailable);
        }
        let record = self.with_registry(|registry, _| {
            registry.reserve(key, self.options.limits, start.earlier(), |epoch| {
                Record::new(key.clone(), epoch, &self.options, Arc::clone(&self.counters))
            })
        })?;
        let (sender, receiver) = oneshot::channel();
        let shared = Arc::clone(self);
        spawn(async move {
            let claimed = shared.confirm(record, start).await;
            // The request was dropped: the run is released, and was never one.
            if let Err(Ok(Some(producer))) = sender.send(claimed) {
                producer.void();
            }
        });
        receiver.await.unwrap_or(Err(StartError::Unavailable))
    }

    /// Sends the claim for a reserved record.
    async fn confirm(
        self: &Arc<Self>,
        record: Arc<Record>,
        start: Start,
    ) -> Result<Option<Producer>, StartError> {
        let Some(cluster) = &self.cluster else { return Err(StartError::Unavailable) };
        let run = RunId::new(record.key.clone(), record.epoch);
        let claimed = match start {
            Start::New => match cluster.claim(&run).await {
                Ok(LookReply::Restoring) => {
                    self.void(&record);
                    return Err(StartError::Unavailable);
                }
                reply => reply.map(|reply| matches!(reply, LookReply::Claimed)),
            },
            Start::InPlaceOf(earlier) => cluster
                .replace(&run, earlier)
                .await
                .map(|reply| matches!(reply, ReplaceReply::Claimed)),
        };
        match claimed {
            Ok(true) => Ok(Some(self.enter(cluster, record, start))),
            Ok(false) => {
                self.void(&record);
                Ok(None)
            }
            Err(error) => {
                self.void(&record);
                if matches!(error, StoreError::Lost(_)) {
                    cluster.exports.lose_claim(run);
                }
                Err(StartError::Unavailable)
            }
        }
    }

    /// Lets requests find a claimed run.
    fn enter(self: &Arc<Self>, cluster: &Cluster, record: Arc<Record>, start: Start) -> Producer {
        let mark = cluster.exports.add(Arc::clone(&record));
        self.with_registry(|registry, deferred| {
            if let Some(earlier) = registry.get(&record.key).cloned() {
                // The store has lost the claim of a run that this one does not replace.
                let is_replaced = start.earlier() == Some(earlier.epoch);
                let outcome = if is_replaced { Outcome::Cancelled } else { Outcome::Interrupted };
                registry.end(&earlier, outcome, None, deferred);
            }
            registry.enter(&record, deferred);
            // It may have ended at the beginning of a shutdown.
        });
        self.counters.count_start();
        self.make_room();
        Producer::exported(Arc::clone(self), record, mark)
    }
}
