use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;

use super::owners::Owners;
use crate::{
    history::Epoch,
    runs::{RunKey, record::Record},
};

/// The runs that have ended and are kept, in the order of their ends.
#[derive(Debug)]
pub(super) struct Kept {
    runs: BTreeMap<(Instant, Epoch), Arc<Record>>,
    owners: Owners<(Instant, Epoch)>,
}

impl Kept {
    /// Creates it with the maximum memory of the runs of one owner.
    pub(super) fn new(max_per_owner: Option<usize>) -> Self {
        Self { runs: BTreeMap::new(), owners: Owners::new(max_per_owner) }
    }

    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn add(&mut self, ended_at: Instant, record: &Arc<Record>, memory: usize) {
        let at = (ended_at, record.epoch);
        self.owners.add(record.key.shared_owner(), at, memory);
        self.runs.insert(at, Arc::clone(record));
    }

    pub(super) fn remove(&mut self, ended_at: Instant, record: &Record) {
        let at = (ended_at, record.epoch);
        if self.runs.remove(&at).is_some() {
            self.owners.remove(record.key.shared_owner(), at);
        }
    }

    /// Returns the run that ended first, and when it ended.
    pub(super) fn oldest(&self) -> Option<(Instant, &Arc<Record>)> {
        self.runs.first_key_value().map(|(&(ended_at, _), record)| (ended_at, record))
    }

    /// Returns the run that ended first of a key's owner, if the owner's runs exceed the limit.
    pub(super) fn excess(&self, key: &RunKey) -> Option<Arc<Record>> {
        let at = self.owners.excess(key.shared_owner())?;
        self.runs.get(&at).cloned()
    }
}
