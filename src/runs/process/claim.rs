use std::sync::Arc;

use super::{process::Process, producer::Producer};
use crate::{
    connection::LastEventId,
    runs::{Outcome, RunKey, StartError, record::Record},
};

/// The result of a request for a run.
pub enum Claim {
    /// The caller starts the run.
    New(Producer),
    /// The request is about this run.
    Existing(Arc<Record>),
}

/// What a request without a last event id does to the run that has its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It attaches to a run that is starting, running or has completed. A run that has ended
    /// without completing frees its key.
    Attach,
    /// It replaces any run.
    Replace,
}

impl Process {
    /// Returns the run of this process that a request is about, or claims the key for a new run.
    ///
    /// A request with a last event id, `last`, never starts or replaces a run: it asks for the rest
    /// of an answer, and a new run would be a different one.
    pub(crate) fn claim(
        self: &Arc<Self>,
        key: &RunKey,
        last: Option<&LastEventId>,
        purpose: Purpose,
    ) -> Result<Claim, StartError> {
        let claim = self.with_registry(|registry, deferred| {
            registry.expire(self.options.retain_for, deferred);
            let existing = registry.get(key).cloned();
            if last.is_some() {
                return existing.map(Claim::Existing).ok_or(StartError::NotFound);
            }
            match existing {
                Some(record) if purpose == Purpose::Attach && record.phase().is_usable() => {
                    return Ok(Claim::Existing(record));
                }
                // During a shutdown, no run would take its place.
                Some(earlier) if purpose == Purpose::Replace && !registry.is_draining => {
                    registry.end(&earlier, Outcome::Cancelled, None, deferred);
                }
                _ => {}
            }
            let record = registry.reserve(key, None, &self.options, &self.counters)?;
            registry.enter(&record, deferred);
            Ok(Claim::New(Producer::new(Arc::clone(self), record)))
        });
        match &claim {
            Ok(Claim::New(_)) => self.make_room(0),
            Ok(Claim::Existing(_)) | Err(StartError::NotFound) => {}
            Err(_) => self.counters.totals().refused += 1,
        }
        claim
    }
}
