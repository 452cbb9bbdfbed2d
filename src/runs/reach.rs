//! Finding, claiming and cancelling runs: those of this process or, through a store, of any
//! process.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    RunKey, Runs, StartError,
    process::{Claim, Purpose},
    record::Record,
};
use crate::connection::LastEventId;

impl Runs {
    /// Returns the run that a request is about, or claims the key for a new run.
    pub(crate) async fn claim(
        &self,
        key: &RunKey,
        last: Option<&LastEventId>,
        purpose: Purpose,
    ) -> Result<Claim, StartError> {
        let Some(shared) = &self.shared else {
            return self.process.claim(key, last, purpose);
        };
        if last.is_some() {
            let found = self.find(key, last).await?;
            return found.map(Claim::Existing).ok_or(StartError::NotFound);
        }
        let claimed = Arc::clone(shared).claim(key, purpose).await;
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
        match &self.shared {
            None => Ok(self.process.get(key)),
            Some(shared) => shared.find(key, last).await,
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
        match &self.shared {
            None => self.process.cancel(key, last, lines),
            Some(shared) => shared.cancel(key, last, lines).await,
        }
    }

    /// Cancels a run, wherever it is.
    pub(super) async fn cancel_record(&self, record: &Arc<Record>) {
        match &self.shared {
            None => _ = self.process.cancel_record(record, None),
            Some(shared) => shared.cancel_record(record).await,
        }
    }

    /// Returns a record from which a client that has seen the events up to `last` can read the run
    /// of `record`, which may be a mirror for other clients. With `waits`, waits for the store as
    /// long as an attached client does.
    pub(super) async fn serve(
        &self,
        record: &Arc<Record>,
        last: Option<&LastEventId>,
        waits: bool,
    ) -> Result<Arc<Record>, StartError> {
        match &self.shared {
            None => Ok(Arc::clone(record)),
            Some(shared) => shared.serve(record, last, waits).await,
        }
    }

    /// Returns another record of the run, which reports to its clients that the contact to the
    /// run's process is lost.
    pub(super) fn lost(&self, record: &Record) -> Arc<Record> {
        let (lost, mirror) = self.process.mirror(record.key.clone(), record.epoch, 0);
        mirror.lose();
        lost
    }

    /// Waits until a record of another process' run has all events that the store has. Returns
    /// whether they could be loaded.
    pub(super) async fn is_loaded(&self, record: &Arc<Record>) -> bool {
        match &self.shared {
            None => true,
            Some(shared) => shared.is_loaded(record).await,
        }
    }

    /// Waits, for a limited time, until other processes can read all runs that have ended.
    pub(super) async fn exported(&self) {
        if let Some(shared) = &self.shared {
            shared.exported().await;
        }
    }
}
