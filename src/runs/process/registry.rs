use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
};

use tokio::{task::JoinHandle, time::Instant};

use super::ended_runs::EndedRuns;
use crate::{
    history::Epoch,
    runs::{
        Outcome, RunKey,
        failure::Failure,
        record::{Deferred, LastEvent, Phase, Record, State},
    },
};

/// All runs, by key and by age. Lock order: this lock before a record's.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(super) by_key: HashMap<RunKey, Arc<Record>>,
    /// Runs that are starting or running. Later runs have later epochs.
    pub(super) running: BTreeMap<Epoch, Arc<Record>>,
    pub(super) running_by_owner: HashMap<Arc<str>, usize>,
    /// Runs that have ended and are kept.
    pub(super) kept: EndedRuns<Arc<Record>>,
    /// Runs that have ended, but whose ends the store does not have yet. They are kept until it
    /// has.
    pub(super) ending: BTreeMap<Epoch, Arc<Record>>,
    /// Whether other processes can reach the runs through a store.
    pub(super) is_connected: bool,
    /// Runs that were forgotten while clients were still reading them.
    pub(super) lingering: Vec<Weak<Record>>,
    pub(super) newest_epoch: Option<Epoch>,
    pub(crate) is_draining: bool,
    /// The number of runs that have ended and whose ends are being reported.
    pub(super) reporting: usize,
    /// The task that forgets runs when they are due, if one was spawned.
    pub(super) sweeper: Option<JoinHandle<()>>,
}

impl Registry {
    /// Creates an empty registry. `max_memory_per_owner` limits the memory of an owner's runs that
    /// have ended.
    pub(crate) fn new(is_connected: bool, max_memory_per_owner: Option<usize>) -> Self {
        Self {
            by_key: HashMap::new(),
            running: BTreeMap::new(),
            running_by_owner: HashMap::new(),
            kept: EndedRuns::new(max_memory_per_owner, |record| &record.key),
            ending: BTreeMap::new(),
            is_connected,
            lingering: Vec::new(),
            newest_epoch: None,
            is_draining: false,
            reporting: 0,
            sweeper: None,
        }
    }

    pub(crate) fn get(&self, key: &RunKey) -> Option<&Arc<Record>> {
        self.by_key.get(key)
    }

    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// Returns whether no run is running, and the ends of all others have been reported.
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.reporting == 0
    }

    /// Returns the running runs of an owner, the oldest first.
    pub(crate) fn running_of(&self, owner: &str) -> Vec<Arc<Record>> {
        if !self.running_by_owner.contains_key(owner) {
            return Vec::new();
        }
        let is_of_owner = |record: &&Arc<Record>| record.key.owner() == Some(owner);
        self.running.values().filter(is_of_owner).cloned().collect()
    }

    /// Lets requests find a run by its key. An earlier run with the same key must have
    /// [ended](Self::end); it is forgotten.
    pub(crate) fn enter(&mut self, record: &Arc<Record>, deferred: &mut Deferred) {
        if let Some(earlier) = self.by_key.get(&record.key).cloned() {
            self.forget(&earlier, deferred);
        }
        self.by_key.insert(record.key.clone(), Arc::clone(record));
    }

    /// Keeps a run that has ended, because the store has its end too.
    pub(crate) fn acknowledge_end(&mut self, record: &Arc<Record>, deferred: &mut Deferred) {
        if self.ending.remove(&record.epoch).is_some() {
            record.lock().ended_at = Some(Instant::now());
            self.keep(record, deferred);
        }
    }

    /// Ends a run and keeps it. Returns whether it was still running.
    pub(crate) fn end(
        &mut self,
        record: &Arc<Record>,
        outcome: Outcome,
        failure: Option<Failure>,
        deferred: &mut Deferred,
    ) -> bool {
        self.end_by(record, deferred, |state, deferred| {
            state.end(record, outcome, failure, deferred);
        })
    }

    /// Appends the last event of a run if there is one, cancels the run and keeps it. Returns
    /// whether it was still running.
    pub(crate) fn cancel(
        &mut self,
        record: &Arc<Record>,
        event: Option<&LastEvent>,
        deferred: &mut Deferred,
    ) -> bool {
        self.end_by(record, deferred, |state, deferred| {
            if let Some(event) = event {
                record.append_last(state, event, &mut deferred.drops);
            }
            state.end(record, Outcome::Cancelled, None, deferred);
        })
    }

    /// Ends a run that is still running by `end`, and keeps it. Returns whether it was running.
    fn end_by(
        &mut self,
        record: &Arc<Record>,
        deferred: &mut Deferred,
        end: impl FnOnce(&mut State, &mut Deferred),
    ) -> bool {
        let mut state = record.lock();
        if !state.phase.is_live() {
            return false;
        }
        end(&mut state, deferred);
        drop(state);
        deferred.changed.push(Arc::clone(record));
        self.remove_running(record);
        if self.is_connected {
            self.ending.insert(record.epoch, Arc::clone(record));
        } else {
            self.keep(record, deferred);
        }
        true
    }

    /// Removes a run whose call did not return an event stream. Returns whether it was still
    /// starting.
    pub(crate) fn void(&mut self, record: &Arc<Record>, deferred: &mut Deferred) -> bool {
        {
            let mut state = record.lock();
            if state.phase != Phase::Starting {
                return false;
            }
            state.void(deferred);
        }
        deferred.changed.push(Arc::clone(record));
        self.remove_running(record);
        self.remove_key(record);
        true
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
        shrink(&mut self.running_by_owner);
    }

    pub(super) fn remove_key(&mut self, record: &Arc<Record>) {
        if self.by_key.get(&record.key).is_some_and(|other| Arc::ptr_eq(other, record)) {
            self.by_key.remove(&record.key);
            shrink(&mut self.by_key);
        }
    }
}

/// Frees memory of a map that used to be much larger.
fn shrink<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > 64 && map.len() < map.capacity() / 4 {
        map.shrink_to(map.capacity() / 2);
    }
}
