//! Finding, claiming and cancelling runs: those of this process or, through the cluster, of any
//! process.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{
    RunKey, Runs, StartError,
    cluster::{Cluster, RunId, timing::RETRY_DELAY},
    process::{Claim, Purpose},
    record::Record,
};
use crate::connection::LastEventId;

// The futures of the cluster are boxed, so that the futures of requests without a store stay small.
impl Runs {
    /// Returns the run that a request is about, or claims the key for a new run.
    pub(crate) async fn claim(
        &self,
        key: &RunKey,
        last: Option<&LastEventId>,
        purpose: Purpose,
    ) -> Result<Claim, StartError> {
        let Some(cluster) = &self.cluster else {
            return self.process.claim(key, last, purpose);
        };
        if last.is_some() {
            let found = self.find(key, last).await?;
            return found.map(Claim::Existing).ok_or(StartError::NotFound);
        }
        let claimed = Box::pin(cluster.claim(key, purpose)).await;
        if claimed.is_err() {
            self.process.counters.totals().refused += 1;
        }
        claimed
    }

    /// Returns the run with this key, wherever it is, for a client that has seen the events up to
    /// `last`. It never starts a run.
    pub(crate) async fn find(
        &self,
        key: &RunKey,
        last: Option<&LastEventId>,
    ) -> Result<Option<Arc<Record>>, StartError> {
        match &self.cluster {
            None => Ok(self.process.get(key)),
            Some(cluster) => Box::pin(cluster.find(key, last)).await,
        }
    }

    /// Cancels the run with this key, wherever it is, after the event with these `lines` if there
    /// are any. Returns whether it was starting or running.
    pub(super) async fn cancel_run(
        &self,
        key: &RunKey,
        last: Option<&LastEventId>,
        lines: Option<Bytes>,
    ) -> bool {
        match &self.cluster {
            None => self.process.cancel(key, last, lines),
            Some(cluster) => Box::pin(cluster.cancel(key, last, lines)).await,
        }
    }

    /// Cancels a run, wherever it is.
    pub(super) async fn cancel_record(&self, record: &Arc<Record>) {
        match &self.cluster {
            None => _ = self.process.cancel_record(record, None),
            Some(cluster) => _ = Box::pin(cluster.cancel_run(&run_of(record), None)).await,
        }
    }

    /// Returns a record from which a client that has seen the events up to `last` can read the run
    /// of `record`. `record` may be a mirror for other clients, and lack the event after `last`.
    pub(super) async fn serve(
        &self,
        record: &Arc<Record>,
        last: Option<&LastEventId>,
    ) -> Result<Arc<Record>, StartError> {
        let run = run_of(record);
        match &self.cluster {
            Some(cluster) if cluster.mirrors.of(&run, record).is_some() => {
                Box::pin(cluster.open(&run, last)).await
            }
            _ => Ok(Arc::clone(record)),
        }
    }

    /// Does the same as [`serve`](Self::serve), but waits for the store as long as an attached
    /// client does.
    pub(super) async fn serve_attached(
        &self,
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

    /// Returns another record of the run, which reports to its clients that the contact to the
    /// run's process is lost.
    pub(super) fn lost(&self, record: &Record) -> Arc<Record> {
        let (key, counters) = (record.key.clone(), Arc::clone(&self.process.counters));
        let lost = Record::mirror(key, record.epoch, 0, &self.process.options, counters);
        let lost = Arc::new(lost);
        lost.lose_mirror();
        lost
    }

    /// Waits until a record of another process' run has all events that the store has. Returns
    /// whether they could be loaded.
    pub(super) async fn is_loaded(&self, record: &Arc<Record>) -> bool {
        let mirror = |cluster: &Arc<Cluster>| cluster.mirrors.of(&run_of(record), record);
        match self.cluster.as_ref().and_then(mirror) {
            Some(mirror) => mirror.loaded().await,
            None => true,
        }
    }

    /// Waits, for a limited time, until other processes can read all runs that have ended.
    pub(super) async fn exported(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.exported().await;
        }
    }
}

fn run_of(record: &Record) -> RunId {
    RunId::new(record.key.clone(), record.epoch)
}
