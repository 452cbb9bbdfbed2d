use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::{runtime::Id, task::JoinHandle, time::Instant};

use crate::history::{DeferredDrops, Epoch};
use crate::runs::key::{epoch_after, unique_epoch};
use crate::runs::record::{Deferred, Phase, Record, State};
use crate::runs::stats::RunCounters;
use crate::runs::{Outcome, RunKey, StartError};
use crate::{runs::options::Options, runs::outcome::Failure, sparse::shrink_if_sparse};

/// All runs of this process. Lock order: the registry's lock comes before a record's.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(super) by_key: HashMap<RunKey, Arc<Record>>,
    /// Runs that are starting or running. Later runs have later epochs.
    pub(super) running: BTreeMap<Epoch, Arc<Record>>,
    pub(super) running_by_owner: HashMap<Arc<str>, usize>,
    /// Runs that have ended, aren't forgotten and aren't in `ending`, by [`State::ended_at`], and
    /// by their epoch if these times are equal.
    pub(super) kept: BTreeMap<(Instant, Epoch), Arc<Record>>,
    /// Runs that have ended, until the store has their ends or certainly won't get them.
    pub(super) ending: BTreeMap<Epoch, Arc<Record>>,
    /// Whether the runs are shared through a store.
    pub(super) is_connected: bool,
    /// Runs that were forgotten while clients were still reading them.
    pub(super) lingering: Vec<Weak<Record>>,
    pub(super) newest_epoch: Option<Epoch>,
    pub(crate) is_draining: bool,
    /// The number of runs whose ends are being reported.
    pub(super) reporting: usize,
    /// The tasks that forget runs when they are due. Each runtime that uses the registry while runs
    /// are kept has such a task, because another runtime may not be running.
    pub(super) sweepers: Vec<(Id, JoinHandle<()>)>,
}

impl Registry {
    pub(crate) fn new(is_connected: bool) -> Self {
        Self { is_connected, ..Self::default() }
    }

    pub(crate) fn get(&self, key: &RunKey) -> Option<&Arc<Record>> {
        self.by_key.get(key)
    }

    pub(super) fn has_sweeper(&self, runtime: Id) -> bool {
        self.sweepers.iter().any(|(id, task)| *id == runtime && !task.is_finished())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.reporting == 0
    }

    /// Lets requests find a run by its key. Forgets the key's earlier run, which must have
    /// [ended](Self::end).
    pub(crate) fn enter(&mut self, record: &Arc<Record>, deferred: &mut Deferred) {
        if let Some(earlier) = self.by_key.get(&record.key).cloned() {
            self.forget(&earlier, deferred);
        }
        self.by_key.insert(record.key.clone(), Arc::clone(record));
    }

    pub(crate) fn acknowledge_end(&mut self, record: &Arc<Record>) {
        if self.ending.remove(&record.epoch).is_some() {
            record.lock().ended_at = Some(Instant::now());
            self.keep(record);
        }
    }

    /// Ends a run that is starting or running. Returns whether this call ended it.
    pub(crate) fn end(
        &mut self,
        record: &Arc<Record>,
        outcome: Outcome,
        failure: Option<Failure>,
        deferred: &mut Deferred,
    ) -> bool {
        self.end_if(record, outcome, failure, deferred, |_, _| true)
    }

    /// Ends the run if it is live and `prepare` returns `true`. Returns whether the run was ended.
    pub(super) fn end_if(
        &mut self,
        record: &Arc<Record>,
        outcome: Outcome,
        failure: Option<Failure>,
        deferred: &mut Deferred,
        prepare: impl FnOnce(&mut State, &mut DeferredDrops) -> bool,
    ) -> bool {
        let mut state = record.lock();
        if !state.phase.is_live() || !prepare(&mut state, &mut deferred.drops) {
            return false;
        }
        state.end(record, outcome, failure, deferred);
        drop(state);
        deferred.changed.push(Arc::clone(record));
        self.remove_running(record);
        if self.is_connected {
            self.ending.insert(record.epoch, Arc::clone(record));
        } else {
            self.keep(record);
        }
        true
    }

    /// Frees the key of a run that won't have a stream: the service was not called, or did not
    /// return an event stream.
    pub(crate) fn void(&mut self, record: &Arc<Record>, deferred: &mut Deferred) {
        {
            let mut state = record.lock();
            if state.phase != Phase::Starting {
                return;
            }
            state.void(deferred);
        }
        deferred.changed.push(Arc::clone(record));
        self.remove_running(record);
        self.remove_key(record);
    }

