//! Requests reach a run of this process, or through the cluster one of any process.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{
    RunKey, StartError,
    cluster::{RunId, timing::RETRY_DELAY},
    process::{Claim, Purpose, Shared},
    record::Record,
};
use crate::connection::LastEventId;

// What the cluster does is boxed, so that requests without a store keep their size.
impl Shared {
    /// Returns the run that a request is about, or claims the key for a new run.
    ///
    /// A request with a last event id, `last`, never starts or replaces a run: it asks for the rest
    /// of an answer, and a new run would be a different one.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        key: &RunKey,
        last: Option<&LastEventId>,
        purpose: Purpose,
    ) -> Result<Claim, StartError> {
        let Some(cluster) = &self.cluster else {
            return self.claim_here(key, last, purpose);
        };
        if last.is_some() {
            let found = self.find(key, last).await?;
            return found.map(Claim::Existing).ok_or(StartError::NotFound);
        }
        let claimed = Box::pin(self.claim_in(cluster, key, purpose)).await;
        if claimed.is_err() {
            self.counters.totals().refused += 1;
        }
        claimed
    }

    /// Returns the run with this key, wherever it is, for a client that has seen the events up to
    /// `last`. It never starts a run.
    pub(crate) async fn find(
        self: &Arc<Self>,
        key: &RunKey,
        last: Option<&LastEventId>,
    ) -> Result<Option<Arc<Record>>, StartError> {
        match &self.cluster {
            None => Ok(self.get(key)),
            Some(cluster) => Box::pin(self.find_in(cluster, key, last)).await,
        }
    }

    /// Cancels the run with this key, wherever it is, after the event with these `lines` if there
    /// are any. Returns whether it was starting or running.
    pub(crate) async fn cancel(
        self: &Arc<Self>,
        key: &RunKey,
        last: Option<&LastEventId>,
        lines: Option<Bytes>,
    ) -> bool {
        match &self.cluster {
            None => self.cancel_here(key, last, lines),
            Some(cluster) => Box::pin(self.cancel_in(cluster, key, last, lines)).await,
        }
    }

    /// Cancels a run, wherever it is.
    pub(crate) async fn cancel_record(self: &Arc<Self>, record: &Arc<Record>) {
        match &self.cluster {
            None => _ = self.cancel_own(record, None),
            Some(cluster) => {
                let run = RunId::new(record.key.clone(), record.epoch);
                Box::pin(self.cancel_run(cluster, &run, None)).await;
            }
        }
    }

    /// Returns a record of the run of `record` for a client that has seen the events up to `last`.
    /// A mirror of another client may lack the event after it.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        record: &Arc<Record>,
        last: Option<&LastEventId>,
    ) -> Result<Arc<Record>, StartError> {
        let run = RunId::new(record.key.clone(), record.epoch);
        match &self.cluster {
            Some(cluster) if cluster.mirrors.of(&run, record).is_some() => {
                Box::pin(self.open(cluster, &run, last)).await
            }
            _ => Ok(Arc::clone(record)),
        }
    }

    /// Does the same for a client that waits for the store as long as one that is attached.
    pub(crate) async fn serve_attached(
        self: &Arc<Self>,
        record: &Arc<Record>,
        last: Option<&LastEventId>,
    ) -> Result<Arc<Record>, StartError> {
        let patience =
            self.cluster.as_ref().map_or(Duration::ZERO, |cluster| cluster.timing.patience);
        let until = Instant::now() + patience;
        loop {
            match self.serve(record, last).await {
                Err(StartError::Unavailable) if Instant::now() < until => sleep(RETRY_DELAY).await,
                served => return served,
            }
        }
    }

    /// Waits until a record of another process' run has all events that the store has. Returns
    /// whether they could be loaded.
    pub(crate) async fn is_loaded(&self, record: &Arc<Record>) -> bool {
        let run = RunId::new(record.key.clone(), record.epoch);
        match self.cluster.as_ref().and_then(|cluster| cluster.mirrors.of(&run, record)) {
            Some(mirror) => mirror.loaded().await,
            None => true,
        }
    }
}
