use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{cluster::Cluster, mirror::Mirror, run_id::RunId, timing::RETRY_DELAY};
use crate::{
    connection::LastEventId,
    runs::{
        Outcome, StartError,
        record::{Phase, Record},
        registry::Shared,
        until::until,
    },
};

/// Clients that have seen more events of a run than this process has of it.
impl Shared {
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

    /// Returns a record of the run of `record` whose clients are told that the contact is lost.
    pub(crate) fn lost(&self, record: &Record) -> Arc<Record> {
        let (key, counters) = (record.key.clone(), Arc::clone(&self.counters));
        let lost = Arc::new(Record::mirror(key, record.epoch, 0, &self.options, counters));
        lost.lose_mirror();
        lost
    }
}

impl Cluster {
    /// Waits until a mirror has the event `after`, which a client has seen.
    pub(super) async fn until_reached(
        &self,
        mirror: &Mirror,
        record: &Record,
        after: u64,
    ) -> Result<(), StartError> {
        if mirror.has_reached(after) {
            return Ok(());
        }
        if record.phase().is_live() {
            // Its process may have assigned the id before it has exported the event.
            let Ok(_waiting) = mirror.waiters.try_acquire() else {
                return Err(StartError::Unavailable);
            };
            let is_over = || mirror.has_reached(after) || !record.phase().is_live();
            let over = until(&record.changed, || is_over().then_some(()));
            let waited = timeout(self.timing.id_wait(), over).await;
            waited.map_err(|_| StartError::Unavailable)?;
        }
        match record.phase() {
            _ if mirror.has_reached(after) => Ok(()),
            _ if record.lock().is_lost => Err(StartError::Unavailable),
            // Its owner did not export all events that it had given to clients.
            Phase::Ended(Outcome::Cancelled | Outcome::Interrupted) => Ok(()),
            _ => Err(StartError::NotFound),
        }
    }
}