    fn remove_running(&mut self, record: &Record) {
        if self.running.remove(&record.epoch).is_none() {
            return;
        }
        if let Some(owner) = record.key.shared_owner()
            && let Some(count) = self.running_by_owner.get_mut(owner)
        {
            *count -= 1;
            if *count == 0 {
                self.running_by_owner.remove(owner);
            }
        }
        shrink_if_sparse(&mut self.running_by_owner);
    }

    fn remove_key(&mut self, record: &Arc<Record>) {
        if self.by_key.get(&record.key).is_some_and(|other| Arc::ptr_eq(other, record)) {
            self.by_key.remove(&record.key);
            shrink_if_sparse(&mut self.by_key);
        }
    }
}

/// The limits of number and memory, which decide whether a run may start.
impl Registry {
    /// Reserves a run. It counts as running, but requests find it only once it's
    /// [entered](Self::enter).
    pub(crate) fn reserve(
        &mut self,
        key: &RunKey,
        earlier: Option<Epoch>,
        options: &Options,
        counters: &Arc<RunCounters>,
    ) -> Result<Arc<Record>, StartError> {
        let is_replaced = earlier.is_some_and(|epoch| self.running.contains_key(&epoch));
        self.check(key, usize::from(is_replaced), options)?;
        let next = if self.is_connected { unique_epoch } else { epoch_after };
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

    /// Checks the limits for a run that takes the place of `replaced` running runs.
    fn check(&self, key: &RunKey, replaced: usize, options: &Options) -> Result<(), StartError> {
        if self.is_draining {
            return Err(StartError::Draining);
        }
        let running = self.running.len() - replaced;
        let memory = options.memory_of_running(running + 1).saturating_add(self.ending_memory());
        if running >= options.max_running || memory > options.max_memory {
            return Err(StartError::Full);
        }
        let of_owner = key.shared_owner().and_then(|owner| self.running_by_owner.get(owner));
        if of_owner.is_some_and(|count| count - replaced >= options.max_running_per_owner) {
            return Err(StartError::OwnerFull);
        }
        Ok(())
    }

    /// Returns the memory of the runs in `ending` that requests still find. They can't be evicted.
    fn ending_memory(&self) -> usize {
        let states = self.ending.values().map(|record| record.lock());
        states.filter(|state| !state.is_forgotten).map(|state| state.memory()).sum()
    }
}

impl Registry {
    fn keep(&mut self, record: &Arc<Record>) {
        let state = record.lock();
        if let (false, Some(ended_at)) = (state.is_forgotten, state.ended_at) {
            self.kept.insert((ended_at, record.epoch), Arc::clone(record));
        }
    }

    /// Frees a run's key. Clients that are still reading can read the rest, unless it's evicted for
    /// lack of memory. If there are none, the events are evicted.
    pub(crate) fn forget(&mut self, record: &Arc<Record>, deferred: &mut Deferred) {
        self.remove_key(record);
        let mut state = record.lock();
        state.is_forgotten = true;
        if let Some(ended_at) = state.ended_at {
            self.kept.remove(&(ended_at, record.epoch));
        }
        if state.readers.count() == 0 {
            state.clear(deferred);
        } else {
            self.lingering.push(Arc::downgrade(record));
            if self.lingering.len().is_power_of_two() {
                self.lingering.retain(|record| record.strong_count() > 0);
            }
        }
        // A weak reference keeps the memory of its record.
        while self.lingering.pop_if(|record| record.strong_count() == 0).is_some() {}
        // Keeps the record until no lock is held: dropping it can run code of the program, because
        // its options can contain closures.
        deferred.changed.push(Arc::clone(record));
    }

    /// Forgets the runs that are due. Returns when the next run is due.
    pub(crate) fn expire(&mut self, age: Duration, deferred: &mut Deferred) -> Option<Instant> {
        loop {
            let ((ended_at, _), record) = self.kept.first_key_value()?;
            let due = ended_at.checked_add(age)?;
            if due > Instant::now() {
                return Some(due);
            }
            let record = Arc::clone(record);
            self.forget(&record, deferred);
        }
    }

    /// Evicts an ended run. Returns `false` if there is none. Without `is_read`, evicts only a run
    /// that no client is reading. With `is_read`, begins with forgotten runs, and returns `true`
    /// even if such a run was already dropped.
    pub(crate) fn evict_ended(&mut self, is_read: bool, deferred: &mut Deferred) -> bool {
        if let Some(lingering) = is_read.then(|| self.lingering.pop()).flatten() {
            if let Some(record) = lingering.upgrade() {
                record.lock().clear(deferred);
                deferred.changed.push(record);
            }
            return true;
        }
        let oldest = self.kept.values().find(|record| is_read || !record.is_read());
        let Some(oldest) = oldest.cloned() else { return false };
        self.forget(&oldest, deferred);
        oldest.lock().clear(deferred);
        deferred.changed.push(oldest);
        true
    }
}
