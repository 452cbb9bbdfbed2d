use std::sync::Arc;

use super::{process::Process, producer::Producer, registry::Registry};
use crate::{
    history::Epoch,
    runs::{
        Outcome, RunKey, StartError, counters::Counters, epoch, options::Options, record::Record,
    },
};

/// Which runs may start, by the limits of their number and memory.
impl Registry {
    /// Adds a run, unless a limit is reached. The run counts as running, but requests do not find
    /// it before it is [entered](Self::enter). A run of this process that the new run will replace
    /// does not count towards the limits.
    pub(crate) fn reserve(
        &mut self,
        key: &RunKey,
        earlier: Option<Epoch>,
        options: &Options,
        counters: &Arc<Counters>,
    ) -> Result<Arc<Record>, StartError> {
        let is_replaced = earlier.is_some_and(|epoch| self.running.contains_key(&epoch));
        self.check(key, usize::from(is_replaced), options)?;
        let next = if self.is_connected { epoch::unique } else { epoch::after };
        let epoch = next(self.newest_epoch);
        self.newest_epoch = Some(epoch);
        let record = Record::new(key.clone(), epoch, options, Arc::clone(counters));
        let record = Arc::new(record);
        if let Some(owner) = key.shared_owner() {
            *self.running_by_owner.entry(Arc::clone(owner)).or_default() += 1;
        }
        self.running.insert(epoch, Arc::clone(&record));
        Ok(record)
    }

    /// Checks the limits for a new run, which takes the place of `replaced` running ones.
    fn check(&self, key: &RunKey, replaced: usize, options: &Options) -> Result<(), StartError> {
        if self.is_draining {
            return Err(StartError::Draining);
        }
        let running = self.running.len() - replaced;
        let memory = options.memory_of_running(running + 1).saturating_add(self.ending_memory());
        if running >= options.limits.running || memory > options.max_memory {
            return Err(StartError::Full);
        }
        let of_owner = key.shared_owner().and_then(|owner| self.running_by_owner.get(owner));
        if of_owner.is_some_and(|count| count - replaced >= options.limits.running_per_owner) {
            return Err(StartError::OwnerFull);
        }
        Ok(())
    }

    /// Returns the memory of the runs that have ended, but whose ends the store does not have yet.
    /// They are never evicted, unless another run has their key.
    fn ending_memory(&self) -> usize {
        let states = self.ending.values().map(|record| record.lock());
        states.filter(|state| !state.is_forgotten).map(|state| state.memory()).sum()
    }
}

/// Starting runs that other processes can reach, in two steps: the store confirms the claim between
/// them.
impl Process {
    /// Reserves a run, unless a limit is reached. It counts as running, but requests do not find it.
    /// A run of this process that the new one will replace, `earlier`, does not count towards the
    /// limits.
    pub fn reserve(
        self: &Arc<Self>,
        key: &RunKey,
        earlier: Option<Epoch>,
    ) -> Result<Producer, StartError> {
        let record = self.with_registry(|registry, _| {
            registry.reserve(key, earlier, &self.options, &self.counters)
        })?;
        Ok(Producer::new(Arc::clone(self), record))
    }

    /// Lets requests find a reserved run, and ends a run of this process that has its key.
    pub fn enter(self: &Arc<Self>, reserved: &Producer, earlier: Option<Epoch>) {
        let record = &reserved.record;
        self.with_registry(|registry, deferred| {
            if let Some(other) = registry.get(&record.key).cloned() {
                // If the new run does not replace `other`, the store has lost the claim of `other`.
                let is_replaced = earlier == Some(other.epoch);
                let outcome = if is_replaced { Outcome::Cancelled } else { Outcome::Interrupted };
                registry.end(&other, outcome, None, deferred);
            }
            // The run may have ended already, at the beginning of a shutdown.
            registry.enter(record, deferred);
        });
        self.make_room(0);
    }
}
